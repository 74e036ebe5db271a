"""Ideal low-pass filters: what makes a network commute with fractional shifts.

A sampled periodic image stands for one trigonometric polynomial, and a shift by any
real distance moves that. Convolutions commute with it; an activation does so only
between a finer grid and an ideal filter, a stride only behind one (Michaeli et al.,
"Alias-free convnets", 2023; Karras et al., "Alias-free generative adversarial
networks", 2021).
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.phases import AnyArray, check_divisible, spatial_shape


def ideal_resize(
    x: Float[AnyArray, "..."], space: Sequence[int], *, ndim: int = 2
) -> Float[Array, "..."]:
    """Sample the trigonometric polynomial through periodic samples on another grid.

    Frequencies at and above half of the coarser sampling rate are left out, so that the
    result commutes with shifts by any real distance.

    Args:
        x: ``[..., *space, C]``, periodic.
        space: the new sizes of the spatial axes.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *space, C]``, in the dtype of ``x``.

    Raises:
        ValueError: not one positive size per spatial axis.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> x = jnp.cos(2 * jnp.pi * jnp.arange(8) / 8)[:, None]
    >>> jnp.round(polyphase.ideal_resize(x, [4], ndim=1)[:, 0], 3) + 0.0
    Array([ 1.,  0., -1.,  0.], dtype=float32)
    """
    old = spatial_shape(x, ndim)
    if len(space) != ndim or min(space) < 1:
        raise ValueError(
            f"expected {ndim} positive sizes for the spatial axes of {x.shape}, "
            f"got {tuple(space)}"
        )
    x = jnp.asarray(x)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for i, (before, after) in enumerate(zip(old, space, strict=True)):
        wide = _resize_axis(wide, x.ndim - 1 - ndim + i, before, after)
    return wide.astype(x.dtype)


def _resize_axis(x: Array, axis: int, before: int, after: int) -> Array:
    kept = (min(before, after) - 1) // 2
    spectrum = jnp.moveaxis(jnp.fft.fft(x, axis=axis), axis, -1)
    gap = jnp.zeros((*spectrum.shape[:-1], after - 2 * kept - 1), spectrum.dtype)
    parts = [spectrum[..., : kept + 1], gap, spectrum[..., before - kept :]]
    resized = jnp.fft.ifft(jnp.concatenate(parts, -1), axis=-1).real
    return jnp.moveaxis(resized, -1, axis) * (after / before)


def ideal_downsample(
    x: Float[AnyArray, "..."], stride: int, *, ndim: int = 2
) -> Float[Array, "..."]:
    """Keep every ``stride``-th sample of what an ideal low-pass leaves.

    Args:
        x: ``[..., *space, C]``, periodic.
        stride: in samples.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *space / stride, C]``, in the dtype of ``x``.

    Raises:
        ValueError: the stride does not divide every spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> wave = lambda k: jnp.cos(2 * jnp.pi * k * jnp.arange(8) / 8)[:, None]
    >>> y = polyphase.ideal_downsample(wave(1) + wave(3), 2, ndim=1)
    >>> bool(jnp.allclose(y, wave(1)[::2], atol=1e-6))  # the fast wave does not alias
    True
    """
    check_divisible(x, stride, ndim)
    space = [n // stride for n in spatial_shape(x, ndim)]
    return ideal_resize(x, space, ndim=ndim)


def alias_free(
    activation: Callable[[Array], Array],
    x: Float[AnyArray, "..."],
    *,
    oversample: int = 2,
    ndim: int = 2,
) -> Float[Array, "..."]:
    """A pointwise function of the image between its samples, then an ideal low-pass.

    Exactly equivariant to shifts by real distances for polynomials of degree below
    ``2 * oversample``, nearly so for smooth functions; ReLU is not smooth.

    Args:
        activation: pointwise, such as ``jax.nn.gelu``.
        x: ``[..., *space, C]``, periodic.
        oversample: how much finer the grid is on which ``activation`` runs.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *space, C]``.

    Raises:
        ValueError: ``oversample`` is below 1.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> wave = lambda by: jnp.cos(jnp.pi * (jnp.arange(8) - by) * 3 / 4)[:, None]
    >>> smooth = lambda x: polyphase.alias_free(jnp.square, x, ndim=1)
    >>> square = [smooth(wave(s)).mean() for s in (0.0, 0.3)]
    >>> bool(abs(square[0] - square[1]) < 1e-6)
    True
    """
    if oversample < 1:
        raise ValueError(f"oversample must be at least 1, got {oversample}")
    space = spatial_shape(x, ndim)
    fine = ideal_resize(x, [oversample * n for n in space], ndim=ndim)
    return ideal_resize(activation(fine), space, ndim=ndim)
