"""DenseNets, as timm builds them: every layer reads all layers before it.

DenseNet-BC: 1x1 bottlenecks and halving transitions (Huang et al., 2017,
arXiv:1608.06993).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .parts import MaxPool, Relu, batch_norm, conv

# Layers of each block, channels that a layer adds, channels of the stem.
_SHAPES = {
    121: ((6, 12, 24, 16), 32, 64),
    161: ((6, 12, 36, 24), 48, 96),
    169: ((6, 12, 32, 32), 32, 64),
    201: ((6, 12, 48, 32), 32, 64),
}
#: Channels of a bottleneck per channel that its layer adds.
BOTTLENECK = 4


class DenseLayer(nnx.Module):
    """norm - ReLU - 1x1 - norm - ReLU - 3x3 of all that came before."""

    def __init__(self, inputs: int, growth: int, *, rngs: nnx.Rngs):
        middle = BOTTLENECK * growth
        self.norm1 = batch_norm(inputs, rngs=rngs)
        self.relu1 = Relu()
        self.conv1 = conv(inputs, middle, 1, rngs=rngs)
        self.norm2 = batch_norm(middle, rngs=rngs)
        self.relu2 = Relu()
        self.conv2 = conv(middle, growth, 3, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w g"]:
        """The channels to add."""
        x = self.conv1(self.relu1(self.norm1(x)))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nnx.Module):
    """Layers whose outputs are put beside their inputs."""

    def __init__(self, inputs: int, layers: int, growth: int, *, rngs: nnx.Rngs):
        self.layers = layers
        for i in range(layers):
            layer = DenseLayer(inputs + i * growth, growth, rngs=rngs)
            setattr(self, f"denselayer{i + 1}", layer)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """Map ``[B, H, W, C]`` to ``[B, H, W, C + layers * growth]``."""
        for i in range(self.layers):
            new = getattr(self, f"denselayer{i + 1}")(x)
            x = jnp.concatenate([x, new], -1)
        return x


class Transition(nnx.Module):
    """norm - ReLU - 1x1 to half the channels - mean of 2x2."""

    def __init__(self, inputs: int, *, rngs: nnx.Rngs):
        self.norm = batch_norm(inputs, rngs=rngs)
        self.relu = Relu()
        self.conv = conv(inputs, inputs // 2, 1, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, C]`` to ``[B, H // 2, W // 2, C // 2]``."""
        x = self.conv(self.relu(self.norm(x)))
        with jax.named_scope("pool"):
            return nnx.avg_pool(x, (2, 2), (2, 2))


class Features(nnx.Module):
    """The network up to its last normalisation."""

    def __init__(
        self, blocks: Sequence[int], growth: int, width: int, *, rngs: nnx.Rngs
    ):
        self.conv0 = conv(3, width, 7, stride=2, rngs=rngs)
        self.norm0 = batch_norm(width, rngs=rngs)
        self.relu0 = Relu()
        self.pool0 = MaxPool(3, 2, 1)
        self.blocks = len(blocks)
        for i, layers in enumerate(blocks, 1):
            block = DenseBlock(width, layers, growth, rngs=rngs)
            setattr(self, f"denseblock{i}", block)
            width += layers * growth
            if i < len(blocks):
                setattr(self, f"transition{i}", Transition(width, rngs=rngs))
                width //= 2
        self.norm5 = batch_norm(width, rngs=rngs)
        self.width = width

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 c"]:
        """Features at a thirty-second of the resolution (four blocks)."""
        x = self.pool0(self.relu0(self.norm0(self.conv0(x))))
        for i in range(1, self.blocks + 1):
            x = getattr(self, f"denseblock{i}")(x)
            if i < self.blocks:
                x = getattr(self, f"transition{i}")(x)
        return self.norm5(x)


class DenseNet(nnx.Module):
    """A DenseNet; build it with `densenet`. The parts are called as in timm.

    Attributes:
        features: up to the last normalisation.
        classifier: from the mean over the pixels to the logits.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.densenet((1, 1), 3, growth=4, width=8, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((2, 32, 32, 3)))).shape
    (2, 3)
    """

    def __init__(
        self,
        blocks: Sequence[int],
        growth: int,
        width: int,
        num_classes: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.features = Features(blocks, growth, width, rngs=rngs)
        self.classifier = nnx.Linear(self.features.width, num_classes, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``; the options have no effect."""
        del key, temperature
        x = jax.nn.relu(self.features(jnp.asarray(x)))
        with jax.named_scope("pool"):
            x = jnp.mean(x, (1, 2))
        return self.classifier(x)


def densenet(
    depth: int | Sequence[int],
    num_classes: int = 1000,
    *,
    growth: int | None = None,
    width: int | None = None,
    rngs: nnx.Rngs,
) -> DenseNet:
    """A DenseNet with random weights.

    Args:
        depth: 121, 161, 169 or 201, or the layers of each block.
        num_classes: K.
        growth: channels that a layer adds; None: those of the depth, else 32.
        width: channels of the stem; None: those of the depth, else 64.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: another depth.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.densenet((2, 3), 10, growth=4, width=8, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(make).classifier.kernel.shape  # (8 + 2 * 4) / 2 + 3 * 4 channels
    (20, 10)
    """
    if isinstance(depth, int) and depth not in _SHAPES:
        raise ValueError(f"depth must be one of {tuple(_SHAPES)}, got {depth}")
    blocks, usual_growth, usual_width = (
        _SHAPES[depth] if isinstance(depth, int) else (tuple(depth), 32, 64)
    )
    growth, width = growth or usual_growth, width or usual_width
    return DenseNet(blocks, growth, width, num_classes, rngs=rngs)
