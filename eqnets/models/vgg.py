"""VGG with 11 to 19 layers, as timm builds it: a chain of convolutions and pools.

The dense layers are convolutions, so that larger images give a mean over places
(Simonyan & Zisserman, 2015, arXiv:1409.1556).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .parts import MaxPool, PooledHead, Relu, batch_norm, conv

# Convolutions of each stage, at these widths.
_STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_WIDTHS = (64, 128, 256, 512, 512)
HIDDEN = 4096


class ConvMlp(nnx.Module):
    """Two dense layers with ReLU, the first over a window of the features."""

    def __init__(self, inputs: int, hidden: int, window: int, *, rngs: nnx.Rngs):
        self.fc1 = conv(inputs, hidden, window, padding=0, use_bias=True, rngs=rngs)
        self.act1 = Relu()
        self.fc2 = conv(hidden, hidden, 1, use_bias=True, rngs=rngs)
        self.act2 = Relu()

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, h, w, C]`` to ``[B, h - window + 1, w - window + 1, D]``."""
        return self.act2(self.fc2(self.act1(self.fc1(x))))


class VGG(nnx.Module):
    """A VGG; build it with `vgg`. The parts are called as in timm.

    Attributes:
        features: convolutions, normalisations, ReLUs and pools, in order.
        pre_logits, head: what follows.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.vgg(
    ...     (1, 1), 3, widths=(2, 4), hidden=8, window=2, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((2, 64, 64, 3)))).shape
    (2, 3)
    """

    def __init__(
        self,
        stages: Sequence[int],
        num_classes: int,
        *,
        widths: Sequence[int],
        hidden: int,
        window: int,
        normalized: bool,
        rngs: nnx.Rngs,
    ):
        layers: list[nnx.Module] = []
        inputs = 3
        for count, width in zip(stages, widths, strict=True):
            for _ in range(count):
                layers.append(conv(inputs, width, 3, use_bias=True, rngs=rngs))
                if normalized:
                    layers.append(batch_norm(width, rngs=rngs))
                layers.append(Relu())
                inputs = width
            layers.append(MaxPool(2, 2))
        self.features = nnx.List(layers)
        self.window = window
        self.pre_logits = ConvMlp(inputs, hidden, window, rngs=rngs)
        self.head = PooledHead(hidden, num_classes, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``.

        Args:
            x: images of at least 32 pixels for each place of the window (224).
            key: for networks with random parts; no effect here.
            temperature: for networks with sampled layers; no effect here.

        Raises:
            ValueError: images too small for the window of the dense layers.
        """
        del key, temperature
        x = jnp.asarray(x)
        least = self.window * 2 ** sum(isinstance(f, MaxPool) for f in self.features)
        if min(x.shape[1:3]) < least:
            raise ValueError(
                f"the dense layers of this VGG read windows of {least} pixels, got "
                f"images of {x.shape[1]} x {x.shape[2]}: resize them"
            )
        for layer in self.features:
            x = layer(x)
        return self.head(self.pre_logits(x))


def vgg(
    depth: int | Sequence[int],
    num_classes: int = 1000,
    *,
    normalized: bool = False,
    widths: Sequence[int] = _WIDTHS,
    hidden: int = HIDDEN,
    window: int = 7,
    rngs: nnx.Rngs,
) -> VGG:
    """A VGG with random weights.

    Args:
        depth: 11, 13, 16 or 19, or the convolutions of each stage.
        num_classes: K.
        normalized: batch normalisation behind each convolution (timm's ``_bn``).
        widths: channels of each stage.
        hidden: channels of the two dense layers.
        window: side of what the first of them reads, in features.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: another depth.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> model = nnx.eval_shape(lambda: models.vgg(11, rngs=nnx.Rngs(0)))
    >>> model.features[3].kernel.shape
    (3, 3, 64, 128)
    """
    if isinstance(depth, int) and depth not in _STAGES:
        raise ValueError(f"depth must be one of {tuple(_STAGES)}, got {depth}")
    stages = _STAGES[depth] if isinstance(depth, int) else tuple(depth)
    return VGG(
        stages,
        num_classes,
        widths=tuple(widths)[: len(stages)],
        hidden=hidden,
        window=window,
        normalized=normalized,
        rngs=rngs,
    )
