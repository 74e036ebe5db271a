"""Affine maps of the image plane, what they do to images, and how to find them."""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from eqnets.actions import Action
from eqnets.actions.base import Brightness, Identity
from eqnets.actions.interpolate import resample
from eqnets.actions.spatial import SpatialAction, affine_flow

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
#: How far, in pixels, a probed transformation may be from affine.
STRAIGHT = 1e-3


@dataclasses.dataclass(frozen=True)
class AffineMap:
    """u -> L u + o on positions u = (x, y) in pixels from the centre of the image.

    x points right and y down; ``g(x)`` moves the content of images: [g x](u) =
    x(g^-1 u). Maps compare by content and compose with ``@``.

    Attributes:
        matrix: (L | o), two rows of three numbers.
        interpolation: of images, ``"bilinear"`` or ``"cubic"``.
        boundary: beyond the image, ``"zeros"``, ``"reflect"`` or ``"wrap"``.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> quarter = maps.rotate(90)
    >>> (quarter @ quarter).matrix == maps.rotate(180).matrix
    True
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])[None, :, :, None]
    >>> quarter(x)[0, :, :, 0].tolist()
    [[3.0, 1.0], [4.0, 2.0]]
    """

    matrix: Matrix
    interpolation: str = "bilinear"
    boundary: str = "zeros"

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Move the content of images [B, H, W, C]."""
        if jnp.ndim(x) != 4 or not jnp.issubdtype(jnp.result_type(x), jnp.floating):
            raise ValueError(
                "an affine map moves images [B, H, W, C] of a floating dtype; got "
                f"{jnp.result_type(x)} {jnp.shape(x)}"
            )
        x = jnp.asarray(x)
        return _warp(self, x)

    def sources(self, h: int, w: int) -> Float[np.ndarray, "2 h w"]:
        """Where g x reads x, for each pixel: (column, row), in pixels."""
        row, column = np.mgrid[:h, :w] - np.array([h - 1, w - 1])[:, None, None] / 2
        read = self.inverse.points(np.stack([column, row], -1))
        centre = np.array([w - 1, h - 1]) / 2
        return np.moveaxis(read + centre, -1, 0)

    def points(self, u: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Map positions (x, y), in pixels from the centre."""
        m = np.asarray(self.matrix)
        return u @ m[:, :2].T + m[:, 2]

    @property
    def inverse(self) -> "AffineMap":
        """g^-1."""
        m = np.asarray(self.matrix)
        linear = np.linalg.inv(m[:, :2])
        whole = np.concatenate([linear, -linear @ m[:, 2:]], 1)
        return dataclasses.replace(self, matrix=as_matrix(whole))

    def __matmul__(self, other: "AffineMap") -> "AffineMap":
        """First ``other``, then this one."""
        a, b = (np.vstack([g.matrix, [0, 0, 1]]) for g in (self, other))
        return dataclasses.replace(self, matrix=as_matrix((a @ b)[:2]))


@functools.partial(jax.jit, static_argnums=0)
def _warp(g: AffineMap, x: Array) -> Array:
    where = (jnp.asarray(p, x.dtype) for p in g.sources(x.shape[1], x.shape[2]))
    return resample(x, *where, g.interpolation, g.boundary)


def as_matrix(m: ArrayLike | Sequence) -> Matrix:
    """A finite invertible 2 x 3 matrix as tuples, -0 as 0.

    Raises:
        ValueError: it is something else.
    """
    m = np.asarray(m, np.float64)
    if m.shape != (2, 3) or not np.isfinite(m).all():
        raise ValueError(f"expected a finite 2 x 3 matrix (L | o), got {m.tolist()}")
    if abs(np.linalg.det(m[:, :2])) < 1e-12:
        raise ValueError(f"the map {m.tolist()} has no inverse")
    return tuple(tuple(float(v) + 0.0 for v in row) for row in m)


def affine_map(matrix: ArrayLike | Sequence, **options: str) -> AffineMap:
    """The map with the 2 x 3 matrix (L | o).

    Args:
        matrix: array-like [2, 3], invertible; o in pixels.
        **options: ``interpolation`` and ``boundary`` of `AffineMap`.

    Raises:
        ValueError: the matrix has another shape or no inverse.

    >>> from eqnets import maps
    >>> right = maps.affine_map([[1, 0, 3], [0, 1, 0]], boundary="wrap")
    >>> right.inverse.matrix
    ((1.0, 0.0, -3.0), (0.0, 1.0, 0.0))
    """
    return AffineMap(as_matrix(matrix), **options)


