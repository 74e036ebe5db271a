"""The first layers of a residual network: two of its five strides on ImageNet."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import nn, polyphase
from eqnets.models.blocks import batch_norm
from eqnets.models.sampling_options import FIRST, Sampling
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
        self.sampling = sampling

    def __call__(
        self,
        x: Float[Array, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "b h w d"], Selections]:
        """The features, and no selection."""
        del key, temperature
        return self.sampling.activate(self.bn1(self.conv1(x))), []


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
        keys = (None, None) if key is None else jax.random.split(key)
        y, first = self._sample_image(x, keys[0], temperature)
        y, second = sample_maxima(
            self.pool1, y, self.sampling, key=keys[1], temperature=temperature
        )
        return y, [w for w in (first, second) if w is not None]

    def _activate(self, y: Array) -> Array:
        return self.sampling.activate(self.bn1(y))

    def _sample_image(
        self, x: Array, key: Array | None, temperature: Number
    ) -> tuple[Array, Array | None]:
        """The first convolution and the first sampling step."""
        if self.sampling.down in FIRST:
            return self.pool0.first(self._activate(self.conv1(x))), None
        options = {"key": key, "temperature": temperature}
        if not self.sampling.from_input:
            return self.pool0(self._activate(self.conv1(x)), **options)
        x = jnp.asarray(x, self.sampling.dtype)
        weights, hard = self.pool0.choose(x, **options)
        return self._activate(self.conv1.at_phase(x, weights, hard=hard)), weights


def sample_maxima(
    pool: nnx.Module,
    y: Float[Array, "b h w c"],
    sampling: Sampling,
    *,
    key: Array | None = None,
    temperature: Number = 1.0,
) -> tuple[Float[Array, "b h_ w_ c"], Float[Array, "b p"] | None]:
    """Max-pooling as maxima of 2 x 2 at stride 1, then a sampling step.

    Args:
        pool: the sampling step, from `Sampling.pool`.
        y: the features.
        sampling: the network's sampling options, any but ``"strided"``.
        key: as for the sampling step.
        temperature: as for the sampling step.

    Returns:
        The sampled features, and the weights if a component was selected.
    """
    if sampling.down == "ideal":  # a maximum has no band limit
        return pool.first(y), None
    padded = polyphase.pad(y, 0, 1, padding=sampling.padding)
    maxima = nnx.max_pool(padded, (2, 2))
    if sampling.down == "lowpass":
        return pool.first(maxima), None
    options = {"key": key, "temperature": temperature}
    if not sampling.from_input:
        return pool(maxima, **options)
    # A maximum does not commute with mixing: pool first, then take the phase.
    weights, hard = pool.choose(y, **options)
    return pool.sampler(maxima, weights, hard=hard), weights
