"""EfficientNet-Lite 0, 1 and 2.

The mobile variants of EfficientNet (Tan and Le, 2019, arXiv:1905.11946), as released
with TensorFlow's TPU models in 2020: no squeeze-and-excitation, ReLU6 for SiLU, and
the stem, the head and the number of blocks of the first and the last stage not scaled.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .depthwise import DepthwiseConv

STEM_WIDTH = 32
HEAD_WIDTH = 1280
EPSILON = 1e-3


class Variant(NamedTuple):
    """Multipliers of the number of channels and of blocks, and the training set-up."""

    width: float
    depth: float
    resolution: int
    dropout: float


class Stage(NamedTuple):
    """Blocks of one shape; only the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


VARIANTS = {
    0: Variant(1.0, 1.0, 224, 0.2),
    1: Variant(1.0, 1.1, 240, 0.2),
    2: Variant(1.1, 1.2, 260, 0.3),
}
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def scaled_stages(variant: int) -> list[Stage]:
    """The stages of a variant, with its numbers of channels and blocks.

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"EfficientNet-Lite has the variants {sorted(VARIANTS)} here, got {variant}"
        )
    scale = VARIANTS[variant]
    inner = range(1, len(STAGES) - 1)
    return [
        stage._replace(
            blocks=math.ceil(stage.blocks * (scale.depth if i in inner else 1)),
            width=_round_to_eight(stage.width * scale.width),
        )
        for i, stage in enumerate(STAGES)
    ]


def _round_to_eight(width: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below ``width``."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


class ConvNorm(nnx.Module):
    """A convolution, batch normalisation, and ReLU6 unless ``activate`` is false."""

    def __init__(self, conv: nnx.Module, width: int, *, activate=True, rngs: nnx.Rngs):
        self.conv = conv
        self.norm = nnx.BatchNorm(width, epsilon=EPSILON, rngs=rngs)
        self.activate = activate

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, C]`` to ``[B, H2, W2, D]``."""
        x = self.norm(self.conv(x))
        return jax.nn.relu6(x) if self.activate else x


def _dense(
    inputs: int, width: int, *, size=1, stride=1, activate=True, rngs: nnx.Rngs
) -> ConvNorm:
    conv = nnx.Conv(
        inputs,
        width,
        (size, size),
        strides=stride,
        use_bias=False,
        kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
        rngs=rngs,
    )
    return ConvNorm(conv, width, activate=activate, rngs=rngs)


class Block(nnx.Module):
    """Expand the channels, filter each, project; add the input where shapes agree."""

    def __init__(self, inputs: int, stage: Stage, *, stride: int, rngs: nnx.Rngs):
        width = inputs * stage.expansion
        self.expand = _dense(inputs, width, rngs=rngs) if width > inputs else None
        depthwise = DepthwiseConv(width, stage.kernel, stride=stride, rngs=rngs)
        self.depthwise = ConvNorm(depthwise, width, rngs=rngs)
        self.project = _dense(width, stage.width, activate=False, rngs=rngs)
        self.skip = stride == 1 and inputs == stage.width

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, C]`` to ``[B, H2, W2, D]``."""
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.skip else y


class EfficientNetLite(nnx.Module):
    """EfficientNet-Lite; make one with `efficientnet_lite`.

    Attributes:
        variant: 0, 1 or 2.
        stem, blocks, head: convolutions with normalisation, in this order.
        classifier: from the mean over the pixels to the logits.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> net = nnx.eval_shape(lambda: models.efficientnet_lite(0, 10, rngs=nnx.Rngs(0)))
    >>> len(net.blocks), net.classifier.kernel.shape
    (16, (1280, 10))
    """

    def __init__(self, variant: int, num_classes: int, *, rngs: nnx.Rngs):
        stages = scaled_stages(variant)
        self.variant = variant
        self.stem = _dense(3, STEM_WIDTH, size=3, stride=2, rngs=rngs)
        width = STEM_WIDTH
        blocks = []
        for stage in stages:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(Block(width, stage, stride=stride, rngs=rngs))
                width = stage.width
        self.blocks = nnx.List(blocks)
        self.head = _dense(width, HEAD_WIDTH, rngs=rngs)
        self.dropout = nnx.Dropout(VARIANTS[variant].dropout)
        self.classifier = nnx.Linear(
            HEAD_WIDTH,
            num_classes,
            kernel_init=nnx.initializers.variance_scaling(1 / 3, "fan_out", "uniform"),
            rngs=rngs,
        )

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Return the logits ``[B, K]`` of images ``[B, H, W, 3]``.

        Args:
            x: images; the pretrained weights expect what their ``preprocess`` makes.
            key: random key of the dropout. Without it, and in evaluation, there is
                none.
            temperature: for networks with sampled layers; no effect here.
        """
        del temperature
        x = self.stem(jnp.asarray(x))
        for block in self.blocks:
            x = block(x)
        x = self.head(x).mean((1, 2))
        if key is not None:
            x = self.dropout(x, rngs=key)
        return self.classifier(x)


def efficientnet_lite(
    variant: int, num_classes: int = 1000, *, rngs: nnx.Rngs
) -> EfficientNetLite:
    """Make an EfficientNet-Lite with random weights.

    The layers' paths are ``stem``, ``blocks.0.depthwise``, ``blocks.0.project``,
    ``blocks.1.expand`` and so on, ``head`` and ``classifier``.

    Args:
        variant: 0 (4.7 million parameters, 224 pixels), 1 (5.4 million, 240) or 2
            (6.1 million, 260). Any size of image is taken.
        num_classes: K.
        rngs: draws the weights. `load_pretrained` needs none.

    Raises:
        ValueError: there is no such variant.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.efficientnet_lite(0, 10, rngs=nnx.Rngs(0))
    >>> model = nnx.eval_shape(make)  # shapes alone
    >>> model.blocks[3].depthwise.conv.kernel.shape
    (5, 5, 144)
    """
    return EfficientNetLite(variant, num_classes, rngs=rngs)
