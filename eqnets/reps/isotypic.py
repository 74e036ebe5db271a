"""Several representations split into the same irreps, and how irreps couple.

Layers work on isotypic components: a map between two representations is then a small
matrix for each irrep (Schur's lemma), and a bilinear map a Clebsch-Gordan coefficient.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from eqnets.reps.base import Atom, Rep
from eqnets.reps.blocks import Block, blocks
from eqnets.reps.commutant import random_intertwiner
from eqnets.reps.decompose import Decomposer, NotDecomposed, family_product
from eqnets.reps.errors import BasisError
from eqnets.reps.family import Family, make_family
from eqnets.reps.images import Images

_BUDGET = 2**30  # bytes for the solver's matrices
_INDEPENDENT = 1e-6
_DRAWS = 4
_EXACT = 1e-13
_CHECKED = 256  # larger products are taken as they come


@dataclass(frozen=True, eq=False)
class Summand:
    """All copies of one tensor product in a representation, split into irreps.

    Attributes:
        positions: ``[c, n]`` where its copies lie in the vector.
        irreps: (irrep number, copies m of it in one tensor product) pairs.
        analysis: ``[n, sum m d]``: the coordinates in the irreps, one irrep after the
            other, are ``x @ analysis``.
        synthesis: ``[sum m d, n]``, its inverse.
        is_identity: whether both are the identity matrix.
    """

    positions: np.ndarray
    irreps: tuple[tuple[int, int], ...]
    analysis: np.ndarray
    synthesis: np.ndarray
    is_identity: bool


@dataclass(frozen=True, eq=False)
class IrrepTable:
    """Representations of one group split into the same irreps.

    Attributes:
        summands: for each representation, its `Summand`s.
        dims: the dimension d of each irrep.
        endos: ``[e, d, d]`` isometries that span the commutant of each irrep, the
            identity first; e = 1, or 2 and 4 for real irreps of complex and
            quaternionic type.
        trivial: the number of the trivial irrep, or None where it does not occur.
        gens: ``[K, d, d]`` a family in each irrep, the Lie part first.
        lie: how many of the K belong to the Lie algebra.
    """

    summands: tuple[tuple[Summand, ...], ...]
    dims: tuple[int, ...]
    endos: tuple[np.ndarray, ...]
    trivial: int | None
    gens: tuple[np.ndarray, ...]
    lie: int
    _found: dict = field(default_factory=dict, repr=False)

    def multiplicities(self, which: int) -> dict[int, int]:
        """How often each irrep occurs in representation number ``which``."""
        out: dict[int, int] = {}
        for s in self.summands[which]:
            for number, m in s.irreps:
                out[number] = out.get(number, 0) + m * len(s.positions)
        return out

    def couplings(self, a: int, b: int, c: int) -> np.ndarray:
        """Orthonormal equivariant maps a (x) b -> c, ``[r, d_a, d_b, d_c]``.

        The Clebsch-Gordan coefficients of three irreps.

        Raises:
            BasisError: the iteration that finds them did not settle.
        """
        if a > b:
            return self.couplings(b, a, c).swapaxes(1, 2)
        if (a, b, c) not in self._found:
            self._found[a, b, c] = self._couplings(a, b, c)
        return self._found[a, b, c]

    def _couplings(self, a, b, c):
        shape = (self.dims[a], self.dims[b], self.dims[c])
        if not self._may_couple(a, b, c):
            return np.zeros((0, *shape))
        product = family_product(self.gens[a], self.gens[b], self.lie)
        target = self.gens[c]
        rng = np.random.default_rng([a, b, c])
        found = np.zeros((0, product.shape[1] * target.shape[1]), target.dtype)
        while True:
            x = random_intertwiner(product, target, rng)
            if x is None:
                raise BasisError("conjugate gradients did not settle on a coupling")
            x = x.ravel()
            for _ in range(2):  # twice is enough for orthogonality to rounding
                x = x - (x @ found.conj().T) @ found
            size = np.linalg.norm(x)
            if size <= _INDEPENDENT:
                break
            found = np.concatenate([found, x[None] / size])
        # X intertwines columns, product X = X target: X^H maps products to targets.
        return found.conj().reshape(-1, *shape)

    def _may_couple(self, a, b, c):
        """Whether the spectrum of a random Lie element allows c in a (x) b.

        The eigenvalues of the element in c must be sums of those in a and in b.
        """
        if not self.lie:
            return self.dims[a] * self.dims[b] >= self.dims[c]
        z = np.random.default_rng(3).standard_normal(self.lie)
        in_a, in_b, in_c = (
            np.linalg.eigvals(np.tensordot(z, self.gens[i][: self.lie], 1))
            for i in (a, b, c)
        )
        sums = (in_a[:, None] + in_b[None]).ravel()
        gaps = np.abs(in_c[:, None] - sums[None]).min(1)
        return bool(gaps.max() < 1e-5 * max(1.0, np.abs(sums).max()))


@lru_cache(maxsize=64)
def irrep_table(*reps: Rep) -> IrrepTable | None:
    """The irreps of several representations of one group, or of a product of groups.

    Args:
        reps: the representations.

    Returns:
        The table, or None for groups that are not seen to be completely reducible, such
        as unitriangular matrices.
    """
    parts = [blocks(rep) for rep in reps]
    atoms = list(dict.fromkeys(a for bs in parts for b in bs for a in b.atoms))
    if not atoms:
        return _only_scalars(parts)
    family = _family(atoms, any(rep.is_complex for rep in reps))
    if family is None:
        return None
    try:
        decomposer = _best_decomposer(family, parts, atoms)
        summands = tuple(
            tuple(_summand(b, atoms, decomposer, rep) for b in bs)
            for bs, rep in zip(parts, reps, strict=True)
        )
        endos = tuple(
            decomposer.endomorphisms(i) * np.sqrt(irrep.d)
            for i, irrep in enumerate(decomposer.irreps)
        )
    except NotDecomposed:
        return None
    return IrrepTable(
        summands=summands,
        dims=tuple(irrep.d for irrep in decomposer.irreps),
        endos=endos,
        trivial=_trivial(decomposer),
        gens=tuple(irrep.gens for irrep in decomposer.irreps),
        lie=family.lie,
    )


def _family(atoms: list[Atom], is_complex: bool) -> Family | None:
    """The generators of all the groups on all the atoms, closed under adjoints."""
    groups = list(dict.fromkeys(a.group for a in atoms))
    family = make_family([_joint_images(a, groups) for a in atoms], max_bytes=_BUDGET)
    if family is None or not is_complex:
        return family
    gens = [g.astype(np.complex128) for g in family.gens]
    return Family(gens, family.lie, family.casimir, family.back)


def _best_decomposer(family, parts, atoms) -> Decomposer:
    """The decomposer whose irreps commute best with the generators.

    It splits spaces by the eigenvalues of random matrices; where two of them happen to
    lie close, digits are lost and another draw is better.
    """
    found = []
    for seed in range(_DRAWS):
        decomposer = Decomposer(family)
        decomposer.rng = np.random.default_rng(seed)
        defect = max(_defect(b, atoms, decomposer) for bs in parts for b in bs)
        found.append((defect, seed, decomposer))
        if defect <= _EXACT:
            break
    return min(found, key=lambda x: x[:2])[2]


def _defect(block, atoms, decomposer) -> float:
    """The largest |rho X - X rho_irrep| over the generators and the copies X."""
    places = [atoms.index(a) for a in block.atoms]
    size = np.prod([a.size for a in block.atoms], dtype=object)
    if size > _CHECKED:
        return 0.0
    gens = decomposer._trivial_gens()
    for p in places:
        gens = family_product(gens, decomposer.family.gens[p], decomposer.family.lie)
    worst = 0.0
    for number, copies in decomposer.tensor(places).items():
        x = copies.transpose(1, 0, 2)[:, None]
        off = gens @ x - x @ decomposer.irreps[number].gens
        worst = max(worst, float(np.abs(off).max(initial=0.0)))
    return worst


def _joint_images(atom, groups) -> Images:
    """The atom under the product of the groups: the others act trivially."""
    if len(groups) == 1:
        return atom.images
    n = atom.size
    disc, lie = [], []
    for g in groups:
        mine = g == atom.group
        count, dim = len(g.discrete), len(g.lie_algebra)
        disc.append(atom.images.discrete if mine else np.tile(np.eye(n), (count, 1, 1)))
        lie.append(atom.images.lie if mine else np.zeros((dim, n, n)))
    return Images.of(np.concatenate(disc), np.concatenate(lie))


def _summand(block: Block, atoms, decomposer, rep) -> Summand:
    places = [atoms.index(a) for a in block.atoms]
    copies = decomposer.tensor(places)
    numbers = sorted(copies)
    n = next(iter(copies.values())).shape[0]
    columns = np.concatenate([copies[i].reshape(n, -1) for i in numbers], axis=1)
    analysis, synthesis = columns.conj(), columns.T
    if decomposer.family.back is not None:
        back = np.ones((1, 1))
        for p in places:
            back = np.kron(back, decomposer.family.back[p])
        analysis = np.linalg.inv(back).T @ analysis
        synthesis = synthesis @ back.T
    positions = block.positions
    return Summand(
        positions=np.arange(rep.size)[None] if positions is None else positions,
        irreps=tuple((i, copies[i].shape[1]) for i in numbers),
        analysis=analysis,
        synthesis=synthesis,
        is_identity=np.array_equal(analysis, np.eye(n)),
    )


def _trivial(decomposer) -> int | None:
    for number, irrep in enumerate(decomposer.irreps):
        acts = irrep.gens.copy()
        acts[decomposer.family.lie :] -= 1
        if irrep.d == 1 and np.abs(acts).max(initial=0.0) < 1e-8:
            return number
    return None


def _only_scalars(parts) -> IrrepTable:
    one = np.eye(1)

    def summand(block):
        positions = (
            np.zeros((1, 1), int) if block.positions is None else block.positions
        )
        return Summand(positions, ((0, 1),), one, one, True)

    return IrrepTable(
        summands=tuple(tuple(summand(b) for b in bs) for bs in parts),
        dims=(1,),
        endos=(one[None],),
        trivial=0,
        gens=(np.zeros((0, 1, 1)),),
        lie=0,
    )
