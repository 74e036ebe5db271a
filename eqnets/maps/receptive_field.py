"""Where the receptive fields of a representation are centred, found by probing."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .sites import Grid

#: Sites of an axis that are probed.
PROBED = 4
#: How often the side of the image is doubled to find a field with both its ends.
DOUBLINGS = 2


def receptive_grid(
    phi: Callable[[Array], Float[Array, "b h w d"]],
    shape: tuple[int, ...],
    *,
    key: Array | None = None,
) -> Grid:
    """The grid of the centres of the receptive fields of phi's sites.

    The Jacobian of a site with respect to random images is zero outside its receptive
    field. Ends of fields that the border of the image does not cut off move by one step
    from site to site; their middles are the centres. Where all are cut off, larger
    images are tried, then the centres are taken as symmetric about the image only if
    there is a single site.

    The step alone does not say it: a pool of 3 pixels and stride 2 without padding,
    7 to 3, has its sites half a pixel off where a padded one has them.

    Args:
        phi: images ``[B, H, W, C]`` to features ``[B, h, w, D]``.
        shape: of the images; only one is made.
        key: of the random images.

    Raises:
        ValueError: phi does not return a grid of features, or its fields reach over
            the whole image.
    """
    key = jax.random.key(0) if key is None else key
    out = jax.eval_shape(phi, jax.ShapeDtypeStruct((1, *shape[1:]), jnp.float32))
    if not hasattr(out, "shape") or len(out.shape) != 4:
        raise ValueError(
            "receptive fields are of features [B, h, w, D]; phi returns "
            f"{jax.tree.map(jnp.shape, out)}"
        )
    h, w = out.shape[1:3]
    lines = []
    for axis in (2, 1):
        lines.append(_axis_line(phi, tuple(shape[1:]), axis, key))
    (x0, sx), (y0, sy) = lines
    return Grid((h, w), (x0, y0), (sx, sy))


def _axis_line(
    phi: Callable, shape: tuple[int, ...], axis: int, key: Array
) -> tuple[float, float]:
    """(position of site 0 from the centre of the image, step) along an axis."""
    size = shape[axis - 1]
    for doubling in range(DOUBLINGS + 1):
        larger = tuple(s << doubling if i < 2 else s for i, s in enumerate(shape))
        try:
            found = _fit_line(*_supports(phi, larger, axis, key), size << doubling)
        except (TypeError, ValueError):
            if not doubling:
                raise
            break  # phi does not take images of another size
        if found is not None:
            start, step = found
            return start - (size - 1) / 2, step
    raise ValueError(
        f"the receptive fields reach over the whole image ({shape[0]} x {shape[1]}), "
        "so that their centres cannot be probed: give the grid, maps.Grid(shape, "
        "origin, step), or maps.centred_grid(h, w, step)"
    )


def _supports(
    phi: Callable, shape: tuple[int, ...], axis: int, key: Array
) -> tuple[np.ndarray, np.ndarray]:
    """Sites probed along an axis, and first and last pixel of each one's field."""
    image_key, channel_key = jax.random.split(key)
    x = jax.random.normal(image_key, (2, *shape))
    z, pull = jax.vjp(phi, x)
    n = z.shape[axis]
    middle = z.shape[3 - axis] // 2
    sites = np.unique(np.linspace(0, n - 1, min(PROBED, n)).round().astype(int))
    # Random weights, lest channels or examples cancel.
    weights = jax.random.normal(channel_key, (z.shape[0], z.shape[3]))

    def field(site: Array) -> Array:
        start = (site, middle) if axis == 1 else (middle, site)
        one = jnp.zeros_like(z).at[:, start[0], start[1]].set(weights)
        (back,) = pull(one)
        others = tuple(i for i in range(4) if i != axis)
        return jnp.any(back != 0, others)

    fields = np.asarray(jax.jit(lambda s: jax.lax.map(field, s))(jnp.asarray(sites)))
    some = fields.any(1)
    ends = [(f.argmax(), f.size - 1 - f[::-1].argmax()) for f in fields[some]]
    return sites[some], np.array(ends, float).reshape(-1, 2)


def _fit_line(
    sites: np.ndarray, ends: np.ndarray, size: int
) -> tuple[float, float] | None:
    """(middle of the field of site 0, step); None if the border hides it."""
    if len(sites) == 1 and sites[0] == 0:
        middle = ends.mean()
        return (middle, float(size)) if np.isclose(middle, (size - 1) / 2) else None
    whole = ends[:, 0] > 0, ends[:, 1] < size - 1
    steps, starts = [], []
    for inside, values in zip(whole, ends.T, strict=True):
        if inside.sum() >= 2:
            slope, start = np.polyfit(sites[inside], values[inside], 1)
            if np.abs(start + slope * sites[inside] - values[inside]).max() > 1e-6:
                return None
            steps.append(slope)
        starts.append((sites[inside], values[inside]))
    if not steps or any(not len(s) for s, _ in starts):
        return None
    step = round(float(np.mean(steps)), 9)
    first = [float(np.mean(v - step * s)) for s, v in starts]
    return sum(first) / 2, step
