"""Swin transformers, as timm builds them: attention within shifted windows.

Liu et al. (2021), arXiv:2103.14030.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from .parts import PooledHead, conv
from .vit import Mlp, layer_norm

EPSILON = 1e-5
# Added to the scores of pixels that the cyclic shift has made neighbours.
_APART = -100.0


class SwinShape(NamedTuple):
    """What tells one Swin transformer from another.

    Attributes:
        patch: side of a patch, in pixels.
        window: side of a window, in patches.
        width: channels of the first stage; each further one has twice as many.
        depths: blocks of each stage.
        heads: of attention in each stage.
    """

    patch: int
    window: int
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]


_SHAPES = {
    "tiny": SwinShape(4, 7, 96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": SwinShape(4, 7, 96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": SwinShape(4, 7, 128, (2, 2, 18, 2), (4, 8, 16, 32)),
}


class WindowAttention(nnx.Module):
    """Self-attention among the pixels of a window, with learned relative positions."""

    def __init__(self, width: int, heads: int, window: int, *, rngs: nnx.Rngs):
        self.heads, self.window = heads, window
        draw = nnx.initializers.truncated_normal(0.02)
        table = draw(rngs.params(), ((2 * window - 1) ** 2, heads))
        self.relative_position_bias_table = nnx.Param(table)
        self.qkv = nnx.Linear(width, 3 * width, kernel_init=draw, rngs=rngs)
        self.proj = nnx.Linear(width, width, kernel_init=draw, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b n p c"], apart: Float[np.ndarray, "n 1 p p"] | None
    ) -> Float[Array, "b n p c"]:
        """Map windows ``[B, N, P, C]`` to windows.

        Args:
            x: the P pixels of N windows.
            apart: added to the scores ``[N, 1, P, P]``, or None.
        """
        q, k, v = (
            part.reshape(*x.shape[:3], self.heads, x.shape[3] // self.heads)
            for part in jnp.split(self.qkv(x), 3, -1)
        )
        index = relative_positions(self.window)
        bias = self.relative_position_bias_table[...][index].transpose(2, 0, 1)
        with jax.named_scope("scores"):
            scale = q.shape[-1] ** -0.5
            scores = jnp.einsum("bnqhd,bnkhd->bnhqk", q * scale, k) + bias
            if apart is not None:
                scores = scores + jnp.asarray(apart, scores.dtype)
        with jax.named_scope("softmax"):
            weights = jax.nn.softmax(scores)
        with jax.named_scope("values"):
            y = jnp.einsum("bnhqk,bnkhd->bnqhd", weights, v)
        return self.proj(y.reshape(x.shape))


def relative_positions(window: int) -> Int[np.ndarray, "p p"]:
    """The row of the table for each pair of pixels of a window, ``[P, P]``."""
    place = np.stack(np.meshgrid(*(np.arange(window),) * 2, indexing="ij"))
    place = place.reshape(2, -1)
    down, right = place[:, :, None] - place[:, None] + window - 1
    return down * (2 * window - 1) + right


def windows(x: Float[Array, "b h w c"], side: int) -> Float[Array, "b n p c"]:
    """An image as windows ``[B, N, side^2, C]``, row by row."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // side, side, w // side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, -1, side * side, c)


