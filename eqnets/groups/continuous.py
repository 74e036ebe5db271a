"""Named groups with a Lie algebra."""

import numpy as np

from eqnets.groups.base import MatrixGroup
from eqnets.groups.checks import count


def trivial(n: int) -> MatrixGroup:
    """The group with one element, on R^n: every vector is invariant.

    Acts on ``[n]``; with it `reps` and `nn` solve the unconstrained problem too.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.trivial(3))
    >>> reps.equivariant_basis(V >> V).rank  # all 3 x 3 matrices
    9
    """
    n = count(n, "n")
    return MatrixGroup.from_permutations(np.zeros((0, n), int), name=f"trivial({n})")


def SO(n: int) -> MatrixGroup:
    """Rotations of R^n, matrices ``[n, n]``; the algebra is in radians.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> groups.SO(3)
    <MatrixGroup SO(3): d=3, 0 discrete and 3 Lie generators>
    >>> V = reps.vector(groups.SO(3))
    >>> reps.equivariant_basis(V * V >> V).rank  # the cross product
    1
    """
    return SOpq(count(n, "n"), 0)._renamed(f"SO({n})")


def O(n: int) -> MatrixGroup:  # noqa: E743 - the name of the orthogonal group
    """Rotations and reflections of R^n, matrices ``[n, n]``.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.O(3))
    >>> reps.equivariant_basis(V * V >> V).rank  # a mirror reverses the cross product
    0
    """
    return Opq(count(n, "n"), 0)._renamed(f"O({n})")


def SOpq(p: int, q: int) -> MatrixGroup:
    """The identity component of the isometries of x_1^2 + .. + x_p^2 - .. - x_{p+q}^2.

    Args:
        p: number of coordinates of the first sign, which come first.
        q: number of coordinates of the other sign.

    Raises:
        TypeError, ValueError: ``p`` or ``q`` is no integer, negative, or both are 0.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.SOpq(1, 1))  # boosts of a line
    >>> reps.equivariant_basis(V * V).dense().shape  # x^2 - y^2 and the oriented area
    (4, 2)
    """
    return MatrixGroup(lie_algebra=_so_algebra(p, q), name=f"SO+({p},{q})")


def Opq(p: int, q: int) -> MatrixGroup:
    """All isometries of the form of signature (p, q), reflections included.

    Args:
        p: number of coordinates of the first sign, which come first.
        q: number of coordinates of the other sign.

    Raises:
        TypeError, ValueError: ``p`` or ``q`` is no integer, negative, or both are 0.

    >>> import jax
    >>> from eqnets import groups
    >>> g = groups.Opq(1, 2).sample(jax.random.key(0))
    >>> import numpy as np
    >>> form = np.diag([1, -1, -1])
    >>> bool(np.allclose(g.T @ form @ g, form))
    True
    """
    flips = [_flip(p + q, 0)] if p else []
    if q:
        flips.append(_flip(p + q, p))
    return MatrixGroup(
        lie_algebra=_so_algebra(p, q), discrete=np.stack(flips), name=f"O({p},{q})"
    )


def lorentz() -> MatrixGroup:
    """The full Lorentz group O(1, 3): boosts, rotations, time and space reversal.

    Time is the first of the four coordinates, in units where the speed of light is 1.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.lorentz())
    >>> metric = reps.equivariant_basis(V * V).dense().reshape(4, 4)
    >>> (metric / metric[0, 0]).round(6).diagonal().tolist()
    [1.0, -1.0, -1.0, -1.0]
    """
    return Opq(1, 3)


def SU(n: int) -> MatrixGroup:
    """Unitary matrices of determinant one, on C^n.

    Representations are complex, and so are their bases and ranks.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.SU(3))
    >>> [reps.equivariant_basis(W).rank for W in (V >> V, V**3)]  # trace, determinant
    [1, 1]
    """
    n = count(n, "n")
    diagonal = np.zeros((n - 1, n, n), complex)
    for i in range(n - 1):
        diagonal[i, i, i], diagonal[i, i + 1, i + 1] = 1j, -1j
    return MatrixGroup(
        lie_algebra=np.concatenate([_off_diagonal_u(n), diagonal]), name=f"SU({n})"
    )


