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

    >>> from eqnets import maps
    >>> maps.receptive_grid(lambda x: x[:, 1::2, 1::2], (1, 8, 8, 1))
    Grid(shape=(4, 4), origin=(-2.5, -2.5), step=(2.0, 2.0))
    """
    key = jax.random.key(0) if key is None else key
    out = jax.eval_shape(phi, jax.ShapeDtypeStruct((1, *shape[1:]), jnp.float32))
    if not hasattr(out, "shape") or len(out.shape) != 4:
        raise ValueError(
            "receptive fields are of features [B, h, w, D]; phi returns "
            f"{jax.tree.map(jnp.shape, out)}"
        )
    size = shape[1:3]
    for doubling in range(DOUBLINGS + 1):
        larger = (size[0] << doubling, size[1] << doubling, *shape[3:])
        try:
            probed = _supports(phi, larger, key)
        except (TypeError, ValueError):
            if not doubling:
                raise
            break  # phi does not take images of another size
        lines = [
            _fit_line(*line, larger[axis])
            for axis, line in zip((1, 0), probed, strict=True)
        ]
        if None not in lines:
            (x0, sx), (y0, sy) = lines
            origin = (x0 - (size[1] - 1) / 2, y0 - (size[0] - 1) / 2)
            return Grid(tuple(out.shape[1:3]), origin, (sx, sy))
    raise ValueError(
        f"the receptive fields reach over the whole image ({size[0]} x {size[1]}), so "
        "that their centres cannot be probed: give the grid, maps.Grid(shape, origin, "
        "step), or maps.centred_grid(h, w, step)"
    )


def _supports(
    phi: Callable, shape: tuple[int, ...], key: Array
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Along x, then y: the sites probed, and first and last pixel of their fields."""
    image = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    _, h, w, d = jax.eval_shape(phi, image).shape
    sites = [
        np.unique(np.linspace(0, n - 1, min(PROBED, n)).round().astype(int))
        for n in (w, h)
    ]
    places = [(h // 2, j) for j in sites[0]] + [(i, w // 2) for i in sites[1]]

    @jax.jit
    def fields(places: Array) -> tuple[Array, Array]:
        image_key, channel_key = jax.random.split(key)
        z, pull = jax.vjp(phi, jax.random.normal(image_key, image.shape))
        # Random weights, lest channels or examples cancel.
        weights = jax.random.normal(channel_key, (2, d))

        def field(place: Array) -> tuple[Array, Array]:
            one = jnp.zeros_like(z).at[:, place[0], place[1]].set(weights)
            reached = pull(one)[0] != 0
            return jnp.any(reached, (0, 1, 3)), jnp.any(reached, (0, 2, 3))

        return jax.lax.map(field, places)

    found = [np.asarray(f) for f in fields(jnp.asarray(places))]
    parts = found[0][: len(sites[0])], found[1][len(sites[0]) :]
    return [_ends(s, p) for s, p in zip(sites, parts, strict=True)]


def _ends(sites: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
