"""Irreducible representations of the common compact groups, and subrepresentations."""

import itertools

import numpy as np
from jaxtyping import Num

from eqnets.groups import MatrixGroup
from eqnets.groups.checks import count
from eqnets.reps.atoms import T, as_group, from_rho, scalar, vector
from eqnets.reps.base import ArrayLike, Atom, Rep
from eqnets.reps.canonical import canonical_basis
from eqnets.reps.decompose import Decomposer, NotDecomposed
from eqnets.reps.family import make_family
from eqnets.reps.images import Images


class _Sub(Atom):
    """A subrepresentation: rho(g) restricted to the span of orthonormal columns."""

    def __init__(self, rep, columns, symbol):
        self.rep, self.columns = rep, columns
        group = rep.groups[0]
        disc = [self.matrix(h) for h in group.discrete]
        lie = [self.derivative(a) for a in group.lie_algebra]
        n = columns.shape[1]
        empty = np.zeros((0, n, n))
        images = Images.of(
            np.stack(disc) if disc else empty, np.stack(lie) if lie else empty
        )
        super().__init__(group, images, symbol)

    def matrix(self, g: ArrayLike) -> ArrayLike:
        """P^H rho(g) P, without a dense rho(g)."""
        return (self.rep.rho_apply(g, self.columns.T) @ self.columns.conj()).T

    def derivative(self, a: ArrayLike) -> ArrayLike:
        """P^H drho(a) P."""
        return (self.rep.drho_apply(a, self.columns.T) @ self.columns.conj()).T


def subrep(rep: Rep, columns: Num[np.ndarray, "n k"], *, name: str = "W") -> Rep:
    """The restriction of a representation to an invariant subspace.

    Args:
        rep: a representation of one group.
        columns: orthonormal columns ``[rep.size, k]`` that span an invariant subspace.
        name: what it is printed as.

    Raises:
        ValueError: the columns are not orthonormal, or their span is not invariant.

    >>> import numpy as np
    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.symmetric(3))
    >>> mean = np.ones((3, 1)) / np.sqrt(3)
    >>> reps.subrep(V, mean).rho(groups.symmetric(3).discrete[0]).round(9).tolist()
    [[1.0]]
    """
    if len(rep.groups) != 1:
        raise ValueError(f"rep must belong to one group; {rep} has {len(rep.groups)}")
    gram = columns.conj().T @ columns
    if not np.allclose(gram, np.eye(columns.shape[1]), atol=1e-9):
        raise ValueError("columns must be orthonormal: take the Q of np.linalg.qr")
    group = rep.groups[0]
    moved = [rep.rho_apply(h, columns.T) for h in group.discrete]
    moved += [rep.drho_apply(a, columns.T) for a in group.lie_algebra]
    for x in moved:
        outside = x - (x @ columns.conj()) @ columns.T
        if np.abs(outside).max(initial=0.0) > 1e-8 * max(1.0, np.abs(x).max()):
            raise ValueError("the span of columns is not invariant under the group")
    return _Sub(rep, columns, name)


def constituents(rep: Rep) -> list[tuple[int, Rep]]:
    """The irreducible constituents of a representation, with their multiplicities.

    Irreps are over the field of the representation: a rotation of the plane is one real
    irrep. ``constituents(T(SU(3), p, q))`` finds irreps of any compact group.

    Args:
        rep: a representation of one group, compact or reductive; of size up to about
            1000, as its generators are written densely.

    Returns:
        (multiplicity, irrep) pairs by size; each irrep is a `subrep` of ``rep``.

    Raises:
        ValueError: the group is not reductive, or ``rep`` has not one group.

    >>> from eqnets import groups, reps
    >>> [(m, W.size) for m, W in reps.constituents(reps.T(groups.SU(3), 2, 1))]
    [(2, 3), (1, 6), (1, 15)]
    """
    if len(rep.groups) != 1:
        raise ValueError(f"rep must belong to one group; {rep} has {len(rep.groups)}")
    (group,) = rep.groups
    images = Images.of(
        _images(rep.rho, group.discrete, rep.size),
        _images(rep.drho, group.lie_algebra, rep.size),
    )
    family = make_family([images], max_bytes=2**31)
    try:
        if family is None:
            raise NotDecomposed
        found = Decomposer(family).split(family.gens[0])
    except NotDecomposed as error:
        raise ValueError(
            f"{rep} does not split into irreps: {group} does not act reductively, or "
            "its generators are not exact; give unitary generators in double precision"
        ) from error
    back = np.eye(rep.size) if family.back is None else family.back[0]
    out = []
    for copies in sorted(found.values(), key=lambda c: c.shape[2]):
        columns = np.linalg.qr(back @ copies[:, 0])[0]
        out.append((copies.shape[1], subrep(rep, columns, name=f"W{copies.shape[2]}")))
    return out


def _images(act, generators, size):
    made = [act(g) for g in generators]
    return np.stack(made) if made else np.zeros((0, size, size))


