"""Layers that commute with fractional shifts of periodic images."""

from collections.abc import Callable

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import polyphase
from eqnets.polyphase.phases import AnyArray


class AliasFree(nnx.Module):
    """A smooth activation on a finer grid, then an ideal low-pass.

    On ``[..., *space, C]``; see `polyphase.alias_free`.

    Args:
        activation: pointwise and smooth.
        oversample: how much finer the grid is.
        ndim: the number of spatial axes.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> wave = lambda by: jnp.cos(jnp.pi * (jnp.arange(8) - by) * 3 / 4)[:, None]
    >>> layer = nn.AliasFree(jnp.square, ndim=1)
    >>> bool(abs(layer(wave(0.0)).mean() - layer(wave(0.3)).mean()) < 1e-6)
    True
    """

    def __init__(
        self,
        activation: Callable[[Array], Array] = jax.nn.gelu,
        *,
        oversample: int = 2,
        ndim: int = 2,
    ):
        self.activation, self.oversample, self.ndim = activation, oversample, ndim

    def __call__(self, x: Float[AnyArray, "..."]) -> Float[Array, "..."]:
        """``[..., *space, C] -> [..., *space, C]``."""
        return polyphase.alias_free(
            self.activation, x, oversample=self.oversample, ndim=self.ndim
        )


class IdealDown(nnx.Module):
    """An ideal low-pass and a stride, without parameters.

    Args:
        stride: the sampling stride.
        ndim: the number of spatial axes.

    >>> import jax.numpy as jnp
    >>> from eqnets import nn
    >>> wave = lambda k: jnp.cos(2 * jnp.pi * k * jnp.arange(8) / 8)[:, None]
    >>> y = nn.IdealDown(ndim=1)(wave(1) + wave(3))
    >>> bool(jnp.allclose(y, wave(1)[::2], atol=1e-6))  # no alias
    True
    """

    def __init__(self, *, stride: int = 2, ndim: int = 2):
        self.stride, self.ndim = stride, ndim

    def first(self, x: Float[AnyArray, "..."]) -> Float[Array, "..."]:
        """``[..., *space, C] -> [..., *space / stride, C]``."""
        return polyphase.ideal_downsample(x, self.stride, ndim=self.ndim)

    __call__ = first
