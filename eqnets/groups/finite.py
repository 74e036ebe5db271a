"""Named finite groups on few coordinates."""

import numpy as np

from eqnets.groups.base import MatrixGroup
from eqnets.groups.checks import count

# Faces U, R, F, D, L, B; quarter turns about the axes through U and through R.
_TURN_U = [0, 5, 1, 3, 2, 4]
_TURN_R = [2, 1, 3, 5, 4, 0]


def rotations(k: int) -> MatrixGroup:
    """C_k: the rotations of R^2 by multiples of 2 pi / k radians.

    Raises:
        TypeError, ValueError: ``k`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.rotations(4).discrete[0].round(6).tolist()  # +x goes to +y
    [[0.0, -1.0], [1.0, 0.0]]
    """
    k = count(k, "k")
    return MatrixGroup(discrete=_turn(k)[None], name=f"C_{k}")


def dihedral(k: int) -> MatrixGroup:
    """D_k: the 2 k symmetries of the regular k-gon, on R^2.

    Raises:
        TypeError, ValueError: ``k`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.order(groups.dihedral(6))
    12
    """
    k = count(k, "k")
    flip = np.diag([1.0, -1.0])
    return MatrixGroup(discrete=np.stack([_turn(k), flip]), name=f"D_{k}")


def cyclic(n: int) -> MatrixGroup:
    """Z_n: cyclic shifts of n coordinates, x_j -> place j + 1.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.cyclic(3)
    <MatrixGroup Z_3: d=3, 1 discrete and 0 Lie generators>
    >>> (groups.cyclic(3).discrete[0] @ [5, 6, 7]).tolist()
    [7.0, 5.0, 6.0]
    """
    n = count(n, "n")
    return MatrixGroup.from_permutations([np.roll(np.arange(n), -1)], name=f"Z_{n}")


def symmetric(n: int) -> MatrixGroup:
    """S_n: all permutations of n coordinates, by a transposition and a cycle.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.symmetric(10))
    >>> reps.equivariant_basis(V >> V).rank  # deep sets: the identity and the sum
    2
    """
    n = count(n, "n")
    if n == 1:
        return MatrixGroup.from_permutations(np.zeros((0, 1), int), name="S_1")
    swap = np.arange(n)
    swap[:2] = 1, 0
    return MatrixGroup.from_permutations(
        [swap, np.roll(np.arange(n), -1)], name=f"S_{n}"
    )


def alternating(n: int) -> MatrixGroup:
    """A_n: the even permutations of n coordinates, by the 3-cycles (0 1 i).

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.order(groups.alternating(4)), groups.order(groups.symmetric(4))
    (12, 24)
    """
    n = count(n, "n")
    perms = np.tile(np.arange(n), (max(n - 2, 0), 1))
    for row, i in zip(perms, range(2, n), strict=True):
        row[[0, 1, i]] = 1, i, 0
    return MatrixGroup.from_permutations(perms, name=f"A_{n}")


def signed_permutations(n: int) -> MatrixGroup:
    """B_n: permutations and sign changes of n coordinates (hyperoctahedral).

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.order(groups.signed_permutations(3))  # 2^3 3!: the cube with its mirrors
    48
    """
    n = count(n, "n")
    flip = np.eye(n)
    flip[0, 0] = -1
    return MatrixGroup(
        discrete=np.concatenate([symmetric(n).discrete, flip[None]]), name=f"B_{n}"
    )


def cube_faces() -> MatrixGroup:
    """The 24 rotations of a cube, permuting its six faces (U, R, F, D, L, B).

    >>> from eqnets import groups
    >>> groups.cube_faces().d, groups.order(groups.cube_faces())
    (6, 24)
    """
    return MatrixGroup.from_permutations([_TURN_U, _TURN_R], name="cube faces")


def pauli(n: int) -> MatrixGroup:
    """The Pauli group of one n-level system: clock and shift matrices on C^n.

    Clock Z = diag(1, w, .., w^(n-1)) with w = exp(2 pi i / n), shift X e_j = e_{j+1}.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups
    >>> import numpy as np
    >>> Z, X = groups.pauli(2).discrete
    >>> bool(np.allclose(Z @ X, -X @ Z))
    True
    """
    n = count(n, "n")
    clock = np.diag(np.exp(2j * np.pi * np.arange(n) / n))
    shift = np.roll(np.eye(n), 1, axis=0)
    return MatrixGroup(discrete=np.stack([clock, shift]), name=f"Pauli({n})")


def _turn(k: int) -> np.ndarray:
    """Rotation by 2 pi / k; exact where its entries are whole numbers."""
    c, s = np.cos(2 * np.pi / k), np.sin(2 * np.pi / k)
    turn = np.array([[c, -s], [s, c]])
    whole = np.round(turn)
    return np.where(np.abs(turn - whole) < 1e-15 * 4, whole, turn)
