"""Groups that permute the pixels of an image, and the planar G-CNN groups."""

import numpy as np

from eqnets.groups.base import MatrixGroup
from eqnets.groups.checks import count


def translations(h: int, w: int) -> MatrixGroup:
    """Z_h x Z_w: cyclic shifts of an h x w image, pixels in row-major order.

    Raises:
        TypeError, ValueError: ``h`` or ``w`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.translations(3, 4))
    >>> V.size, reps.equivariant_basis(V >> V).rank  # circular convolutions
    (12, 12)
    """
    h, w = count(h, "h"), count(w, "w")
    return MatrixGroup.from_permutations(
        [_shift(h, w, 1, 0), _shift(h, w, 0, 1)], name=f"Z_{h} x Z_{w}"
    )


def p4_images(n: int) -> MatrixGroup:
    """Shifts and quarter turns of n x n periodic images, size n^2.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.p4_images(3))
    >>> reps.equivariant_basis(V >> V).rank  # filters that are symmetric under C_4
    3
    """
    n = count(n, "n")
    return MatrixGroup.from_permutations(
        [_shift(n, n, 1, 0), _shift(n, n, 0, 1), _quarter(n)], name=f"p4({n}x{n})"
    )


def p4m_images(n: int) -> MatrixGroup:
    """Shifts, quarter turns and mirror images of n x n periodic images, size n^2.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.order(groups.p4m_images(3))  # 9 shifts, 4 turns, 2 sides
    72
    """
    n = count(n, "n")
    return MatrixGroup.from_permutations(
        [_shift(n, n, 1, 0), _shift(n, n, 0, 1), _quarter(n), _mirror(n)],
        name=f"p4m({n}x{n})",
    )


def dihedral_images(n: int) -> MatrixGroup:
    """D_4: the eight symmetries of the square on n x n pixels, no shifts.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.dihedral_images(3))
    >>> reps.equivariant_basis(V).rank  # corners, edges, centre
    3
    """
    n = count(n, "n")
    return MatrixGroup.from_permutations(
        [_quarter(n), _mirror(n)], name=f"D_4({n}x{n})"
    )


def p4(n: int) -> MatrixGroup:
    """p4 = (Z_n x Z_n) x| C_4 on its regular feature maps, [4, n, n] row-major.

    A map f(r, x) over rotations r and pixels x transforms as
    f(r, x) -> f(s^-1 r, s^-1 (x - t)) (Cohen & Welling 2016, Eq. 6): V >> V has the
    4 n^2 weights of a p4 -> p4 group convolution.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.p4(3))
    >>> V.size, reps.equivariant_basis(V >> V).rank
    (36, 36)
    """
    n = count(n, "n")
    return _plane_group(n, mirrored=False)


def p4m(n: int) -> MatrixGroup:
    """p4m = (Z_n x Z_n) x| D_4 on its regular feature maps, [8, n, n] row-major.

    The first axis lists the rotations 0, 90, 180, 270 degrees, then the same after a
    mirror image.

    Raises:
        TypeError, ValueError: ``n`` is not a positive integer.

    >>> from eqnets import groups
    >>> groups.p4m(2).d  # [8, 2, 2]
    32
    """
    n = count(n, "n")
    return _plane_group(n, mirrored=True)


def _grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    return np.divmod(np.arange(h * w), w)


def _shift(h: int, w: int, dy: int, dx: int) -> np.ndarray:
    i, j = _grid(h, w)
    return (i + dy) % h * w + (j + dx) % w


def _quarter(n: int) -> np.ndarray:
    """Turn the image by 90 degrees: pixel (i, j) goes to (n - 1 - j, i)."""
    i, j = _grid(n, n)
    return (n - 1 - j) * n + i


def _mirror(n: int) -> np.ndarray:
    i, j = _grid(n, n)
    return i * n + (n - 1 - j)


def _plane_group(n: int, mirrored: bool) -> MatrixGroup:
    """Left translation on the group itself; rotations turn about pixel (0, 0).

    Orientation o = 4 m + r stands for R^r M^m. Left multiplication by R sends
    R^r M^m to R^(r+1) M^m; by M it sends R^r M^m to R^(-r) M^(m+1).
    """
    orientations = 8 if mirrored else 4
    o, pixel = np.divmod(np.arange(orientations * n * n), n * n)
    i, j = np.divmod(pixel, n)
    m, r = np.divmod(o, 4)

    def place(m, r, i, j):
        return ((4 * m + r % 4) * n + i % n) * n + j % n

    perms = [
        place(m, r, i + 1, j),
        place(m, r, i, j + 1),
        place(m, r + 1, -j, i),
    ]
    if mirrored:
        perms.append(place(1 - m, -r, i, -j))
    kind = "p4m" if mirrored else "p4"
    return MatrixGroup.from_permutations(perms, name=f"{kind}({n})")
