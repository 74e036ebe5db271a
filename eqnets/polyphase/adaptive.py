"""Input-adaptive low-pass filters per channel group (DDAC).

Source: Zou et al., "Delving deeper into anti-aliasing in ConvNets", 2020, in the form
of the LPS code: one softmax over the taps of *all* groups together.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.conv_scores import dense_conv
from eqnets.polyphase.padding import pad
from eqnets.polyphase.phases import AnyArray


def adaptive_lowpass(
    x: Float[AnyArray, "*batch h w c"],
    params: Mapping[str, AnyArray],
    *,
    groups: int = 8,
    padding: str = "circular",
    epsilon: float = 1e-5,
) -> Float[Array, "*batch h w c"]:
    """Filter every pixel with its own taps, predicted from the input.

    ``sigma = softmax(batch_norm(conv(x)))`` over all ``G k k`` channels (channel
    ``g k k + tap``, taps row-major), then
    ``y[c] = sum_tap sigma[g, tap] patch[c, tap]`` with ``g = c // (C / G)``.

    Args:
        x: ``[..., H, W, C]``.
        params: ``{"kernel": [k, k, C, G k k], "scale", "bias", "mean", "var"}``, the
            last four ``[G k k]``: the normalisation in evaluation.
        groups: ``G``, the channel groups that share their taps.
        padding: a name of :func:`~eqnets.polyphase.pad`.
        epsilon: added to the variance.

    Raises:
        ValueError: shapes that do not belong together.
    """
    kernel = params["kernel"]
    logits = adaptive_logits(x, kernel, padding=padding)
    scale = params["scale"] / jnp.sqrt(jnp.asarray(params["var"]) + epsilon)
    logits = (logits - params["mean"]) * scale + params["bias"]
    return filter_patches(x, logits, groups=groups, padding=padding)


def adaptive_logits(
    x: Float[AnyArray, "*batch h w c"],
    kernel: Float[AnyArray, "k k c n"],
    *,
    padding: str = "circular",
) -> Float[Array, "*batch h w n"]:
    """The logits of the taps before their normalisation."""
    return dense_conv(x, kernel, padding=padding)


def filter_patches(
    x: Float[AnyArray, "*batch h w c"],
    logits: Float[AnyArray, "*batch h w n"],
    *,
    groups: int = 8,
    padding: str = "circular",
) -> Float[Array, "*batch h w c"]:
    """Average the neighbourhood of every pixel with ``softmax(logits)`` as weights.

    Raises:
        ValueError: ``groups`` does not divide the channels, or the logits are not
            ``groups * k * k`` with an odd ``k``.
    """
    x = jnp.asarray(x)
    *batch, height, width, channels = x.shape
    size = round((logits.shape[-1] / groups) ** 0.5)
    if channels % groups or groups * size * size != logits.shape[-1] or size % 2 == 0:
        raise ValueError(
            f"{groups} groups need channels divisible by {groups} and "
            f"{groups} * k * k logits with odd k; got {channels} channels and "
            f"{logits.shape[-1]} logits"
        )
    sigma = jax.nn.softmax(jnp.asarray(logits, jnp.promote_types(x.dtype, jnp.float32)))
    sigma = sigma.reshape(*batch, height, width, groups, size * size)
    padded = pad(x, size // 2, size // 2, padding=padding)
    padded = padded.reshape(*padded.shape[:-1], groups, channels // groups)
    total = jnp.zeros((), sigma.dtype)
    for tap in range(size * size):
        i, j = divmod(tap, size)
        patch = padded[..., i : i + height, j : j + width, :, :]
        total = total + sigma[..., tap, None] * patch
    return total.reshape(x.shape).astype(x.dtype)
