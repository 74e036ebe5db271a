"""Residual blocks whose stride is a sampling step that both branches share."""

import abc

from flax import nnx
from jax import Array, lax
from jaxtyping import Float

from eqnets import nn
from eqnets.models.sampling_options import FIRST, Sampling
from eqnets.polyphase.phases import Number


def batch_norm(features: int, sampling: Sampling, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Batch normalisation with torch's constants."""
    return nnx.BatchNorm(
        features, momentum=0.9, epsilon=1e-5, dtype=sampling.dtype, rngs=rngs
    )


class _Residual(nnx.Module):
    """What the two blocks have in common: sampling step, shortcut, sum.

    The subclass sets ``pooled_conv`` and ``pooled_norm`` (the names of the layer
    before the sampling step) and defines ``enter`` and ``leave``.
    """

    pooled_conv: str
    pooled_norm: str

    def _make_sampling(
        self,
        inputs: int,
        width: int,
        outputs: int,
        *,
        stride: int,
        hidden: int | None,
        sampling: Sampling,
        rngs: nnx.Rngs,
    ) -> None:
        self.stride, self.sampling = stride, sampling
        samples, projects = stride == 2, stride == 2 or inputs != outputs
        self.pool = sampling.pool(width, inputs, hidden, rngs) if samples else None
        self.shortcut = sampling.sampler(inputs, rngs) if samples else None
        self.proj = (
            nn.Conv(inputs, outputs, 1, dtype=sampling.dtype, rngs=rngs)
            if projects
            else None
        )
        self.proj_norm = batch_norm(outputs, sampling, rngs) if projects else None

    @abc.abstractmethod
    def enter(self, x: Array) -> Array:
        """Layers before the pooled convolution."""

    @abc.abstractmethod
    def leave(self, y: Array) -> Array:
        """Layers after the sampling step."""

    def __call__(
        self,
        x: Float[Array, "b h w c"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> tuple[Float[Array, "b h_ w_ d"], Float[Array, "b p"] | None]:
        """The block's output, and the weights of its selection if it has one."""
        y, shortcut, weights = self._sample(x, self.enter(x), key, temperature)
        y = self.leave(y)
        if self.proj is not None:
            shortcut = self.proj_norm(self.proj(shortcut))
        return self.sampling.activate(y + shortcut), weights

    def _sample(
        self, x: Array, y: Array, key: Array | None, temperature: Number
    ) -> tuple[Array, Array, Array | None]:
        conv = getattr(self, self.pooled_conv)
        norm = getattr(self, self.pooled_norm)

        def run(z: Array) -> Array:
            return self.sampling.activate(norm(z))

        if self.stride == 1:
            return run(conv(y)), x, None
        down = self.sampling.down
        if down == "strided":
            # An index would become a gather where the number of images is a symbol.
            every_other = lax.slice(x, (0,) * 4, x.shape, (1, 2, 2, 1))
            return run(conv(y)), every_other, None
        if down in FIRST:
            return self.pool.first(run(conv(y))), self.shortcut.first(x), None
        if self.sampling.from_input:
            weights, hard = self.pool.choose(x, key=key, temperature=temperature)
            if conv.stride == 2:
                y = run(conv.at_phase(y, weights, hard=hard))
            else:
                y = self.pool.sampler(run(conv(y)), weights, hard=hard)
        else:
            y, weights, hard = self.pool.sample(
                run(conv(y)), key=key, temperature=temperature
            )
        return y, self.shortcut(x, weights, hard=hard), weights


class BasicBlock(_Residual):
    """3x3 - norm - ReLU - [sample] - 3x3 - norm, plus the shortcut.

    Args:
        inputs: channels in.
        width: channels out.
        stride: 1 or 2.
        hidden: channels of the logits network.
        sampling: the network's sampling options.
        rngs: initialises the parameters.
    """

    expansion = 1
    pooled_conv, pooled_norm = "conv1", "bn1"

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        stride: int,
        hidden: int | None,
        sampling: Sampling,
        rngs: nnx.Rngs,
    ):
        options = {"padding": sampling.padding, "dtype": sampling.dtype, "rngs": rngs}
        first = sampling.conv_stride if stride == 2 else 1
        self.conv1 = nn.Conv(inputs, width, 3, stride=first, **options)
        self.bn1 = batch_norm(width, sampling, rngs)
        self.conv2 = nn.Conv(width, width, 3, **options)
        self.bn2 = batch_norm(width, sampling, rngs)
        self._make_sampling(
            inputs,
            width,
            width,
            stride=stride,
            hidden=hidden,
            sampling=sampling,
            rngs=rngs,
        )

    def enter(self, x: Array) -> Array:
        """Nothing: the first convolution is the pooled one."""
        return x

    def leave(self, y: Array) -> Array:
        """The second convolution."""
        return self.bn2(self.conv2(y))


class Bottleneck(_Residual):
    """1x1 - 3x3 - [sample] - 1x1, each normalised, plus the shortcut.

    Args:
        inputs: channels in.
        width: channels of the 3x3; the output has four times as many.
        stride: 1 or 2.
        hidden: channels of the logits network.
        sampling: the network's sampling options.
        rngs: initialises the parameters.
    """

    expansion = 4
    pooled_conv, pooled_norm = "conv2", "bn2"

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        stride: int,
        hidden: int | None,
        sampling: Sampling,
        rngs: nnx.Rngs,
    ):
        options = {"padding": sampling.padding, "dtype": sampling.dtype, "rngs": rngs}
        outputs = self.expansion * width
        self.conv1 = nn.Conv(inputs, width, 1, **options)
        self.bn1 = batch_norm(width, sampling, rngs)
        middle = sampling.conv_stride if stride == 2 else 1
        self.conv2 = nn.Conv(width, width, 3, stride=middle, **options)
        self.bn2 = batch_norm(width, sampling, rngs)
        self.conv3 = nn.Conv(width, outputs, 1, **options)
        self.bn3 = batch_norm(outputs, sampling, rngs)
        self._make_sampling(
            inputs,
            width,
            outputs,
            stride=stride,
            hidden=hidden,
            sampling=sampling,
            rngs=rngs,
        )

    def enter(self, x: Array) -> Array:
        """The first 1x1 convolution."""
        return self.sampling.activate(self.bn1(self.conv1(x)))

    def leave(self, y: Array) -> Array:
        """The last 1x1 convolution."""
        return self.bn3(self.conv3(y))
