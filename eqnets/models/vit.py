"""Vision transformers, as timm builds them: ViT and DeiT (tiny, small, base, large).

Patches are embedded by one convolution, a class token stands in front, positions are
learned; blocks normalise before attention and before the two-layer network, with GELU
(Dosovitskiy et al., 2021, arXiv:2010.11929; Touvron et al., 2021, arXiv:2012.12877).
"""

import math
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

EPSILON = 1e-6
IMAGE_SIZE = 224


class ViTShape(NamedTuple):
    """What tells one vision transformer from another.

    Attributes:
        patch: side of a patch, in pixels.
        width: channels of a token.
        depth: number of blocks.
        heads: of attention; they share the width.
    """

    patch: int
    width: int
    depth: int
    heads: int


_SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
_LETTERS = {"Ti": "tiny", "S": "small", "B": "base", "L": "large"}
_NAME = re.compile(
    rf"(?P<letter>{'|'.join(_LETTERS)})(/(?P<short>\d+))?"
    rf"|(vit|deit)_(?P<size>{'|'.join(_SIZES)})(_patch(?P<patch>\d+)(_(?P<side>\d+))?)?"
)

_kernel = nnx.initializers.truncated_normal(0.02)


class PatchEmbed(nnx.Module):
    """An image cut into patches, each embedded as a token."""

    def __init__(self, patch: int, width: int, *, rngs: nnx.Rngs):
        side = (patch, patch)
        self.proj = nnx.Conv(
            3,
            width,
            side,
            strides=patch,
            padding="VALID",
            kernel_init=_kernel,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b n d"]:
        """Map ``[B, H, W, 3]`` to tokens ``[B, N, D]``, row by row."""
        x = self.proj(x)
        return x.reshape(x.shape[0], -1, x.shape[-1])


class Attention(nnx.Module):
    """Multi-head self-attention; one linear layer makes queries, keys and values."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, kernel_init=_kernel, rngs=rngs)
        self.proj = nnx.Linear(width, width, kernel_init=_kernel, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """softmax(q k' / sqrt(d / heads)) v of every head, mixed: ``[B, N, D]``."""
        batch, tokens, width = x.shape
        q, k, v = (
            part.reshape(batch, tokens, self.heads, width // self.heads)
            for part in jnp.split(self.qkv(x), 3, -1)
        )
        with jax.named_scope("scores"):
            scale = q.shape[-1] ** -0.5
            scores = jnp.einsum("bnhd,bmhd->bhnm", q * scale, k)
        with jax.named_scope("softmax"):
            weights = jax.nn.softmax(scores)
        with jax.named_scope("values"):
            y = jnp.einsum("bhnm,bmhd->bnhd", weights, v)
        return self.proj(y.reshape(x.shape))


class Mlp(nnx.Module):
    """Two dense layers on every token, with GELU (the exact one) between them."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(width, hidden, kernel_init=_kernel, rngs=rngs)
        self.fc2 = nnx.Linear(hidden, width, kernel_init=_kernel, rngs=rngs)

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Map ``[..., D]`` to ``[..., D]``."""
        x = self.fc1(x)
        with jax.named_scope("gelu"):
            x = jax.nn.gelu(x, approximate=False)
        return self.fc2(x)


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, hidden: int, *, rngs: nnx.Rngs):
        self.norm1 = layer_norm(width, rngs)
        self.attn = Attention(width, heads, rngs=rngs)
        self.norm2 = layer_norm(width, rngs)
        self.mlp = Mlp(width, hidden, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Map ``[B, N, D]`` to ``[B, N, D]``."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def layer_norm(width: int, rngs: nnx.Rngs, epsilon: float = EPSILON) -> nnx.LayerNorm:
    """Normalisation over channels, the variance as in PyTorch."""
    # As the mean of (x - mean)^2: no cancellation.
    return nnx.LayerNorm(width, epsilon=epsilon, use_fast_variance=False, rngs=rngs)


class VisionTransformer(nnx.Module):
    """A vision transformer; build it with `vit` or `vit_from_timm`.

    The parts are called as in timm.

    Attributes:
        shape: patch, width, depth and heads.
        image_size: height and width of the images, in pixels.
        patch_embed: from the image to tokens.
        cls_token: the class token ``[1, 1, D]``.
        pos_embed: positions ``[1, 1 + N, D]``, that of the class token first.
        blocks, norm, head: what follows, in this order.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.vit((4, 8, 1, 2), 3, image_size=8, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(lambda: make()(jnp.zeros((2, 8, 8, 3)))).shape
    (2, 3)
    >>> nnx.eval_shape(make).pos_embed.shape  # the class token, 2 x 2 patches
    (1, 5, 8)
    """

    def __init__(
        self,
        shape: ViTShape,
        num_classes: int,
        *,
        image_size: tuple[int, int],
        hidden: int,
        rngs: nnx.Rngs,
    ):
        patch, width, depth, heads = shape
        tokens = 1 + (image_size[0] // patch) * (image_size[1] // patch)
        self.shape, self.image_size = shape, image_size
        self.patch_embed = PatchEmbed(patch, width, rngs=rngs)
        draw = nnx.initializers.normal(EPSILON)
        self.cls_token = nnx.Param(draw(rngs.params(), (1, 1, width)))
        self.pos_embed = nnx.Param(_kernel(rngs.params(), (1, tokens, width)))
        self.blocks = nnx.List(
            [Block(width, heads, hidden, rngs=rngs) for _ in range(depth)]
        )
        self.norm = layer_norm(width, rngs)
        self.head = nnx.Linear(width, num_classes, kernel_init=_kernel, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``, read off the class token.

        Args:
            x: images of ``image_size``.
            key: for networks with random parts; no effect here.
            temperature: for networks with sampled layers; no effect here.

        Raises:
            ValueError: images of another size: the positions are learned for one.
        """
        del key, temperature
        x = jnp.asarray(x)
        if x.shape[1:3] != self.image_size:
            raise ValueError(
                f"this transformer has positions for {_times(self.image_size)} pixels, "
                f"got images of {_times(x.shape[1:3])}: resize them, or make the "
                f"network with image_size={tuple(x.shape[1:3])}"
            )
        x = self.patch_embed(x)
        first = jnp.broadcast_to(self.cls_token[...], (x.shape[0], 1, x.shape[2]))
        x = jnp.concatenate([first.astype(x.dtype), x], 1) + self.pos_embed[...]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def vit(
    shape: str | tuple[int, int, int, int],
    num_classes: int = 1000,
    *,
    image_size: int | tuple[int, int] | None = None,
    mlp_ratio: int | float = 4,
    rngs: nnx.Rngs,
) -> VisionTransformer:
    """A vision transformer with random weights.

    Args:
        shape: ``"Ti/16"``, ``"S/16"``, ``"B/16"``, ``"L/16"`` (other patches likewise,
            16 if left out), a name of timm such as ``"deit_small_patch16_224"``, or
            ``(patch, width, depth, heads)``.
        num_classes: K.
        image_size: side, or (height, width), in pixels; None: what the name says, or
            224.
        mlp_ratio: hidden channels of the two-layer networks per channel of a token.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: an unknown name, heads that do not share the width evenly, or
            patches that do not fill the image.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.vit("S/16", rngs=nnx.Rngs(0))  # ViT-S and DeiT-S
    >>> model = nnx.eval_shape(make)  # shapes alone
    >>> model.blocks[11].attn.qkv.kernel.shape, model.pos_embed.shape
    ((384, 1152), (1, 197, 384))
    """
    named_side = None
    if isinstance(shape, str):
        shape, named_side = _parse(shape)
    shape = ViTShape(*shape)
    size = image_size if image_size is not None else named_side or IMAGE_SIZE
    size = (size, size) if isinstance(size, int) else tuple(size)
    _check(shape, size)
    hidden = round(mlp_ratio * shape.width)
    return VisionTransformer(
        shape, num_classes, image_size=size, hidden=hidden, rngs=rngs
    )


def _parse(name: str) -> tuple[ViTShape, int | None]:
    """The shape that a name stands for, and the side of the image if it says one."""
    found = _NAME.fullmatch(name)
    if found is None:
        letters, sizes = ", ".join(_LETTERS), ", ".join(_SIZES)
        raise ValueError(
            f"there is no vision transformer {name!r}: write a letter of {letters} and "
            f"a patch, such as 'S/16'; a name of timm, such as "
            f"'deit_small_patch16_224', with one of {sizes}; or "
            "(patch, width, depth, heads)"
        )
    size = found["size"] or _LETTERS[found["letter"]]
    patch = int(found["short"] or found["patch"] or 16)
    side = int(found["side"]) if found["side"] else None
    return ViTShape(patch, *_SIZES[size]), side


def _check(shape: ViTShape, size: tuple[int, ...]) -> None:
    if min(shape) < 1:
        raise ValueError(f"patch, width, depth and heads are at least 1, got {shape}")
    if shape.width % shape.heads:
        raise ValueError(
            f"{shape.heads} heads cannot share a width of {shape.width} evenly: take a "
            f"width of {math.ceil(shape.width / shape.heads) * shape.heads}"
        )
    if len(size) != 2 or min(size) < 1 or any(s % shape.patch for s in size):
        whole = tuple(max(1, round(s / shape.patch)) * shape.patch for s in size)
        raise ValueError(
            f"image_size must be (height, width) in whole patches of {shape.patch} "
            f"pixels, got {size}: take {whole}"
        )


def _times(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
