"""Learnable polyphase sampling: score a component by a small convolutional network.

Source: Rojas-Gomez et al., "Learnable Polyphase Sampling", 2022, equation (23): the
mean over channels and space of conv(relu(conv(component))).
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from eqnets.polyphase.fixed_point import (
    fixed_sum,
    ordered_scores,
    plain_derivative,
    scales,
)
from eqnets.polyphase.layout import (
    Layout,
    component,
    interleave,
    interleaved,
    stacked,
)
from eqnets.polyphase.padding import pad
from eqnets.polyphase.phases import (
    AnyArray,
    check_phases,
    components,
)

ConvParams = Mapping[str, Mapping[str, AnyArray]]


@partial(jax.jit, static_argnames=("padding", "ndim"))
def conv_scores(
    phases: Float[AnyArray, "..."],
    params: ConvParams,
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "*batch p"]:
    """The logits of learnable polyphase sampling, in their exact order.

    The second convolution is linear under the mean that follows, so under circular
    padding it collapses to a dot product: ``mean(conv2(r)) = mean_n(r) . v + mean(b2)``
    with ``v[c] = sum_{out, taps} w2 / h``. ``mean_n`` is summed in fixed point, so a
    circular shift permutes the logits bit for bit wherever the convolution itself
    commutes with shifts bit for bit.

    Args:
        phases: ``[..., P, *space, C]``, from `polyphase.split`.
        params: ``{"conv1": {"kernel": [*k, C, h], "bias": [h]},
            "conv2": {"kernel": [*k, h, o], "bias": [o]}}``.
        padding: ``"circular"``, or another name of `polyphase.pad`,
            with which nothing is shift-equivariant and no sum is exact.
        ndim: the number of spatial axes.

    Returns:
        ``[..., P]``, in float32 or wider.

    Raises:
        ValueError: shapes of ``phases`` and ``params`` that do not belong together.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> conv = {"kernel": jnp.ones((1, 1, 1)), "bias": jnp.zeros(1)}
    >>> params = {"conv1": conv, "conv2": conv}
    >>> x = jnp.array([1.0, -2.0, 5.0, 4.0])[:, None]
    >>> for image in (x, jnp.roll(x, 1, 0)):
    ...     phases = polyphase.split(image, 2, ndim=1)
    ...     print(polyphase.conv_scores(phases, params, ndim=1))
    [3. 2.]
    [2. 3.]
    """
    check_phases(phases, None, ndim)
    phases = jnp.asarray(phases)
    scored = _Scored(phases, stacked(ndim))
    if padding == "circular" and _few_features(params, phases.shape[-1], ndim):
        responses = [first_response(phases, params["conv1"], ndim=ndim)]
        return _logits(responses, stacked(ndim), scored, params["conv2"], padding)
    axis = -ndim - 2
    parts = [jnp.take(phases, k, axis=axis) for k in range(phases.shape[axis])]
    return _logits_of_parts(parts, scored, params, padding, ndim)


@partial(jax.jit, static_argnames=("stride", "padding", "ndim"))
def image_conv_scores(
    x: Float[AnyArray, "..."],
    stride: int,
    params: ConvParams,
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "*batch p"]:
    """`conv_scores` of ``split(x, stride)``, without forming the split.

    Args:
        x: ``[..., *space, C]``.
        stride: the sampling stride ``s``, in samples.
        params: as for `conv_scores`.
        padding: as for `conv_scores`.
        ndim: the number of spatial axes.

    Returns:
        ``[..., P]`` with ``P = s ** ndim``, to the bit those of `conv_scores`.

    Raises:
        ValueError: the stride does not divide every spatial size.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> conv = {"kernel": jnp.ones((1, 1, 1)), "bias": jnp.zeros(1)}
    >>> params = {"conv1": conv, "conv2": conv}
    >>> x = jnp.array([1.0, -2.0, 5.0, 4.0])[:, None]
    >>> polyphase.image_conv_scores(x, 2, params, ndim=1).tolist()
    [3.0, 2.0]
    """
    scored = _Scored(interleave(x, stride, ndim), interleaved(ndim))
    x = jnp.asarray(x)
    if padding == "circular" and _few_features(params, x.shape[-1], ndim):
        r = first_response(x, params["conv1"], dilation=stride, ndim=ndim)
        responses = [interleave(r, stride, ndim)]
        return _logits(responses, interleaved(ndim), scored, params["conv2"], padding)
    parts = components(x, stride, ndim=ndim)
    return _logits_of_parts(parts, scored, params, padding, ndim)


class _Scored(NamedTuple):
    """The array whose components get scores: it settles ties."""

    array: Array
    layout: Layout


def _logits_of_parts(
    parts: Sequence[Array], scored: _Scored, params: ConvParams, padding: str, ndim: int
) -> Array:
    responses = [
        first_response(p, params["conv1"], padding=padding, ndim=ndim) for p in parts
    ]
    return _logits(responses, component(ndim), scored, params["conv2"], padding)


def _few_features(params: ConvParams, channels: int, ndim: int) -> bool:
    """Whether one matrix product and shifted sums beat a convolution on CPU.

    The product's width is ``taps * h``; measured break-even is about ``2.5 C``.
    """
    kernel = params["conv1"]["kernel"]
    _check_kernel(kernel, channels, ndim)
    return math.prod(kernel.shape[:ndim]) * kernel.shape[-1] <= 2.5 * channels


def _check_kernel(kernel: AnyArray, channels: int, ndim: int) -> None:
    if kernel.ndim != ndim + 2 or kernel.shape[-2] != channels:
        raise ValueError(
            f"expected a kernel [*k, {channels}, features] with {ndim} spatial axes, "
            f"got shape {kernel.shape}"
        )


@partial(jax.jit, static_argnames=("dilation", "padding", "ndim"))
def first_response(
    x: Float[AnyArray, "..."],
    conv: Mapping[str, AnyArray],
    *,
    dilation: int = 1,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "..."]:
    """``relu(conv(x) + bias)`` of the same size, with taps ``dilation`` apart.

    With ``dilation = s`` on the whole array, component ``k`` of the result is the
    response of component ``k``.
    """
    kernel = jnp.asarray(conv["kernel"])
    _check_kernel(kernel, x.shape[-1], ndim)
    if padding == "circular" and _few_features({"conv1": conv}, x.shape[-1], ndim):
        out = _circular_conv_by_taps(x, kernel, dilation, ndim)
    else:
        out = dense_conv(x, kernel, padding=padding, dilation=dilation, ndim=ndim)
    return jax.nn.relu(out + conv["bias"])


def _circular_conv_by_taps(x: Array, kernel: Array, dilation: int, ndim: int) -> Array:
    """A circular convolution as one matrix product and a sum of rolled slices."""
    taps = kernel.shape[:ndim]
    flat = jnp.moveaxis(kernel.reshape(-1, *kernel.shape[-2:]), 0, 1)
    out = jnp.reshape(x, (-1, x.shape[-1])) @ flat.reshape(x.shape[-1], -1)
    out = out.reshape(*x.shape[:-1], math.prod(taps), kernel.shape[-1])
    axes = tuple(range(x.ndim - 1 - ndim, x.ndim - 1))
    total = None
    for t, place in enumerate(np.ndindex(*taps)):
        roll = tuple(
            -dilation * (i - (n - 1) // 2) for i, n in zip(place, taps, strict=True)
        )
        term = jnp.roll(out[..., t, :], roll, axes)
        total = term if total is None else total + term
    return total


def dense_conv(
    x: Float[AnyArray, "..."],
    kernel: Float[AnyArray, "..."],
    *,
    stride: int = 1,
    padding: str = "circular",
    dilation: int = 1,
    ndim: int = 2,
) -> Float[Array, "..."]:
    """A convolution of ``[..., *space, C]`` by ``[*k, C, features]``, padded by name.

    Circular padding is a copied border and a convolution without padding.
    """
    size = kernel.shape[0]
    extent = dilation * (size - 1)
    x = pad(x, extent // 2, extent - extent // 2, padding=padding, ndim=ndim)
    letters = "HWD"[:ndim]
    out = lax.conv_general_dilated(
        x.reshape((-1, *x.shape[-ndim - 1 :])),
        jnp.asarray(kernel, x.dtype),
        (stride,) * ndim,
        "VALID",
        rhs_dilation=(dilation,) * ndim,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )
    return out.reshape((*x.shape[: -ndim - 1], *out.shape[1:]))


def _logits(
    responses: Sequence[Array],
    layout: Layout,
    scored: _Scored,
    conv2: Mapping[str, AnyArray],
    padding: str,
) -> Array:
    """Logits from the first responses of the components.

    Args:
        responses: arrays that hold one or more components each.
        layout: where each of them holds its components.
        scored: what the components were taken from.
        conv2: the second convolution.
        padding: of the convolutions.
    """
    dtype = jnp.promote_types(responses[0].dtype, jnp.float32)
    responses = [r.astype(dtype) for r in responses]
    kernel, bias = (jnp.asarray(conv2[name], dtype) for name in ("kernel", "bias"))
    ndim = kernel.ndim - 2
    if padding != "circular":
        axes = tuple(range(-ndim - 1, 0))
        means = [
            jnp.mean(dense_conv(r, kernel, padding=padding, ndim=ndim) + bias, axes)
            for r in responses
        ]
        return jnp.stack(means, axis=-1)
    collapsed = jnp.sum(kernel, axis=(*range(ndim), -1)) / kernel.shape[-1]
    exact = partial(_exact_logits, layout=layout, scored_layout=scored.layout)
    plain = partial(_plain_logits, layout=layout)
    arguments = (responses, collapsed, jnp.mean(bias), scored.array)
    return plain_derivative(exact, plain)(*arguments)


def _plain_logits(
    responses: list[Array], v: Array, bias: Array, scored: Array, layout: Layout
) -> Array:
    del scored  # it only settles ties
    means = [layout.join(jnp.mean(r, layout.space), trailing=1) for r in responses]
    return jnp.concatenate(means, axis=-2) @ v + bias


def _exact_logits(
    responses: list[Array],
    v: Array,
    bias: Array,
    scored: Array,
    layout: Layout,
    scored_layout: Layout,
) -> Array:
    """``mean_n(r) . v + bias``: both sums, over space and channels, in fixed point."""
    down, up = scales(responses, (*layout.phase, *layout.space))
    sums = [fixed_sum(r * down, layout.space) for r in responses]
    high, low = (
        jnp.concatenate([layout.join(s[i], trailing=1) for s in sums], axis=-2)
        for i in (0, 1)
    )
    # The part that all components share would hide their differences from a float.
    least = jnp.min(high, axis=-2, keepdims=True)
    unit = 2.0 ** -sums[0].bits
    excess = (high - least) + low * jnp.asarray(unit, v.dtype)
    count = math.prod(responses[0].shape[a] for a in layout.space)
    weight = up.reshape(least.shape) * (unit / count) * v
    terms = excess * weight
    down, up = scales([terms], (-2, -1))
    total = fixed_sum(terms * down, (-1,))
    step = up[..., 0] * 2.0**-total.bits
    relative = (total.high + total.low * jnp.asarray(2.0**-total.bits, v.dtype)) * step
    base = jnp.sum(least * weight, axis=-1)
    values = base + relative + bias
    return ordered_scores(values, [*total[:2]], scored, scored_layout)
