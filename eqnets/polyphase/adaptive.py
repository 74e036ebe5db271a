"""Input-adaptive low-pass filters per channel group (DDAC).

Source: Zou et al., "Delving deeper into anti-aliasing in ConvNets", 2020, in the form
of the LPS code: one softmax over the taps of *all* groups together.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.conv_scores import dense_conv
from eqnets.polyphase.padding import pad
from eqnets.polyphase.phases import AnyArray, spatial_shape


def adaptive_lowpass(
    x: Float[AnyArray, "..."],
    params: Mapping[str, AnyArray],
    *,
    groups: int = 8,
    padding: str = "circular",
    epsilon: float = 1e-5,
    ndim: int = 2,
) -> Float[Array, "..."]:
    """Filter every pixel with its own taps, predicted from the input.

    ``sigma = softmax(batch_norm(conv(x)))`` over all ``G k ** ndim`` channels (channel
    ``g k ** ndim + tap``, taps row-major), then
    ``y[c] = sum_tap sigma[g, tap] patch[c, tap]`` with ``g = c // (C / G)``.

    Args:
        x: ``[..., *space, C]``.
        params: ``{"kernel": [*k, C, G k ** ndim], "scale", "bias", "mean", "var"}``,
            the last four ``[G k ** ndim]``: the normalisation in evaluation.
        groups: ``G``, the channel groups that share their taps.
        padding: a name of `polyphase.pad`.
        epsilon: added to the variance.
        ndim: the number of spatial axes.

    Raises:
        ValueError: shapes that do not belong together.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> x = jnp.arange(16.0).reshape(4, 4, 1)
    >>> one = jnp.ones(9)
    >>> params = {"kernel": jnp.zeros((3, 3, 1, 9)), "scale": one, "bias": 0 * one,
    ...           "mean": 0 * one, "var": one}
    >>> y = polyphase.adaptive_lowpass(x, params, groups=1)
    >>> float(y[1, 1, 0])  # equal logits: the plain mean of the neighbourhood
    5.0
    """
    logits = adaptive_logits(x, params["kernel"], padding=padding, ndim=ndim)
    scale = params["scale"] / jnp.sqrt(jnp.asarray(params["var"]) + epsilon)
    logits = (logits - params["mean"]) * scale + params["bias"]
    return filter_patches(x, logits, groups=groups, padding=padding, ndim=ndim)


def adaptive_logits(
    x: Float[AnyArray, "..."],
    kernel: Float[AnyArray, "..."],
    *,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "..."]:
    """The logits of the taps before their normalisation, ``[..., *space, n]``."""
    return dense_conv(x, kernel, padding=padding, ndim=ndim)


def filter_patches(
    x: Float[AnyArray, "..."],
    logits: Float[AnyArray, "..."],
    *,
    groups: int = 8,
    padding: str = "circular",
    ndim: int = 2,
) -> Float[Array, "..."]:
    """Average the neighbourhood of every pixel with ``softmax(logits)`` as weights.

    Raises:
        ValueError: ``groups`` does not divide the channels, or the logits are not
            ``groups * k ** ndim`` with an odd ``k``.
    """
    space = spatial_shape(x, ndim)
    x = jnp.asarray(x)
    channels = x.shape[-1]
    size = round((logits.shape[-1] / groups) ** (1 / ndim))
    taps = size**ndim
    if channels % groups or groups * taps != logits.shape[-1] or size % 2 == 0:
        raise ValueError(
            f"{groups} groups need channels divisible by {groups} and "
            f"{groups} * k ** {ndim} logits with odd k; got {channels} channels and "
            f"{logits.shape[-1]} logits"
        )
    sigma = jax.nn.softmax(jnp.asarray(logits, jnp.promote_types(x.dtype, jnp.float32)))
    sigma = sigma.reshape(*sigma.shape[:-1], groups, taps)
    padded = pad(x, size // 2, size // 2, padding=padding, ndim=ndim)
    padded = padded.reshape(*padded.shape[:-1], groups, channels // groups)
    total = jnp.zeros((), sigma.dtype)
    for tap, place in enumerate(np.ndindex(*(size,) * ndim)):
        window = [slice(i, i + n) for i, n in zip(place, space, strict=True)]
        patch = padded[(..., *window, slice(None), slice(None))]
        total = total + sigma[..., tap, None] * patch
    return total.reshape(x.shape).astype(x.dtype)