def image(x: Float[Array, "b n p c"], size: tuple[int, int]) -> Array:
    """Windows put together again, ``[B, H, W, C]``."""
    (h, w), side = size, round(x.shape[2] ** 0.5)
    x = x.reshape(x.shape[0], h // side, w // side, side, side, x.shape[3])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], h, w, x.shape[-1])


def apart(size: tuple[int, int], side: int, shift: int) -> Float[np.ndarray, "n 1 p p"]:
    """The number to add to the score of each pair of pixels of each window.

    A cyclic shift brings pixels of opposite edges into one window; they must not see
    one another.
    """
    parts = [
        (np.arange(n) >= n - side).astype(int) + (np.arange(n) >= n - shift)
        for n in size
    ]
    region = (3 * parts[0][:, None] + parts[1]).astype(np.float32)
    h, w = size
    region = region.reshape(h // side, side, w // side, side).transpose(0, 2, 1, 3)
    region = region.reshape(-1, 1, side * side)
    return np.where(region[..., None] == region[..., None, :], 0.0, _APART)


class SwinBlock(nnx.Module):
    """x + attention in windows, shifted in every second block, then x + mlp."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        size: tuple[int, int],
        window: int,
        shifted: bool,
        rngs: nnx.Rngs,
    ):
        one = min(size) <= window
        self.window = min(size) if one else window
        self.shift = window // 2 if shifted and not one else 0
        self.norm1 = layer_norm(width, rngs, EPSILON)
        self.attn = WindowAttention(width, heads, self.window, rngs=rngs)
        self.norm2 = layer_norm(width, rngs, EPSILON)
        self.mlp = Mlp(width, 4 * width, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Map ``[B, H, W, C]`` to ``[B, H, W, C]``."""
        y, size, mask = self.norm1(x), x.shape[1:3], None
        if self.shift:
            y = jnp.roll(y, (-self.shift,) * 2, (1, 2))
            mask = apart(size, self.window, self.shift)
        with jax.named_scope("windows"):
            y = windows(y, self.window)
        y = self.attn(y, mask)
        with jax.named_scope("image"):
            y = image(y, size)
        if self.shift:
            y = jnp.roll(y, (self.shift,) * 2, (1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


class PatchMerging(nnx.Module):
    """2 x 2 pixels side by side, normalised, and mixed to twice the channels."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norm = layer_norm(4 * width, rngs, EPSILON)
        self.reduction = nnx.Linear(4 * width, 2 * width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, C]`` to ``[B, H / 2, W / 2, 2 C]``."""
        parts = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(jnp.concatenate(parts, -1)))


class SwinStage(nnx.Module):
    """Merging (in all stages but the first), then blocks."""

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        size: tuple[int, int],
        window: int,
        merges: bool,
        rngs: nnx.Rngs,
    ):
        self.downsample = PatchMerging(width // 2, rngs=rngs) if merges else None
        self.blocks = nnx.List(
            [
                SwinBlock(
                    width,
                    heads,
                    size=size,
                    window=window,
                    shifted=i % 2 == 1,
                    rngs=rngs,
                )
                for i in range(depth)
            ]
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, C]`` to half the resolution, or to the same."""
        x = x if self.downsample is None else self.downsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class PatchEmbed(nnx.Module):
    """An image cut into patches, each embedded and normalised, still an image."""

    def __init__(self, patch: int, width: int, *, rngs: nnx.Rngs):
        options = {"stride": patch, "padding": 0, "use_bias": True, "rngs": rngs}
        self.proj = conv(3, width, patch, **options)
        self.norm = layer_norm(width, rngs, EPSILON)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 d"]:
        """Map ``[B, H, W, 3]`` to ``[B, H / patch, W / patch, D]``."""
        return self.norm(self.proj(x))


class Swin(nnx.Module):
    """A Swin transformer; build it with `swin`. The parts are called as in timm.

    Attributes:
        image_size: height and width of the images, in pixels.
        patch_embed: from the image to patches.
        layers: the stages.
        norm, head: what follows.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> shape = (2, 2, 4, (1, 1), (1, 1))  # patch, window, width, blocks, heads
    >>> make = lambda: models.swin(shape, 3, image_size=16, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((2, 16, 16, 3)))).shape
    (2, 3)
    """

    def __init__(
        self,
        shape: SwinShape,
        num_classes: int,
        *,
        image_size: tuple[int, int],
        rngs: nnx.Rngs,
    ):
        self.image_size = image_size
        self.patch_embed = PatchEmbed(shape.patch, shape.width, rngs=rngs)
        stages = []
        for i, (depth, heads) in enumerate(zip(shape.depths, shape.heads, strict=True)):
            stages.append(
                SwinStage(
                    shape.width << i,
                    depth,
                    heads,
                    size=tuple(n // (shape.patch << i) for n in image_size),
                    window=shape.window,
                    merges=i > 0,
                    rngs=rngs,
                )
            )
        self.layers = nnx.List(stages)
        width = shape.width << (len(stages) - 1)
        self.norm = layer_norm(width, rngs, EPSILON)
        self.head = PooledHead(width, num_classes, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``; the options have no effect.

        Raises:
            ValueError: images of another size: windows are laid out for one.
        """
        del key, temperature
        x = jnp.asarray(x)
        if x.shape[1:3] != self.image_size:
            raise ValueError(
                f"this Swin transformer has windows for images of {self.image_size}, "
                f"got {x.shape[1:3]}: resize them, or make the network with image_size="
            )
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.head(self.norm(x))


def swin(
    shape: str | tuple[int, int, int, Sequence[int], Sequence[int]],
    num_classes: int = 1000,
    *,
    image_size: int | tuple[int, int] = 224,
    rngs: nnx.Rngs,
) -> Swin:
    """A Swin transformer with random weights.

    Args:
        shape: ``"tiny"``, ``"small"``, ``"base"``, or (patch, window, width, depths,
            heads).
        num_classes: K.
        image_size: side, or (height, width), in pixels.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: an unknown name, or windows that do not fill every stage.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> model = nnx.eval_shape(lambda: models.swin("tiny", rngs=nnx.Rngs(0)))
    >>> model.layers[3].blocks[1].attn.qkv.kernel.shape
    (768, 2304)
    """
    if isinstance(shape, str):
        if shape not in _SHAPES:
            raise ValueError(f"shape must be one of {tuple(_SHAPES)}, got {shape!r}")
        shape = _SHAPES[shape]
    shape = SwinShape(*shape)
    size = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    for i in range(len(shape.depths)):
        step = shape.patch << i
        fits = all(n % step == 0 for n in size)
        window = min(shape.window, *(n // step for n in size)) or 1
        if not fits or any(n // step % window for n in size):
            raise ValueError(
                f"image_size must hold whole windows of {shape.window} x {step} pixels "
                f"in stage {i + 1}, got {size}: take a multiple of "
                f"{shape.window * (shape.patch << (len(shape.depths) - 1))}"
            )
    return Swin(shape, num_classes, image_size=size, rngs=rngs)
