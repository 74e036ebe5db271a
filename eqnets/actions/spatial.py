"""Flows of the plane acting on images: x'(u) = x(g_t^-1 u)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from .base import Action, Grid, linear_flow, require_floating, require_scalar_time
from .interpolate import resample, resample_axis
from .stencils import differentiate

Matrix23 = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclasses.dataclass(frozen=True)
class SpatialAction(Action):
    """The flow of an affine vector field v(u) = G (x, y, 1) acting on images.

    The content moves along v: (rho(t) x)(u) = x(g_t^-1 u), X x = -v . grad x. x points
    right (along the width), y down (along the height). Coordinates are isotropic:
    pixels / max(H, W) about the centre of the grid, pixel centres at half-integers.

    Attributes:
        generator: G, two rows of three numbers.
        interpolation: of the finite transformation.
        boundary: how the image goes on outside its frame.
        per_axis: the last column of G counts in fractions of the own axis (width for
            x, height for y) instead of max(H, W).
        reference: coordinates linspace(-1, 1) from first to last pixel centre on each
            axis, as in the public code of Gruver et al. (2022).
    """

    name: str
    units: str
    stencil: str
    generator: Matrix23
    interpolation: str
    boundary: str
    per_axis: bool = False
    reference: bool = False

    @property
    def annihilates_constants(self) -> bool:
        """Whether the stencil sees no edge at the frame of a constant image."""
        return self.boundary != "zeros" or self.stencil not in ("central", "cubic")

    def check(self, x: ArrayLike | jax.ShapeDtypeStruct) -> None:
        """Raise unless ``x`` is a floating array [B, H, W, C].

        Raises:
            TypeError: not a floating dtype.
            ValueError: not four axes.
        """
        require_floating(x, self.name)
        if jnp.ndim(x) != 4:
            raise ValueError(
                f"{self.name} acts on images [B, H, W, C], got an array of shape "
                f"{jnp.shape(x)}: add the missing axis (x[None]), or declare the grid "
                "of tokens [B, N, C] with actions.on_tokens(action, grid=(h, w))"
            )

    def moves(self, shape: tuple[int, ...]) -> bool:
        """Whether some axis that the flow moves has more than one pixel."""
        sizes = (shape[2], shape[1])
        return any(n > 1 and row != (0.0, 0.0, 0.0) for n, row in self._rows(sizes))

    def _rows(self, sizes: tuple[int, int]):
        return zip(sizes, self.generator, strict=True)

    def __call__(self, x: Array, t: float | Array) -> Float[Array, "b h w c"]:
        """Move the content of the images by the flow for time ``t``.

        The derivative in ``t`` is the generator's (``tangent``) applied to the result.
        """
        self.check(x)
        require_scalar_time(t, self.name)
        x = jnp.asarray(x)
        return linear_flow(
            self._transform, self.tangent, self.name, x, jnp.asarray(t, _working(x))
        )

    def tangent(self, x: Array) -> Float[Array, "b h w c"]:
        """-v . grad x by the named stencil; per unit t."""
        self.check(x)
        h, w = jnp.shape(x)[1:3]
        return self._derivative(x, self._velocity(h, w))

    def tangent_on(self, x: Array, grid: Grid) -> Float[Array, "b h w c"]:
        """-v . grad x at the places of the samples, by the named stencil."""
        self.check(x)
        (oy, ox), (sy, sx) = grid.origin, grid.spacing
        rows = oy + sy * np.arange(jnp.shape(x)[1])
        columns = ox + sx * np.arange(jnp.shape(x)[2])
        v = self._velocity(*grid.extent, rows, columns)
        scaled = (
            None if e is None else e / s for e, s in zip(v, (sx, sy), strict=True)
        )
        return self._derivative(x, tuple(scaled))

    def _derivative(
        self, x: Array, velocity: tuple[np.ndarray | None, np.ndarray | None]
    ) -> Array:
        """-v . grad x for a velocity in samples per unit t."""
        x = jnp.asarray(x)
        y = x.astype(_working(x))
        total = jnp.zeros_like(y)
        for axis, v in zip((2, 1), velocity, strict=True):
            if v is not None:
                slope = differentiate(y, axis, self.stencil, self.boundary)
                total = total - jnp.asarray(v, y.dtype)[:, :, None] * slope
        return total.astype(x.dtype)

    def _frame(self, h: int, w: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Pixels per unit of coordinate, (x, y), and the pixel of the origin."""
        centre = ((w - 1) / 2, (h - 1) / 2)
        if self.reference:
            return centre, centre
        return (float(max(h, w)),) * 2, centre

    def _scaled(self, h: int, w: int) -> Float[np.ndarray, "2 3"]:
        """The generator with its last column in coordinate units."""
        g = np.asarray(self.generator, np.float64).copy()
        if self.per_axis:
            g[:, 2] *= np.array([w, h]) / max(h, w)
        return g

    def _velocity(
        self,
        h: int,
        w: int,
        rows: np.ndarray | None = None,
        columns: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(v_x, v_y) in pixels per unit t, each [H or 1, W or 1], None where zero.

        At the pixels of an h x w image, or at positions ``rows``, ``columns`` on it.
        """
        (sx, sy), (cx, cy) = self._frame(h, w)
        x = ((np.arange(w) if columns is None else columns) - cx)[None] / (sx or 1.0)
        y = ((np.arange(h) if rows is None else rows) - cy)[:, None] / (sy or 1.0)
        g = self._scaled(h, w)
        return tuple(
            s * (row[0] * x + row[1] * y + row[2]) if row.any() else None
            for s, row in zip((sx, sy), g, strict=True)
        )

    def _transform(
        self, x: Float[Array, "b h w c"], t: Float[Array, ""]
    ) -> Float[Array, "b h w c"]:
        _, h, w, _ = x.shape
        g = self._scaled(h, w)
        how = (self.interpolation, "mirror" if self.reference else self.boundary)
        y = x.astype(t.dtype)
        mixed = (g[0, 1] and g[1].any()) or (g[1, 0] and g[0].any())
        column, row = self._sources(g, t, h, w)
        if mixed:
            return resample(y, column, row, *how).astype(x.dtype)
        # At most one axis mixes with the other: one-dimensional passes are exact.
        if g[0].any():
            y = resample_axis(y, column if g[0, 1] else column[:1], *how)
        if g[1].any():
            row = row.T if g[1, 0] else row.T[:1]
            y = resample_axis(y.swapaxes(1, 2), row, *how).swapaxes(1, 2)
        return y.astype(x.dtype)

    def _sources(
        self, g: Float[np.ndarray, "2 3"], t: Float[Array, ""], h: int, w: int
    ) -> Float[Array, "2 {h} {w}"]:
        """Where each pixel of the result reads the image: (column, row), in pixels."""
        (sx, sy), (cx, cy) = self._frame(h, w)
        matrix, offset = affine_flow(g, -t)
        p = [
            [matrix[0][0], matrix[0][1] * (sx / (sy or 1.0)), offset[0] * sx],
            [matrix[1][0] * (sy / (sx or 1.0)), matrix[1][1], offset[1] * sy],
        ]
        v, u = np.meshgrid(np.arange(h) - cy, np.arange(w) - cx, indexing="ij")
        grid = jnp.asarray(np.stack([u, v, np.ones((h, w))]), t.dtype)
        # A dot on purpose. XLA recomputes elementwise arithmetic in every fusion that
        # reads it, rounded differently; then the floor of a position and its fraction
        # disagree at whole pixels. The result of a dot is computed once.
        p = jnp.stack([jnp.stack([jnp.asarray(e, t.dtype) for e in r]) for r in p])
        moved = jnp.einsum("ik,khw->ihw", p, grid, precision=lax.Precision.HIGHEST)
        return moved + jnp.asarray([cx, cy], t.dtype)[:, None, None]


def affine_flow(g: Float[np.ndarray, "2 3"], t: Float[Array, ""]):
    """exp(t G) of a constant affine generator: a 2 x 2 matrix and an offset.

    The linear part has the closed form e^(ts) (cosh(td) I + sinh(td)/d (L - s I)) with
    s = trace/2 and d^2 = -det(L - s I); entries that are constant stay Python numbers.
    """
    linear, constant = g[:, :2], g[:, 2]
    if not linear.any():
        return ((1.0, 0.0), (0.0, 1.0)), (t * constant[0], t * constant[1])
    if constant.any():
        whole = jnp.zeros((3, 3), t.dtype).at[:2].set(jnp.asarray(g, t.dtype))
        e = jax.scipy.linalg.expm(t * whole)
        return ((e[0, 0], e[0, 1]), (e[1, 0], e[1, 1])), (e[0, 2], e[1, 2])
    if not (linear[0, 1] or linear[1, 0]):  # stretch: no mixing, no cancellation
        a, d = (jnp.exp(t * linear[i, i]) if linear[i, i] else 1.0 for i in (0, 1))
        return ((a, 0.0), (0.0, d)), (0.0, 0.0)
    s = np.trace(linear) / 2
    rest = linear - s * np.eye(2)
    square = -np.linalg.det(rest)
    if abs(square) < 1e-14 * np.abs(linear).max() ** 2:
        even, odd = 1.0, t
    else:
        d = math.sqrt(abs(square))
        cos, sin = (jnp.cosh, jnp.sinh) if square > 0 else (jnp.cos, jnp.sin)
        even, odd = cos(t * d), sin(t * d) / d
    grow = jnp.exp(t * s) if s else 1.0
    e = [[grow * (even * (i == j) + odd * rest[i, j]) for j in (0, 1)] for i in (0, 1)]
    return ((e[0][0], e[0][1]), (e[1][0], e[1][1])), (0.0, 0.0)


def _working(x: Array) -> jnp.dtype:
    """The dtype to compute in: half precisions are widened to float32."""
    return jnp.promote_types(x.dtype, jnp.float32)