def U(n: int) -> MatrixGroup:
    """Unitary matrices, on C^n.

    Representations are complex, and so are their bases and ranks.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.U(3))
    >>> [reps.equivariant_basis(W).rank for W in (V >> V, V**3)]  # no determinant
    [1, 0]
    """
    n = count(n, "n")
    diagonal = np.zeros((n, n, n), complex)
    diagonal[np.arange(n), np.arange(n), np.arange(n)] = 1j
    return MatrixGroup(
        lie_algebra=np.concatenate([_off_diagonal_u(n), diagonal]), name=f"U({n})"
    )


def SL(n: int) -> MatrixGroup:
    """Real matrices of determinant one.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.SL(2))
    >>> reps.equivariant_basis(V * V).rank  # the area of two vectors
    1
    """
    n = count(n, "n")
    units = _units(n, [(i, j) for i in range(n) for j in range(n) if i != j])
    diagonal = np.zeros((n - 1, n, n))
    for i in range(n - 1):
        diagonal[i, i, i], diagonal[i, i + 1, i + 1] = 1, -1
    return MatrixGroup(lie_algebra=np.concatenate([units, diagonal]), name=f"SL({n})")


def GL(n: int) -> MatrixGroup:
    """Invertible real matrices, of either sign of the determinant.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.GL(2))
    >>> [reps.equivariant_basis(W).rank for W in (V * V, V >> V)]  # V and V* differ
    [0, 1]
    """
    n = count(n, "n")
    units = _units(n, [(i, j) for i in range(n) for j in range(n)])
    return MatrixGroup(lie_algebra=units, discrete=_flip(n, 0)[None], name=f"GL({n})")


def Sp(m: int) -> MatrixGroup:
    """Real symplectic matrices: S^T J S = J on R^2m, J = [[0, 1], [-1, 0]].

    Args:
        m: half the number of coordinates: m positions, then m momenta.

    Raises:
        TypeError, ValueError: ``m`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.Sp(2))
    >>> import numpy as np
    >>> form = reps.equivariant_basis(V * V).dense().reshape(4, 4)
    >>> bool(np.allclose(form, -form.T))  # the one invariant form is J
    True
    """
    m = count(m, "m")
    algebra = []
    for i in range(m):
        for j in range(m):
            a = np.zeros((2 * m, 2 * m))
            a[i, j], a[m + j, m + i] = 1, -1
            algebra.append(a)
            if i <= j:
                b = np.zeros((2 * m, 2 * m))
                b[i, m + j] = b[j, m + i] = 1
                algebra += [b, b.T]
    return MatrixGroup(lie_algebra=np.stack(algebra), name=f"Sp({m})")


def heisenberg() -> MatrixGroup:
    """Unit upper triangular 3 x 3 matrices: not reductive, so no averaging helps.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.heisenberg())
    >>> reps.equivariant_basis(V).dense()[:, 0].round(6).tolist()  # the fixed axis
    [1.0, 0.0, 0.0]
    """
    return MatrixGroup(
        lie_algebra=_units(3, [(0, 1), (1, 2), (0, 2)]), name="Heisenberg"
    )


def scaling(n: int) -> MatrixGroup:
    """The maps x -> c x of R^n, c > 0.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.scaling(2))
    >>> [reps.equivariant_basis(W).rank for W in (V, V >> V)]  # units must agree
    [0, 4]
    """
    return MatrixGroup(lie_algebra=np.eye(count(n, "n"))[None], name=f"scaling({n})")


def _so_algebra(p: int, q: int) -> np.ndarray:
    p, q = count(p, "p", least=0), count(q, "q", least=0)
    n = count(p + q, "p + q")
    pairs = [(i, j) for i in range(n) for j in range(i)]
    algebra = np.zeros((len(pairs), n, n))
    for a, (i, j) in zip(algebra, pairs, strict=True):
        a[i, j] = 1
        a[j, i] = -1 if (i < p) == (j < p) else 1
    return algebra


def _flip(n: int, i: int) -> np.ndarray:
    flip = np.eye(n)
    flip[i, i] = -1
    return flip


def _units(n: int, places: list[tuple[int, int]]) -> np.ndarray:
    out = np.zeros((len(places), n, n))
    for e, place in zip(out, places, strict=True):
        e[place] = 1
    return out


def _off_diagonal_u(n: int) -> np.ndarray:
    pairs = [(i, j) for i in range(n) for j in range(i)]
    out = np.zeros((2 * len(pairs), n, n), complex)
    for k, (i, j) in enumerate(pairs):
        out[2 * k, i, j], out[2 * k, j, i] = 1, -1
        out[2 * k + 1, i, j] = out[2 * k + 1, j, i] = 1j
    return out
