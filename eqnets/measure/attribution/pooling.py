"""Tangents of max-pooling, many at once."""

import itertools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .graph import Op


def max_pool_tangents(
    op: Op, x: Array, rows: Float[Array, "_k ..."]
) -> Float[Array, "_k ..."]:
    """The tangent of the largest entry of each window; the first one, where tied.

    Which entry that is gets looked up once for all tangents. JAX's own rule carries
    value and tangent together through the window, for each tangent again.
    """
    p = op.equation.params
    low, high = (tuple(side) for side in zip(*p["padding"], strict=True))
    geometry = (p["window_dimensions"], p["window_strides"], p["window_dilation"])
    base = tuple(b - 1 for b in p["base_dilation"])
    lowest = (
        -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    )
    config = tuple(zip(low, high, base, strict=True))
    wide = lax.pad(x, jnp.asarray(lowest, x.dtype), config)
    d_wide = lax.pad(rows, jnp.zeros((), rows.dtype), ((0, 0, 0), *config))
    shape = op.outputs[0].shape
    best, tangent = None, None
    for offset in itertools.product(*map(range, geometry[0])):
        start = [o * d for o, d in zip(offset, geometry[2], strict=True)]
        stop = [
            a + (n - 1) * s + 1
            for a, n, s in zip(start, shape, geometry[1], strict=True)
        ]
        here = lax.slice(wide, start, stop, geometry[1])
        d_here = lax.slice(d_wide, (0, *start), (len(rows), *stop), (1, *geometry[1]))
        if best is None:
            best, tangent = here, d_here
            continue
        larger = here > best
        best = jnp.where(larger, here, best)
        tangent = jnp.where(larger[None], d_here, tangent)
    return tangent
