"""ConvNeXts, as timm builds them.

Depthwise 7x7, normalisation, a two-layer network on every pixel with GELU, and a scale
on the branch (Liu et al., 2022, arXiv:2201.03545).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .depthwise import DepthwiseConv
from .parts import conv
from .vit import Mlp, layer_norm

# Blocks of each stage, and their channels.
_SHAPES = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
}
_STEM_PATCH = 4
_SCALE = 1e-6


class ConvNeXtBlock(nnx.Module):
    """x + gamma mlp(norm(7x7 depthwise(x)))."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv_dw = DepthwiseConv(width, 7, use_bias=True, rngs=rngs)
        self.norm = layer_norm(width, rngs)
        self.mlp = Mlp(width, 4 * width, rngs=rngs)
        self.gamma = nnx.Param(jnp.full(width, _SCALE))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Map ``[B, H, W, C]`` to ``[B, H, W, C]``."""
        return x + self.gamma[...] * self.mlp(self.norm(self.conv_dw(x)))


class ConvNeXtStage(nnx.Module):
    """Halving (in all stages but the first), then blocks."""

    def __init__(self, inputs: int | None, width: int, depth: int, *, rngs: nnx.Rngs):
        halve: list[nnx.Module] = []
        if inputs is not None:
            options = {"stride": 2, "padding": 0, "use_bias": True, "rngs": rngs}
            halve = [layer_norm(inputs, rngs), conv(inputs, width, 2, **options)]
        self.downsample = nnx.List(halve)
        self.blocks = nnx.List([ConvNeXtBlock(width, rngs=rngs) for _ in range(depth)])

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, C]`` to half the resolution, or to the same."""
        for layer in (*self.downsample, *self.blocks):
            x = layer(x)
        return x


class Head(nnx.Module):
    """The mean over the pixels, normalisation, and a linear classifier."""

    def __init__(self, width: int, num_classes: int, *, rngs: nnx.Rngs):
        self.norm = layer_norm(width, rngs)
        self.fc = nnx.Linear(width, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Map ``[B, H, W, C]`` to logits ``[B, K]``."""
        with jax.named_scope("pool"):
            x = jnp.mean(x, (1, 2))
        return self.fc(self.norm(x))


class ConvNeXt(nnx.Module):
    """A ConvNeXt; build it with `convnext`. The parts are called as in timm.

    Attributes:
        stem: 4x4 patches and their normalisation.
        stages, head: what follows.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.convnext(((1, 1), (4, 8)), 3, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((2, 16, 16, 3)))).shape
    (2, 3)
    """

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        num_classes: int,
        *,
        rngs: nnx.Rngs,
    ):
        patches = conv(
            3,
            widths[0],
            _STEM_PATCH,
            stride=_STEM_PATCH,
            padding=0,
            use_bias=True,
            rngs=rngs,
        )
        self.stem = nnx.List([patches, layer_norm(widths[0], rngs)])
        inputs = (None, *widths[:-1])
        self.stages = nnx.List(
            [
                ConvNeXtStage(a, b, depth, rngs=rngs)
                for a, b, depth in zip(inputs, widths, depths, strict=True)
            ]
        )
        self.head = Head(widths[-1], num_classes, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``; the options have no effect."""
        del key, temperature
        x = jnp.asarray(x)
        for part in (*self.stem, *self.stages):
            x = part(x)
        return self.head(x)


def convnext(
    shape: str | tuple[Sequence[int], Sequence[int]],
    num_classes: int = 1000,
    *,
    rngs: nnx.Rngs,
) -> ConvNeXt:
    """A ConvNeXt with random weights.

    Args:
        shape: ``"tiny"``, ``"small"``, ``"base"``, ``"large"``, or (blocks of each
            stage, channels of each stage).
        num_classes: K.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: an unknown name.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> model = nnx.eval_shape(lambda: models.convnext("tiny", rngs=nnx.Rngs(0)))
    >>> model.stages[1].downsample[1].kernel.shape
    (2, 2, 96, 192)
    """
    if isinstance(shape, str):
        if shape not in _SHAPES:
            raise ValueError(f"shape must be one of {tuple(_SHAPES)}, got {shape!r}")
        shape = _SHAPES[shape]
    depths, widths = shape
    return ConvNeXt(tuple(depths), tuple(widths), num_classes, rngs=rngs)