def rotate(degrees: float | int, **options: str) -> AffineMap:
    """Rotation about the centre, +x (right) towards +y (down); exact at 90 degrees.

    Raises:
        TypeError: ``degrees`` is not a real number.
        ValueError: it is not finite.

    >>> from eqnets import maps
    >>> maps.rotate(90).matrix
    ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
    """
    _require_number("degrees", degrees)
    quarters, rest = divmod(degrees, 90)
    angle = math.radians(rest)
    c, s = math.cos(angle), math.sin(angle)
    for _ in range(int(quarters) % 4):
        c, s = -s, c
    return affine_map([[c, -s, 0], [s, c, 0]], **options)


def scale(factor: float | int, **options: str) -> AffineMap:
    """Magnification about the centre.

    Raises:
        TypeError: ``factor`` is not a real number.
        ValueError: it is not finite, or zero.

    >>> from eqnets import maps
    >>> maps.scale(2).matrix
    ((2.0, 0.0, 0.0), (0.0, 2.0, 0.0))
    """
    _require_number("factor", factor)
    return affine_map([[factor, 0, 0], [0, factor, 0]], **options)


def flip(axis: str, **options: str) -> AffineMap:
    """Mirror left and right (``"x"``) or top and bottom (``"y"``).

    Raises:
        ValueError: another axis.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])[None, :, :, None]
    >>> maps.flip("x")(x)[0, :, :, 0].tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    if axis not in ("x", "y"):
        raise ValueError(f'axis must be "x" or "y"; got {axis!r}')
    sign = -1.0 if axis == "x" else 1.0
    return affine_map([[sign, 0, 0], [0, -sign, 0]], **options)


def _require_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")


@dataclasses.dataclass(frozen=True)
class Transform:
    """A transformation g of images, its inverse, and its geometry.

    Attributes:
        apply: x -> g x.
        undo: x -> g^-1 x.
        geometry: what g does to the plane.
    """

    apply: Callable[[Array], Array]
    undo: Callable[[Array], Array]
    geometry: AffineMap


def as_transform(
    g: Any, shape: tuple[int, ...], *, t: float | int | None = None
) -> Transform:
    """The transformation that ``g`` stands for, on images of a shape.

    Args:
        g: an `AffineMap`; an action of `eqnets.actions`, with its time ``t``; a
            function of images that moves their content by an affine map (found by
            probing), such as ``actions.hflip``; or a `Transform`.
        shape: of the images, ``[B, H, W, C]``.
        t: for an action alone.

    Raises:
        TypeError: ``g`` is none of these, or ``t`` is missing or superfluous.
        ValueError: a function that is not affine on coordinates.

    >>> import numpy as np
    >>> from eqnets import actions, maps
    >>> maps.as_transform(actions.hflip, (1, 6, 6, 1)).geometry == maps.flip("x")
    True
    >>> turned = maps.as_transform(actions.rotation(), (1, 6, 6, 1), t=np.pi / 2)
    >>> np.round(turned.geometry.matrix, 6).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    if isinstance(g, Action):
        if t is None:
            raise TypeError(f"the action {g.name} needs its time: say t=...")
        return _of_action(g, float(t), shape)
    if t is not None:
        raise TypeError("t is the time of an action; this transformation has none")
    if isinstance(g, Transform):
        return g
    if isinstance(g, AffineMap):
        return Transform(g, g.inverse, g)
    if not callable(g):
        raise TypeError(
            "expected an AffineMap, an action with t=..., a function of images or a "
            f"Transform; got {type(g).__name__}"
        )
    geometry = probe_affine(g, shape)
    return Transform(g, geometry.inverse, geometry)


def _of_action(action: Action, t: float, shape: tuple[int, ...]) -> Transform:
    def apply(x: Array) -> Array:
        return action(x, t)

    def undo(x: Array) -> Array:
        return action(x, -t)

    if isinstance(action, Brightness | Identity):
        undo = (lambda x: x / (1 + t)) if isinstance(action, Brightness) else undo
        return Transform(apply, undo, affine_map([[1, 0, 0], [0, 1, 0]]))
    if isinstance(action, SpatialAction):
        return Transform(apply, undo, _flow(action, t, shape))
    return Transform(apply, undo, probe_affine(apply, shape))


