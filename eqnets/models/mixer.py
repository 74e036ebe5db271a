"""MLP-Mixers, as timm builds them: dense layers over tokens and over channels.

Tolstikhin et al. (2021), arXiv:2105.01601.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .vit import Mlp, PatchEmbed, layer_norm


class MixerShape(NamedTuple):
    """What tells one mixer from another.

    Attributes:
        patch: side of a patch, in pixels.
        width: channels of a token.
        depth: number of blocks.
    """

    patch: int
    width: int
    depth: int


_SIZES = {"s": (512, 8), "b": (768, 12), "l": (1024, 24)}


class MixerBlock(nnx.Module):
    """x + mlp over the tokens, then x + mlp over the channels, both normalised."""

    def __init__(self, width: int, tokens: int, *, rngs: nnx.Rngs):
        self.norm1 = layer_norm(width, rngs)
        self.mlp_tokens = Mlp(tokens, width // 2, rngs=rngs)
        self.norm2 = layer_norm(width, rngs)
        self.mlp_channels = Mlp(width, 4 * width, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Map ``[B, N, D]`` to ``[B, N, D]``."""
        x = x + self.mlp_tokens(self.norm1(x).swapaxes(1, 2)).swapaxes(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class Mixer(nnx.Module):
    """An MLP-Mixer; build it with `mixer`. The parts are called as in timm.

    Attributes:
        image_size: height and width of the images, in pixels.
        stem: from the image to tokens.
        blocks, norm, head: what follows, in this order.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.mixer((4, 8, 1), 3, image_size=8, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((2, 8, 8, 3)))).shape
    (2, 3)
    """

    def __init__(
        self,
        shape: MixerShape,
        num_classes: int,
        *,
        image_size: tuple[int, int],
        rngs: nnx.Rngs,
    ):
        patch, width, depth = shape
        tokens = math.prod(side // patch for side in image_size)
        self.image_size = image_size
        self.stem = PatchEmbed(patch, width, rngs=rngs)
        self.blocks = nnx.List(
            [MixerBlock(width, tokens, rngs=rngs) for _ in range(depth)]
        )
        self.norm = layer_norm(width, rngs)
        self.head = nnx.Linear(width, num_classes, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``; the options have no effect.

        Raises:
            ValueError: images of another size: each token has weights of its own.
        """
        del key, temperature
        x = jnp.asarray(x)
        if x.shape[1:3] != self.image_size:
            raise ValueError(
                f"this mixer has weights for images of {self.image_size}, got "
                f"{x.shape[1:3]}: resize them, or make the network with image_size="
            )
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        with jax.named_scope("pool"):
            x = jnp.mean(x, 1)
        return self.head(x)


def mixer(
    shape: str | tuple[int, int, int],
    num_classes: int = 1000,
    *,
    image_size: int | tuple[int, int] = 224,
    rngs: nnx.Rngs,
) -> Mixer:
    """An MLP-Mixer with random weights.

    Args:
        shape: ``"S/16"``, ``"B/16"``, ``"L/16"``, other patches likewise, or
            ``(patch, width, depth)``.
        num_classes: K.
        image_size: side, or (height, width), in pixels.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: an unknown name, or patches that do not fill the image.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> model = nnx.eval_shape(lambda: models.mixer("B/16", rngs=nnx.Rngs(0)))
    >>> model.blocks[11].mlp_tokens.fc1.kernel.shape
    (196, 384)
    """
    if isinstance(shape, str):
        letter, _, patch = shape.lower().partition("/")
        if letter not in _SIZES or not patch.isdecimal():
            known = ", ".join(s.upper() for s in _SIZES)
            raise ValueError(
                f"there is no mixer {shape!r}: write one of {known} and a patch, such "
                "as 'B/16', or (patch, width, depth)"
            )
        shape = (int(patch), *_SIZES[letter])
    shape = MixerShape(*shape)
    size = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    if min(shape) < 1 or any(side < 1 or side % shape.patch for side in size):
        raise ValueError(
            f"image_size must be whole patches of {shape.patch} pixels, got {size}"
        )
    return Mixer(shape, num_classes, image_size=size, rngs=rngs)
