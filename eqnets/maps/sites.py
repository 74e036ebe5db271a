"""Where features sit on the image, and moving them from site to site: P_g, Omega."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from eqnets.actions.interpolate import resample

from .affine import AffineMap
from .linear import LinearMap

SAMPLERS = ("gather", "splat")


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid of features on the image: site (row i, column j) sits at p(j, i).

    Attributes:
        shape: (h, w), the number of sites.
        origin: (x, y) of the centre of the receptive field of site (0, 0), in pixels
            from the centre of the image.
        step: (x, y) distance between neighbours, in pixels.
    """

    shape: tuple[int, int]
    origin: tuple[float, float]
    step: tuple[float, float]

    def points(self) -> Float[np.ndarray, "h w 2"]:
        """p: the positions (x, y) of all sites."""
        h, w = self.shape
        row, column = np.mgrid[:h, :w]
        index = np.stack([column, row], -1)
        return np.asarray(self.origin) + np.asarray(self.step) * index

    def indices(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """p^-1: fractional (column, row) of positions (x, y)."""
        return (points - np.asarray(self.origin)) / np.asarray(self.step)

    def reads(
        self, g: AffineMap, out: "Grid | None" = None
    ) -> Float[np.ndarray, "h w 2"]:
        """p^-1 g^-1 p (u): the (column, row) that each site of ``out`` reads."""
        return self.indices(g.inverse.points((out or self).points()))


def centred_grid(h: int, w: int, step: float | int = 1.0) -> Grid:
    """A grid whose middle is the middle of the image.

    Args:
        h: rows of sites.
        w: columns of sites.
        step: the distance between neighbours, in pixels.

    >>> from eqnets import maps
    >>> maps.centred_grid(4, 4, step=2)
    Grid(shape=(4, 4), origin=(-3.0, -3.0), step=(2.0, 2.0))
    """
    origin = (-(w - 1) / 2 * step, -(h - 1) / 2 * step)
    return Grid((h, w), origin, (float(step), float(step)))


def permute_sites(
    z: Float[Array, "b h w d"], g: AffineMap, grid: Grid, *, sampler: str = "gather"
) -> Float[Array, "b h w d"]:
    """P_g: move features with the image, channels as they are; zeros come in.

    ``"gather"``: each site reads p^-1 g^-1 p (u), between 2 x 2 sites bilinearly, as
    spatial transformers do. ``"splat"``: each site spreads over the 2 x 2 sites around
    where it goes (Lenc and Vedaldi, 2019, section 5.1.4): the transpose of the gather
    of g^-1. They agree where sites go to sites.

    Args:
        z: features ``[B, h, w, D]``.
        g: moves the image.
        grid: where the features sit on it.
        sampler: ``"gather"`` or ``"splat"``.

    Raises:
        ValueError: an unknown sampler, or features that are not on this grid.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> z = jnp.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)
    >>> maps.permute_sites(z, maps.flip("x"), maps.centred_grid(1, 3)).ravel().tolist()
    [3.0, 2.0, 1.0]
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {SAMPLERS}; got {sampler!r}")
    if jnp.ndim(z) != 4 or tuple(z.shape[1:3]) != grid.shape:
        raise ValueError(
            f"features on a grid {grid.shape} are [B, {grid.shape[0]}, "
            f"{grid.shape[1]}, D]; got {jnp.shape(z)}"
        )
    return (_gather if sampler == "gather" else _splat)(jnp.asarray(z), g, grid)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _splat(z: Array, g: AffineMap, grid: Grid) -> Array:
    (moved,) = jax.linear_transpose(lambda v: _gather(v, g.inverse, grid), z)(z)
    return moved


@functools.partial(jax.jit, static_argnums=(1, 2))
def _gather(z: Array, g: AffineMap, grid: Grid) -> Array:
    reads = jnp.asarray(grid.reads(g), z.dtype)
    return resample(z, reads[..., 0], reads[..., 1], "bilinear", "zeros")


def neighbourhoods(
    g: AffineMap, grid: Grid, m: int, *, out: Grid | None = None
) -> Int[np.ndarray, "h w m2"]:
    """Omega_{g,m}(u): the m x m sites of ``grid`` nearest to p^-1 g^-1 p (u).

    Args:
        g: moves the image.
        grid: of the features that predict.
        m: the side of the neighbourhood, at most that of the grid.
        out: of the features that are predicted; ``grid`` if None.

    Returns:
        Indices of sites, row by row, ``[h, w, m m]`` over the sites of ``out``.

    Raises:
        ValueError: ``m`` is not from 1 to the shorter side of the grid.

    >>> from eqnets import maps
    >>> maps.neighbourhoods(maps.flip("x"), maps.centred_grid(1, 3), 1)[..., 0].tolist()
    [[2, 1, 0]]
    """
    h, w = grid.shape
    if not 1 <= m <= min(h, w):
        raise ValueError(f"m is from 1 to {min(h, w)} on a grid {grid.shape}; got {m}")
    reads = grid.reads(g, out)
    # Rounded first, so that a half is a half however it was computed.
    first = np.ceil(np.round(reads, 9) - m / 2).astype(int)
    first = np.clip(first, 0, np.array([w, h]) - m)
    window = np.arange(m)
    rows, columns = (first[..., i, None] + window for i in (1, 0))
    sites = rows[..., :, None] * w + columns[..., None, :]
    return sites.reshape(*sites.shape[:2], -1)


def neighbourhood_mask(
    sites: Int[np.ndarray, "h w m2"], grid: Grid, channels: tuple[int, int]
) -> Bool[np.ndarray, "q p"]:
    """Which of the flattened features may predict which: the pattern of equation 5.

    Args:
        sites: of `neighbourhoods`, ``[h, w, m m]``.
        grid: of the features that predict.
        channels: of the predicting and of the predicted features.

    Returns:
        bool ``[q, p]``, for `forward_select`.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> sites = maps.neighbourhoods(maps.flip("x"), maps.centred_grid(1, 3), 1)
    >>> maps.neighbourhood_mask(sites, maps.centred_grid(1, 3), (1, 1)).astype(int)
    array([[0, 0, 1],
           [0, 1, 0],
           [1, 0, 0]])
    """
    inputs, outputs = channels
    own = sites.reshape(-1, sites.shape[-1])
    mask = np.zeros((len(own), grid.shape[0] * grid.shape[1]), bool)
    mask[np.arange(len(own))[:, None], own] = True
    return np.repeat(np.repeat(mask, inputs, 1), outputs, 0)


def fit_by_site(
    fit: Callable[[Array, Array], LinearMap],
    X: Float[np.ndarray | Array, "n h w d"],
    Y: Float[np.ndarray | Array, "n h2 w2 e"],
    sites: Int[np.ndarray, "h2 w2 m2"],
) -> LinearMap:
    """Fit every predicted site from its neighbourhood alone, one small problem each.

    The same as one regression with the mask of `neighbourhood_mask`, at the cost of the
    neighbourhoods instead of all sites.

    Args:
        fit: such as `least_squares`, from ``[n, m m d]`` to ``[n, e]``.
        X: predicting features.
        Y: predicted features.
        sites: of `neighbourhoods`.

    Returns:
        A map of the flattened features.

    Raises:
        ValueError: shapes that do not fit together.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(8, 2, 2, 1))
    >>> sites = maps.neighbourhoods(maps.flip("x"), maps.centred_grid(2, 2), 1)
    >>> f = maps.fit_by_site(maps.least_squares, x, x[:, :, ::-1], sites)
    >>> np.abs(f.A).argmax(1).tolist()  # the site that each reads
    [1, 0, 3, 2]
    """
    n, h, w, d = X.shape
    h2, w2, e = Y.shape[1:]
    if sites.shape[:2] != (h2, w2) or len(Y) != n:
        raise ValueError(
            f"X {X.shape}, Y {Y.shape} and sites {sites.shape} do not fit together"
        )
    flat = np.asarray(X).reshape(n, h * w, d)
    A, b = np.zeros((h2, w2, e, h * w, d)), np.zeros((h2, w2, e))
    for i, j in np.ndindex(h2, w2):
        own = sites[i, j]
        local = fit(flat[:, own].reshape(n, -1), np.asarray(Y[:, i, j]))
        A[i, j][:, own] = np.asarray(local.A).reshape(e, len(own), d)
        b[i, j] = local.b
    return LinearMap(A.reshape(-1, h * w * d), b.reshape(-1))
