"""The first layers of a residual network: two of its five strides on ImageNet."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import nn, polyphase
from eqnets.models.blocks import batch_norm
from eqnets.models.sampling_options import Sampling
from eqnets.polyphase.phases import Number

Selections = list[Array]


class CifarStem(nnx.Module):
    """3x3 - norm - ReLU at full resolution.

    Args:
        width: channels out.
        hidden: unused; the stem does not sample.
        sampling: the network's sampling options.
        rngs: initialises the parameters.
    """

    stride = 1

    def __init__(
        self, width: int, *, hidden: int | None, sampling: Sampling, rngs: nnx.Rngs
    ):
        del hidden
        self.conv1 = nn.Conv(
            3, width, 3, padding=sampling.padding, dtype=sampling.dtype, rngs=rngs
        )
        self.bn1 = batch_norm(width, sampling, rngs)

    def __call__(
        self,
        x: Float[Array, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "b h w d"], Selections]:
        """The features, and no selection."""
        del key, temperature
        return jax.nn.relu(self.bn1(self.conv1(x))), []


class ImageNetStem(nnx.Module):
    """7x7 - norm - ReLU - [sample] - max-pool 2 at stride 1 - [filter, sample].

    The strided network has its usual 7x7 stride 2 and max-pool 3 stride 2. With
    ``*_input`` the samplings look at the image and at the input of the max-pool.

    Args:
        width: channels out.
        hidden: channels of the two logits networks.
        sampling: the network's sampling options.
        rngs: initialises the parameters.
    """

    stride = 4

    def __init__(
        self, width: int, *, hidden: int | None, sampling: Sampling, rngs: nnx.Rngs
    ):
        plain = sampling.without_filter()
        self.conv1 = nn.Conv(
            3,
            width,
            7,
            stride=plain.conv_stride,
            padding=sampling.padding,
            dtype=sampling.dtype,
            rngs=rngs,
        )
        self.bn1 = batch_norm(width, sampling, rngs)
        self.pool0 = plain.pool(width, 3, hidden, rngs)
        self.pool1 = sampling.pool(width, width, hidden, rngs)
        self.sampling = sampling

    def __call__(
        self,
        x: Float[Array, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "b h_ w_ d"], Selections]:
        """The features at a quarter of the resolution, and two selections."""
        if self.sampling.down == "strided":
            y = self._activate(self.conv1(x))
            return nnx.max_pool(y, (3, 3), (2, 2), ((1, 1), (1, 1))), []
        if self.sampling.down == "lowpass":
            y = self.pool0.first(self._activate(self.conv1(x)))
            return self.pool1.first(self._widen(y)), []
        keys = (None, None) if key is None else jax.random.split(key)
        options = {"temperature": temperature}
        if self.sampling.from_input:
            return self._input_select(x, keys, options)
        y = self._activate(self.conv1(x))
        y, first = self.pool0(y, key=keys[0], **options)
        y, second = self.pool1(self._widen(y), key=keys[1], **options)
        return y, [first, second]

    def _activate(self, y: Array) -> Array:
        return jax.nn.relu(self.bn1(y))

    def _widen(self, y: Array) -> Array:
        """The maximum of every 2x2 neighbourhood, at stride 1."""
        y = polyphase.pad(y, 0, 1, padding=self.sampling.padding)
        return nnx.max_pool(y, (2, 2))

    def _input_select(
        self, x: Array, keys: tuple, options: dict
    ) -> tuple[Array, Selections]:
        first, hard = self.pool0.choose(
            jnp.asarray(x, self.sampling.dtype), key=keys[0], **options
        )
        y = self._activate(self.conv1.at_phase(x, first, hard=hard))
        second, hard = self.pool1.choose(y, key=keys[1], **options)
        # A maximum does not commute with mixing: pool first, then take the phase.
        y = self.pool1.sampler(self._widen(y), second, hard=hard)
        return y, [first, second]
