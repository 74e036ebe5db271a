"""The Schur route: match the irreps of one half of a tensor with those of the other.

Invariants of A (x) B are the intertwiners B* -> A. With A = sum m_l V_l and
B* = sum k_l V_l they are sum m_l k_l matrices left_i J right_j^H, kept as factors.
"""

import numpy as np

from eqnets.reps.basis import Basis, DenseBasis
from eqnets.reps.certificate import residual
from eqnets.reps.decompose import Decomposer, NotDecomposed
from eqnets.reps.errors import BasisError
from eqnets.reps.factored import FactoredBasis, Isotypic
from eqnets.reps.family import Family, make_family
from eqnets.reps.images import Images
from eqnets.reps.problem import Problem

_CARRIED = 1e-9  # the largest residual after a change of basis


def solve_schur(problem: Problem, *, max_bytes: int) -> Basis | None:
    """The basis by the Schur route, or None where it does not apply.

    It applies where each generator is normal, or the Lie algebra closed under
    adjoints, in the given coordinates or (reductive and compact groups) in others.

    Raises:
        BasisError: the factors are over budget.
    """
    cut = _balanced_cut(problem.sizes)
    atoms, places = _half_atoms(problem, cut)
    shape = [int(np.prod(s, dtype=object)) for s in _halves(problem.sizes, cut)]
    _check_budget(problem, shape, max_bytes)
    family = make_family(atoms, max_bytes=max_bytes)
    if family is None:
        return None
    decomposer = Decomposer(_typed(family, problem.dtype))
    try:
        left = decomposer.tensor(places[:cut])
        right = left if places[:cut] == places[cut:] else None
        right = decomposer.tensor(places[cut:]) if right is None else right
        parts = [
            Isotypic(left[t], right[t], decomposer.endomorphisms(t))
            for t in sorted(left)
            if t in right
        ]
    except NotDecomposed:
        return None
    basis: Basis = FactoredBasis(parts, tuple(shape), problem.dtype)
    reason = "the generators are closed under adjoints"
    if family.back is not None:
        basis = _carried_back(parts, shape, family, places, cut, max_bytes)
        if residual(problem, basis) > _CARRIED:
            return None  # too far from orthogonal coordinates
        reason = "the generators are so after a change of basis"
    count = len(decomposer.irreps)
    basis.method = f"Schur: {count} irreps in halves {shape[0]} x {shape[1]}; {reason}"
    return basis


def _balanced_cut(sizes):
    """Where to cut the factors so that the larger half is as small as can be."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(sizes))])
    return int(np.argmin(np.maximum(logs, logs[-1] - logs)))


def _halves(sizes, cut):
    return sizes[:cut], sizes[cut:]


def _half_atoms(problem, cut):
    """The different atoms of A and of B*, and the places of the factors in them."""
    atoms: list[Images] = []
    places = []
    for i, atom in enumerate(problem.atoms):
        image = atom if i < cut or atom.is_orthogonal else atom.dual
        same = [x for x, other in enumerate(atoms) if _same(image, other)]
        places.append(same[0] if same else len(atoms))
        if not same:
            atoms.append(image)
    return atoms, places


def _same(a: Images, b: Images) -> bool:
    """Whether two atoms are the same matrices to rounding, as V and V** are."""
    if a is b:
        return True
    if a.size != b.size or not np.allclose(a.lie, b.lie, rtol=0, atol=1e-14):
        return False
    return bool(np.allclose(a.discrete, b.discrete, rtol=0, atol=1e-14))


def _check_budget(problem, shape, max_bytes):
    needed = 3 * sum(n * n for n in shape) * problem.dtype.itemsize
    if needed > max_bytes:
        raise BasisError(
            f"a tensor of size {problem.size} is over budget: its halves of sizes "
            f"{shape[0]} and {shape[1]} need {needed / 2**30:.1f} GiB (max_bytes="
            f"{max_bytes}); use a smaller tensor power, or raise max_bytes"
        )


def _typed(family: Family, dtype) -> Family:
    gens = [g.astype(np.result_type(dtype, g)) for g in family.gens]
    return Family(gens, family.lie, family.casimir, family.back)


def _carried_back(parts, shape, family, places, cut, max_bytes):
    """The basis in the given coordinates, orthonormal again.

    With B* in coordinates S its vectors come back by S^-1, and B itself by S^T: the
    columns are (left)(J)(right^H), so both halves come back by the same rule up to a
    conjugate inverse.
    """
    moved = []
    for p in parts:
        left = _apply_back(family, places[:cut], p.left, dual=False)
        right = _apply_back(family, places[cut:], p.right, dual=True)
        moved.append(Isotypic(left, right, p.endo))
    dtype = np.result_type(*[m.left for m in moved], float)
    basis = FactoredBasis(moved, tuple(shape), dtype)
    if basis.size * basis.rank * 3 * dtype.itemsize > max_bytes:
        raise BasisError(
            f"the basis [{basis.size}, {basis.rank}] must be made orthonormal densely, "
            f"over max_bytes={max_bytes}: give unitary generators, or raise max_bytes"
        )
    return DenseBasis(np.linalg.qr(basis.dense())[0])


def _apply_back(family, places, copies, *, dual):
    n, m, d = copies.shape
    x = copies.reshape(n, m * d)
    for i, place in enumerate(places):
        back = family.back[place]
        # right^H is multiplied by the dual action: S^H in place of S^-1.
        matrix = np.linalg.inv(back).conj().T if dual else back
        size = len(matrix)
        before = int(np.prod([len(family.back[p]) for p in places[:i]], dtype=int))
        x = np.einsum("pq,aqb->apb", matrix, x.reshape(before, size, -1), optimize=True)
        x = x.reshape(n, m * d)
    return x.reshape(n, m, d)