def _flow(action: SpatialAction, t: float, shape: tuple[int, ...]) -> AffineMap:
    if action.reference:
        return probe_affine(lambda x: action(x, t), shape)
    h, w = shape[1:3]
    side = max(h, w)
    g = np.asarray(action.generator, np.float64).copy()
    if action.per_axis:
        g[:, 2] *= np.array([w, h]) / side
    with jax.enable_x64(True):
        linear, offset = affine_flow(g, jnp.asarray(t, jnp.float64))
    rows = zip(linear, offset, strict=True)
    whole = np.array([[*map(float, row), side * float(o)] for row, o in rows])
    return affine_map(whole)


def probe_affine(g: Callable[[Array], Array], shape: tuple[int, ...]) -> AffineMap:
    """Find the affine map that a transformation of images moves their content by.

    The images of the coordinates are transformed: g x reads x at g^-1 u, so that they
    hold g^-1 u. Pixels that read beyond the border hold something else; so maps are
    fitted to small windows, the one that most pixels agree with is taken, and fitted
    again to all pixels that it reads from inside the image.

    Raises:
        ValueError: these pixels do not read affinely, or are too few to tell.
    """
    h, w = shape[1:3]
    row, column = np.mgrid[:h, :w] - np.array([h - 1, w - 1])[:, None, None] / 2
    grid = np.stack([column, row, np.ones((h, w))], -1)
    ramp = jnp.asarray(np.stack([column, row]), jnp.float32)[..., None]
    moved = np.asarray(g(ramp), np.float64)
    if moved.shape != (2, h, w, 1):
        raise ValueError(
            f"the transformation turns images of {h} x {w} into {moved.shape[1:3]}; "
            "its geometry needs a square image: give an AffineMap, or a Transform"
        )
    read = np.moveaxis(moved[..., 0], 0, -1)
    tolerance = STRAIGHT * max(h, w)
    found = [_agreement(grid, read, part, tolerance) for part in _windows(h, w)]
    inside, _ = max(found, key=lambda pair: pair[1])
    if np.linalg.matrix_rank(grid[inside]) < 3:
        raise ValueError(
            f"the transformation is not affine, or moves an image of {h} x {w} nearly "
            "out of sight; give a Transform(apply, undo, geometry)"
        )
    solution = _least_squares(grid[inside], read[inside])
    error = np.abs(grid[inside] @ solution - read[inside]).max()
    if error > tolerance:
        raise ValueError(
            f"the transformation is not affine: coordinates are off by {error:.3g} "
            "pixels; give a Transform(apply, undo, geometry)"
        )
    near = np.round(solution * 2) / 2  # flips and quarter turns to the last digit
    exact = np.abs(solution - near).max() < 1e-4
    return affine_map((near if exact else solution).T).inverse


def _windows(h: int, w: int) -> list[tuple[slice, slice]]:
    """Windows of an eighth of a side, five along each axis."""
    size = min(h, w, max(3, min(h, w) // 8))
    tops, lefts = (np.unique(np.linspace(0, n - size, 5).astype(int)) for n in (h, w))
    return [(slice(i, i + size), slice(j, j + size)) for i in tops for j in lefts]


def _agreement(
    grid: np.ndarray, read: np.ndarray, window: tuple[slice, slice], tolerance: float
) -> tuple[np.ndarray, int]:
    """Pixels that a window's map reads from inside, and how many of them do so."""
    solution = _least_squares(grid[window].reshape(-1, 3), read[window].reshape(-1, 2))
    if abs(np.linalg.det(solution[:2])) < 1e-6:  # the same everywhere beyond the border
        return np.zeros(grid.shape[:2], bool), 0
    found = grid @ solution
    # Interpolation of the border's pixels may use what is beyond.
    margin = min(2, (min(grid.shape[:2]) - 1) // 4)
    last = np.array([grid.shape[1] - 1, grid.shape[0] - 1]) / 2 - margin
    inside = (np.abs(found) <= last + tolerance).all(-1)
    agrees = np.abs(found - read).max(-1) <= tolerance
    return inside, int((inside & agrees).sum())


def _least_squares(grid: np.ndarray, read: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(grid, read, rcond=None)[0]