def symmetric_power(G: MatrixGroup, k: int) -> Rep:
    """Sym^k V: symmetric tensors. For SU(2) the spin k / 2 irrep, of size k + 1.

    Raises:
        TypeError, ValueError: ``k`` is not a non-negative integer.

    >>> from eqnets import groups, reps
    >>> reps.symmetric_power(groups.SU(2), 3).size
    4
    """
    k = count(k, "k", least=0)
    return _power(G, k, itertools.combinations_with_replacement, _symmetrised, "Sym")


def alternating_power(G: MatrixGroup, k: int) -> Rep:
    """Alt^k V: antisymmetric tensors; for O(n) with k = n the determinant.

    Raises:
        TypeError, ValueError: ``k`` is not an integer in ``0 .. d``.

    >>> import numpy as np
    >>> from eqnets import groups, reps
    >>> reps.alternating_power(groups.O(3), 3).rho(-np.eye(3)).round(9).tolist()
    [[-1.0]]
    """
    k = count(k, "k", least=0)
    if k > as_group(G).d:
        raise ValueError(f"k must be at most {G.d}, the size of V, got {k}")
    return _power(G, k, itertools.combinations, _antisymmetrised, "Alt")


def harmonic(G: MatrixGroup, degree: int) -> Rep:
    """Symmetric traceless tensors of a group of orthogonal matrices.

    For SO(3) and O(3) the irrep of angular momentum ``degree``, of size
    2 degree + 1; for SO(2) and O(2) the frequency ``degree``.

    Raises:
        TypeError, ValueError: ``degree`` is not a non-negative integer, or G does not
            act by real orthogonal matrices.

    >>> from eqnets import groups, reps
    >>> L2 = reps.harmonic(groups.SO(3), 2)
    >>> L2.size, reps.equivariant_basis(L2 >> L2).rank
    (5, 1)
    """
    degree = count(degree, "degree", least=0)
    if not vector(G).images.is_orthogonal:
        raise ValueError(f"{G} does not act by real orthogonal matrices: no traces")
    if degree < 2:
        return vector(G) if degree else scalar(G)
    full = symmetric_power(G, degree).columns
    n = G.d
    # The trace over the first two indices, restricted to symmetric tensors.
    trace = np.einsum("iiks->ks", full.reshape(n, n, n ** (degree - 2), -1))
    _, s, vh = np.linalg.svd(trace)
    null = vh[np.sum(s > 1e-10) :].T
    return _Sub(T(G, degree), full @ canonical_basis(null), f"H{degree}")


def frequency(G: MatrixGroup, k: int) -> Rep:
    """The frequency-k action on R^2 of a group of 2 x 2 orthogonal matrices.

    A rotation by t acts by a rotation by k t, a reflection by the matching reflection:
    the irreps of SO(2), O(2), C_n and D_n other than the one-dimensional ones.

    Args:
        G: a group on R^2, such as ``groups.SO(2)`` or ``groups.dihedral(n)``.
        k: the frequency, positive.

    Raises:
        TypeError, ValueError: G acts otherwise, or ``k`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> G = groups.SO(2)
    >>> V, W = reps.vector(G), reps.frequency(G, 2)
    >>> [reps.equivariant_basis(U).rank for U in (V >> W, V * V >> W)]
    [0, 2]
    """
    k = count(k, "k")
    if as_group(G).d != 2 or not vector(G).images.is_orthogonal:
        raise ValueError(f"G must act on R^2 by orthogonal matrices, got {G!r}")

    def rho(g):
        xp = g.__array_namespace__()
        c, s, det = g[0, 0], g[1, 0], xp.linalg.det(g)
        re, im = xp.ones_like(c), xp.zeros_like(c)
        for _ in range(k):  # (c + i s)^k
            re, im = re * c - im * s, re * s + im * c
        return xp.stack([xp.stack([re, -im * det]), xp.stack([im, re * det])])

    return from_rho(G, rho, name=f"F{k}")


def determinant(G: MatrixGroup) -> Rep:
    """The one-dimensional representation det(g): the sign of a permutation.

    >>> from eqnets import groups, reps
    >>> G = groups.symmetric(3)
    >>> reps.determinant(G).rho(G.discrete[0]).tolist()
    [[-1.0]]
    """

    def rho(g):
        return g.__array_namespace__().linalg.det(g)[None, None]

    return from_rho(G, rho, name="det")


def _power(G, k, index_sets, spread, symbol):
    if k == 0:
        return scalar(G)
    if k == 1:
        return vector(G)
    n = as_group(G).d
    sets = list(index_sets(range(n), k))
    columns = np.zeros((n**k, len(sets)))
    for j, indices in enumerate(sets):
        for place, sign in spread(indices):
            columns[np.ravel_multi_index(place, (n,) * k), j] = sign
    columns /= np.linalg.norm(columns, axis=0)
    return _Sub(T(G, k), columns, f"{symbol}{k}")


def _symmetrised(indices):
    return [(p, 1.0) for p in itertools.permutations(indices)]


def _antisymmetrised(indices):
    out = []
    for order in itertools.permutations(range(len(indices))):
        sign = np.linalg.det(np.eye(len(order))[list(order)])
        out.append((tuple(indices[i] for i in order), float(round(sign))))
    return out
