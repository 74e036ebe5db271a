"""Polyphase components: the sub-lattices that a stride could have kept.

With stride ``s`` in two dimensions, component ``k = s dy + dx`` of ``x`` is
``x[s m + dy, s n + dx]``. This module is the only place that knows the order.
A circular shift of ``x`` permutes the components and shifts them (Lemma 1 of
Rojas-Gomez et al., "Learnable Polyphase Sampling", 2022); everything in
`eqnets.polyphase` rests on that.

Arrays are channels-last with any number of leading axes: ``[..., *space, C]``,
where ``space`` has ``ndim`` axes (1, 2 or 3).
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Int, Shaped

AnyArray = Array | np.ndarray
Number = int | float | Array | np.ndarray


def phase_offsets(stride: int, ndim: int = 2) -> tuple[tuple[int, ...], ...]:
    """The offset of every component along every axis, in component order.

    Args:
        stride: the sampling stride s, in samples.
        ndim: the number of spatial axes.

    >>> from eqnets import polyphase
    >>> polyphase.phase_offsets(2)
    ((0, 0), (0, 1), (1, 0), (1, 1))
    """
    return tuple(itertools.product(range(stride), repeat=ndim))


def spatial_shape(x: Shaped[AnyArray, "..."], ndim: int) -> tuple[int, ...]:
    """The ``ndim`` sizes before the channel axis.

    Raises:
        ValueError: ``ndim`` is not 1, 2 or 3, or ``x`` has too few axes.
    """
    if ndim not in (1, 2, 3):
        raise ValueError(f"ndim must be 1, 2 or 3, got {ndim}")
    if x.ndim < ndim + 1:
        raise ValueError(
            f"expected [..., *space, C] with {ndim} spatial axes, got shape {x.shape}"
        )
    return tuple(x.shape[-ndim - 1 : -1])


def check_divisible(x: Shaped[AnyArray, "..."], stride: int, ndim: int = 2) -> None:
    """Refuse sizes that have no equal components.

    On a circle of ``N`` samples with ``stride`` not dividing ``N`` a shift does
    not permute the components, so no selection could be shift-equivariant.

    Raises:
        ValueError: naming the axis, its size, and the sizes that would do.
    """
    if stride < 1:
        raise ValueError(f"stride must be a positive integer, got {stride}")
    for axis, size in enumerate(spatial_shape(x, ndim)):
        if size % stride or size == 0:
            low = size - size % stride
            raise ValueError(
                f"stride {stride} does not divide size {size} (spatial axis {axis} of "
                f"shape {x.shape}): shifts would not permute the polyphase "
                f"components. Crop to {low} or pad to {low + stride}."
            )


def components(
    x: Shaped[AnyArray, "..."], stride: int, *, ndim: int = 2
) -> tuple[Shaped[Array, "..."], ...]:
    """The components as strided slices ``[..., *space / s, C]``, in phase order.

    Raises:
        ValueError: the stride does not divide every spatial size.
    """
    check_divisible(x, stride, ndim)
    x = jnp.asarray(x)
    return tuple(
        x[(..., *(slice(d, None, stride) for d in offset), slice(None))]
        for offset in phase_offsets(stride, ndim)
    )


def split(
    x: Shaped[AnyArray, "..."], stride: int, *, ndim: int = 2
) -> Shaped[Array, "..."]:
    """All components of an array (paper, equation 6).

    Args:
        x: ``[..., *space, C]``.
        stride: the sampling stride ``s``, in samples.
        ndim: the number of spatial axes.

    Returns:
        ``[..., P, *space / s, C]`` with ``P = s ** ndim``, ``k = s dy + dx`` in 2-D.

    Raises:
        ValueError: the stride does not divide every spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> polyphase.split(jnp.arange(6.0)[:, None], 2, ndim=1)[..., 0]
    Array([[0., 2., 4.],
           [1., 3., 5.]], dtype=float32)
    """
    return jnp.stack(components(x, stride, ndim=ndim), axis=-ndim - 2)


def merge(
    phases: Shaped[AnyArray, "..."], stride: int, *, ndim: int = 2
) -> Shaped[Array, "..."]:
    """The inverse of `split`.

    Args:
        phases: ``[..., P, *space, C]`` with ``P = s ** ndim``.
        stride: the sampling stride ``s``, in samples.
        ndim: the number of spatial axes.

    Returns:
        ``[..., *space * s, C]``.

    Raises:
        ValueError: the number of components is not ``s ** ndim``.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> x = jnp.arange(16.0).reshape(4, 4, 1)
    >>> bool((polyphase.merge(polyphase.split(x, 2), 2) == x).all())
    True
    """
    space = spatial_shape(phases, ndim)
    check_phases(phases, stride**ndim, ndim)
    batch = phases.shape[: -ndim - 2]
    x = jnp.reshape(phases, (*batch, *(stride,) * ndim, *space, phases.shape[-1]))
    b = len(batch)
    # (s, ..., s, h, ..., w) -> (h, s, ..., w, s): offsets beside their axes.
    order = [a for i in range(ndim) for a in (b + ndim + i, b + i)]
    x = jnp.transpose(x, (*range(b), *order, b + 2 * ndim))
    return x.reshape((*batch, *(stride * n for n in space), phases.shape[-1]))


def check_phases(phases: Shaped[AnyArray, "..."], count: int | None, ndim: int) -> None:
    """Refuse an array that cannot be ``[..., P, *space, C]``.

    Raises:
        ValueError: too few axes, or not ``count`` components.
    """
    spatial_shape(phases, ndim)
    if phases.ndim < ndim + 2:
        raise ValueError(
            f"expected phases [..., P, *space, C] with ndim={ndim}, "
            f"got shape {phases.shape}"
        )
    if count is not None and phases.shape[-ndim - 2] != count:
        raise ValueError(
            f"expected {count} components on axis {-ndim - 2}, got shape {phases.shape}"
        )


def phase_window(
    x: Shaped[AnyArray, "..."],
    index: Int[AnyArray, "*batch"],
    stride: int,
    *,
    ndim: int = 2,
) -> Shaped[Array, "..."]:
    """Shift the selected component to the origin, dropping ``s - 1`` samples.

    Slicing the result with the stride gives the component; running a strided
    convolution, pool or filter (without padding) over it evaluates that operation
    at the selected phase alone, which is what makes the selection nearly free.

    Args:
        x: ``[*batch, *space, C]``; pad it first for an operation with a border.
        index: the selected component of every example.
        stride: the sampling stride ``s``, in samples.
        ndim: the number of spatial axes.

    Returns:
        ``[*batch, *(space - s + 1), C]``.
    """
    space = spatial_shape(x, ndim)
    offsets = jnp.asarray(phase_offsets(stride, ndim), jnp.int32)
    sizes = (*(n - stride + 1 for n in space), x.shape[-1])

    def window(example: Array, k: Array) -> Array:
        start = [offsets[k, i] for i in range(ndim)]
        return lax.dynamic_slice(example, (*start, jnp.int32(0)), sizes)

    flat = jnp.reshape(x, (-1, *x.shape[-ndim - 1 :]))
    out = jax.vmap(window)(flat, jnp.reshape(index, (-1,)))
    return out.reshape((*x.shape[: -ndim - 1], *sizes))


def mixed_window(
    x: Shaped[AnyArray, "..."],
    weights: Shaped[AnyArray, "*batch p"],
    stride: int,
    *,
    ndim: int = 2,
) -> Shaped[Array, "..."]:
    """The weighted sum of the windows of all components: `phase_window`, soft.

    A linear operation over the mixture equals the mixture of the operation's
    components (paper, equation 17), at the price of one of them.
    """
    space = spatial_shape(x, ndim)
    x = jnp.asarray(x)
    total = jnp.zeros((), jnp.result_type(x, weights))
    for k, offset in enumerate(phase_offsets(stride, ndim)):
        window = [
            slice(d, d + n - stride + 1) for d, n in zip(offset, space, strict=True)
        ]
        weight = weights[(..., k, *(None,) * (ndim + 1))]
        total = total + weight * x[(..., *window, slice(None))]
    return total.astype(x.dtype)


def take(
    x: Shaped[AnyArray, "..."],
    index: Int[AnyArray, "*batch"],
    stride: int,
    *,
    ndim: int = 2,
) -> Shaped[Array, "..."]:
    """One component of every example, without forming the others.

    Equal to ``downsample(split(x, stride), one_hot(index))``.

    Args:
        x: ``[*batch, *space, C]``.
        index: the component of every example, integers ``[*batch]``.
        stride: the sampling stride ``s``, in samples.
        ndim: the number of spatial axes.

    Returns:
        ``[*batch, *space / s, C]``.

    Raises:
        ValueError: the stride does not divide every spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> x = jnp.arange(8.0).reshape(2, 4, 1)
    >>> polyphase.take(x, jnp.array([0, 1]), 2, ndim=1)[..., 0].tolist()
    [[0.0, 2.0], [5.0, 7.0]]
    """
    check_divisible(x, stride, ndim)
    window = phase_window(x, index, stride, ndim=ndim)
    return window[(..., *(slice(None, None, stride),) * ndim, slice(None))]
