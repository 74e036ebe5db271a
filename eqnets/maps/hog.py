"""Histograms of oriented gradients, in the variant of Felzenszwalb et al. (2010).

UoCTTI HOG, as in VLFeat: per cell 2 N directed and N undirected orientations and 4
texture sums, 31 numbers for N = 9.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

#: Entries of a normalised histogram above this are cut off (Dalal and Triggs, 2005).
CLAMP = 0.2
#: Added to the squared norm of a block of 2 x 2 cells.
FLOOR = 1e-4


def hog(
    x: ArrayLike,
    *,
    bins: int = 9,
    soft: bool = False,
    cell: int = 8,
) -> Float[Array, "b h2 w2 d"]:
    """UoCTTI HOG of images, [B, H, W, C] -> [B, H', W', 3 bins + 4].

    Gradients are central differences x(u+1) - x(u-1) of the channel with the largest
    one; border pixels have none. Each adds its length to its orientation bin, shared
    bilinearly between the four nearest cells. A cell is divided by the norms of its
    four blocks of 2 x 2 cells in turn, cut off at 0.2, and the four results are halved
    and summed (Felzenszwalb et al., 2010, section 6).

    The last axis holds ``2 bins`` directed orientations (bin k is centred on k pi /
    bins from +x towards +y), ``bins`` undirected ones, and 4 sums of the undirected
    ones, one a block, times 1 / sqrt 18.

    With hard bins a gradient between two bins goes to the first: with 9 bins all
    vertical gradients are such, so that flips do not permute the result exactly. They
    do with 8 or 12 hard bins, or with soft ones; half turns do with any.

    Args:
        x: images of any scale; ``FLOOR`` is absolute, so flat cells of images in [0, 1]
            are damped more than those of images in [0, 255].
        bins: orientations N in [0, pi).
        soft: share a gradient between the two nearest bins, in proportion.
        cell: side of a cell, in pixels. There are floor((H + cell / 2) / cell) rows.

    Raises:
        TypeError: not a floating dtype.
        ValueError: not images, images smaller than 3 pixels or half a cell, fewer than
            two bins, or a cell smaller than 1 pixel.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> maps.hog(jnp.zeros((1, 40, 24, 3))).shape
    (1, 5, 3, 31)
    """
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise TypeError(
            f"hog takes images of a floating dtype, got {jnp.result_type(x)}: convert "
            "them first, e.g. x / 255"
        )
    if jnp.ndim(x) != 4:
        raise ValueError(f"hog takes images [B, H, W, C], got shape {jnp.shape(x)}")
    if bins < 2 or cell < 1:
        raise ValueError(
            f"hog needs at least 2 bins and cells of 1 pixel; got bins={bins}, "
            f"cell={cell}"
        )
    x = jnp.asarray(x)
    if min(x.shape[1:3]) < max(3, (cell + 1) // 2):
        raise ValueError(
            f"images of {x.shape[1]} x {x.shape[2]} pixels are too small for cells of "
            f"{cell}: each side needs 3 pixels and half a cell"
        )
    return _hog(x, bins, soft, cell)


@functools.partial(jax.jit, static_argnames=("bins", "soft", "cell"))
def _hog(x: Array, bins: int, soft: bool, cell: int) -> Array:
    histogram = _cell_histograms(*_gradient(x), bins, soft, cell)
    return _normalise(histogram, bins)


def _gradient(x: Float[Array, "b h w c"]) -> tuple[Array, Array]:
    """(gx, gy) of the steepest channel, [B, H - 2, W - 2] each."""
    gx = x[:, 1:-1, 2:] - x[:, 1:-1, :-2]
    gy = x[:, 2:, 1:-1] - x[:, :-2, 1:-1]
    steepest = jnp.argmax(gx**2 + gy**2, -1, keepdims=True)
    return tuple(jnp.take_along_axis(g, steepest, -1)[..., 0] for g in (gx, gy))


def _cell_histograms(
    gx: Array, gy: Array, bins: int, soft: bool, cell: int
) -> Float[Array, "b h w o"]:
    squared = gx**2 + gy**2
    flat = squared == 0
    length = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, squared)))
    rows, columns = (
        jnp.asarray(_cell_weights(n + 2, cell), gx.dtype) for n in gx.shape[1:]
    )
    if soft:
        share = _soft_share(jnp.where(flat, 1, gx), jnp.where(flat, 0, gy), bins)
    else:
        share = _hard_share(gx, gy, bins)

    def one_bin(k: Array) -> Float[Array, "b h w"]:
        high = lax.Precision.HIGHEST
        return jnp.einsum(
            "iy,byx,jx->bij", rows, length * share(k), columns, precision=high
        )

    # One bin at a time: all at once would be 2 N copies of the images.
    return jnp.moveaxis(lax.map(one_bin, jnp.arange(2 * bins)), 0, -1)


def _cell_weights(n: int, cell: int) -> Float[np.ndarray, "cells pixels"]:
    """Share of each inner pixel of an axis in each cell: linear between the centres."""
    pixel = (np.arange(1, n - 1) + 0.5) / cell - 0.5
    centre = np.arange((n + cell // 2) // cell)
    return np.maximum(0, 1 - np.abs(pixel - centre[:, None]))


def _hard_share(gx: Array, gy: Array, bins: int):
    angles = np.arange(bins) * math.pi / bins
    c, s = (jnp.asarray(f(angles), gx.dtype) for f in (np.cos, np.sin))
    length = jnp.maximum(jnp.sqrt(gx**2 + gy**2), 1e-10)
    score = (gx / length)[..., None] * c + (gy / length)[..., None] * s
    best = jnp.argmax(jnp.abs(score), -1)
    against = jnp.take_along_axis(score, best[..., None], -1)[..., 0] < 0
    best = best + bins * against
    return lambda k: (best == k).astype(gx.dtype)


def _soft_share(gx: Array, gy: Array, bins: int):
    angle = jnp.arctan2(gy, gx) * (bins / math.pi)  # in bins, -bins to bins

    def share(k: Array) -> Array:
        away = angle - k
        nearest = away - 2 * bins * jnp.round(away / (2 * bins))
        return jnp.maximum(0, 1 - jnp.abs(nearest))

    return share


def _normalise(h: Float[Array, "b h w o"], bins: int) -> Float[Array, "b h w d"]:
    folded = h[..., :bins] + h[..., bins:]
    energy = jnp.pad(jnp.sum(folded**2, -1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    pairs = energy[:, :-1] + energy[:, 1:]
    blocks = pairs[:, :, :-1] + pairs[:, :, 1:]
    rows, columns = h.shape[1:3]
    parts, texture = 0, []
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        block = blocks[:, dy : dy + rows, dx : dx + columns, None]
        whole = jnp.concatenate([h, folded], -1) / jnp.sqrt(block + FLOOR)
        cut = jnp.minimum(whole, CLAMP)
        parts = parts + cut
        texture.append(cut[..., 2 * bins :].sum(-1, keepdims=True))
    return jnp.concatenate([parts / 2, *(t / math.sqrt(18) for t in texture)], -1)
