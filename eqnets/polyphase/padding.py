"""Padding of the spatial axes of channels-last arrays."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Shaped

from eqnets.polyphase.phases import AnyArray, spatial_shape

# The names that users of other frameworks know, and what jnp.pad calls them.
_MODES = {
    "circular": "wrap",
    "reflect": "reflect",
    "replicate": "edge",
    "zeros": "constant",
    "constant": "constant",
}


def pad(
    x: Shaped[AnyArray, "..."],
    low: int,
    high: int,
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Shaped[Array, "..."]:
    """Pad every spatial axis of ``[..., *space, C]`` by ``low`` and ``high`` samples.

    Args:
        x: ``[..., *space, C]``.
        low: samples before the first.
        high: samples after the last.
        padding: ``"circular"`` (the only one under which a convolution commutes
            with circular shifts), ``"reflect"``, ``"replicate"``, ``"zeros"`` (also
            ``"constant"``), or ``"valid"`` for none.
        ndim: the number of spatial axes.

    Raises:
        ValueError: ``padding`` is none of these.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> polyphase.pad(jnp.arange(3.0)[:, None], 1, 2, ndim=1)[:, 0]
    Array([2., 0., 1., 2., 0., 1.], dtype=float32)
    """
    spatial_shape(x, ndim)
    widths = [(0, 0)] * (x.ndim - ndim - 1) + [(low, high)] * ndim + [(0, 0)]
    return pad_axes(x, widths, padding)


def pad_axes(
    x: Shaped[AnyArray, "..."], widths: list[tuple[int, int]], padding: str
) -> Shaped[Array, "..."]:
    """Pad each axis by its own ``(low, high)``, with the names of `pad`."""
    if padding == "valid":
        return jnp.asarray(x)
    if padding not in _MODES:
        raise ValueError(
            f"padding must be one of {sorted([*_MODES, 'valid'])}, got {padding!r}"
        )
    if all(width == (0, 0) for width in widths):
        return jnp.asarray(x)
    return jnp.pad(x, widths, mode=_MODES[padding])
