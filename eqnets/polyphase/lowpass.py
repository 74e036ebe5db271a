"""Binomial low-pass filters, separable, as sums of shifted slices.

Source: Zhang, "Making convolutional networks shift-invariant again", 2019.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.padding import pad_axes
from eqnets.polyphase.phases import AnyArray, Number, spatial_shape


def binomial_kernel(size: int) -> Float[np.ndarray, " size"]:
    """One row of Pascal's triangle, divided by its sum.

    Raises:
        ValueError: ``size`` is not in 1..7.

    >>> from eqnets import polyphase
    >>> polyphase.binomial_kernel(3)
    array([0.25, 0.5 , 0.25])
    """
    if size not in range(1, 8):
        raise ValueError(f"a binomial filter has size 1 to 7, got {size!r}")
    row = np.array([math.comb(size - 1, i) for i in range(size)], np.float64)
    return row / row.sum()


def lowpass(
    x: Float[AnyArray, "..."],
    size: int,
    *,
    padding: str = "circular",
    stride: int = 1,
    gain: int | float = 1.0,
    ndim: int = 2,
) -> Float[Array, "..."]:
    """Filter with the outer product of binomials: Rect-2, Tri-3, Bin-5 and others.

    Padding is ``floor((size - 1) / 2)`` before and ``ceil`` after, so that the size
    is kept with ``stride=1``.

    Args:
        x: ``[..., *space, C]``.
        size: taps per axis, 1 to 7.
        padding: a name of `polyphase.pad`; ``"valid"`` for none.
        stride: keep every ``stride``-th sample; only those are computed.
        gain: a factor *per axis*: after upsampling by ``s``, ``gain=s`` keeps the mean.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *ceil(space / stride), C]``, in the dtype of ``x``.

    Raises:
        ValueError: an unknown ``size`` or ``padding``.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> x = jnp.array([0.0, 0.0, 4.0, 0.0])[:, None]
    >>> polyphase.lowpass(x, 3, ndim=1).ravel().tolist()  # Tri-3
    [0.0, 1.0, 2.0, 1.0]
    """
    spatial_shape(x, ndim)
    x = jnp.asarray(x)
    return _separable(x, size, padding, stride, gain, ndim)


@partial(jax.jit, static_argnums=(1, 2, 3, 5))
def _separable(
    x: Array, size: int, padding: str, stride: int, gain: Number, ndim: int
) -> Array:
    taps = jnp.asarray(binomial_kernel(size) * gain)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis in range(x.ndim - ndim - 1, x.ndim - 1):
        wide = _filter_axis(wide, taps, axis, padding, stride)
    return wide.astype(x.dtype)


def _filter_axis(x: Array, taps: Array, axis: int, padding: str, stride: int) -> Array:
    size = taps.shape[0]
    widths = [(0, 0)] * x.ndim
    widths[axis] = ((size - 1) // 2, size // 2)
    x = pad_axes(x, widths, padding)
    count = (x.shape[axis] - size) // stride + 1
    if count < 1:
        raise ValueError(f"{size} taps need more than {x.shape[axis]} samples")
    total = None
    for t in range(size):
        index = [slice(None)] * x.ndim
        index[axis] = slice(t, t + stride * (count - 1) + 1, stride)
        term = x[tuple(index)] * taps[t].astype(x.dtype)
        total = term if total is None else total + term
    return total
