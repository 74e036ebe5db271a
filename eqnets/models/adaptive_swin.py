"""Swin transformers that commute with circular shifts, with the weights of usual ones.

Tokens, windows and merged patches lie on grids, and each grid is put where the content
says: at the offset whose samples have the largest norm. After Rojas-Gomez et al.,
"Making vision transformers truly shift-equivariant", 2023, arXiv:2305.16316 (adaptive
tokenisation, window attention and merging); windows are anchored as in Ding et al.,
"Reviving shift equivariance in vision transformers", 2023, arXiv:2306.07470.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from eqnets import polyphase
from eqnets.models.swin import (
    PatchEmbed,
    PatchMerging,
    Swin,
    SwinBlock,
    image,
    swin,
    windows,
)
from eqnets.polyphase.conv_scores import dense_conv

Norm = int | float | str


class AdaptiveSwin(nnx.Module):
    """A Swin transformer whose grids follow the image; see `adaptive_swin`.

    The logits of a circularly shifted image are those of the image; the features of
    every stage are shifted.

    Args:
        swin: the network, trained or not; it keeps its weights, and is not changed.
        p: the norm that places the grids. Not 2: behind a layer normalisation the
            2-norms of all tokens are equal.

    Attributes:
        swin: the network.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> shape = (2, 2, 4, (1,), (1,))  # patch, window, width, blocks, heads
    >>> def features():
    ...     trained = models.swin(shape, 3, image_size=8, rngs=nnx.Rngs(0))
    ...     return models.AdaptiveSwin(trained).features(jnp.zeros((1, 8, 8, 3)))
    >>> [y.shape for y in nnx.eval_shape(features)]
    [(1, 4, 4, 4)]
    """

    def __init__(self, swin: Swin, *, p: Norm = 1):
        self.swin, self.p = swin, p

    def features(
        self, x: Float[Array | np.ndarray, "b h w 3"]
    ) -> list[Float[Array, "b _h _w _c"]]:
        """The tokens behind every stage, each as an image.

        Raises:
            ValueError: images of another size than the network's.
        """
        x = jnp.asarray(x)
        if x.shape[1:3] != self.swin.image_size:
            raise ValueError(
                f"this Swin transformer has windows for images of "
                f"{self.swin.image_size}, got {x.shape[1:3]}: resize them, or make the "
                "network with image_size="
            )
        x = embed(self.swin.patch_embed, x, self.p)
        outputs = []
        for stage in self.swin.layers:
            if stage.downsample is not None:
                x = merge(stage.downsample, x, self.p)
            for block in stage.blocks:
                x = attend(block, x, self.p)
            outputs.append(x)
        return outputs

    def __call__(
        self,
        x: Float[Array | np.ndarray, "b h w 3"],
        *,
        key: Array | None = None,
        temperature: float | Array = 1.0,
    ) -> Float[Array, "b k"]:
        """Logits ``[B, K]`` of images ``[B, H, W, 3]``; the options have no effect.

        Raises:
            ValueError: as `features`.
        """
        del key, temperature
        tokens = self.swin.norm(self.features(x)[-1])
        # One token of the exact mean: what the head averages is the mean itself.
        return self.swin.head(polyphase.invariant_mean(tokens)[:, None, None])


def embed(
    part: PatchEmbed, x: Float[Array, "b h w 3"], p: Norm
) -> Float[Array, "b h2 w2 d"]:
    """Adaptive tokenisation: the grid of patches whose tokens have the largest norm."""
    kernel, bias = part.proj.kernel[...], part.proj.bias[...]
    size = kernel.shape[0]
    # A patch begins at its pixel, hence no border before it.
    x = polyphase.pad(x, 0, size - 1)
    dense = dense_conv(x, kernel, padding="valid") + bias
    return part.norm(_select(dense, size, p))


def merge(
    part: PatchMerging, x: Float[Array, "b h w c"], p: Norm
) -> Float[Array, "b h2 w2 d"]:
    """Adaptive merging: of the four grids the one of the largest norm."""
    # The order of the four is that of the usual merging.
    parts = [jnp.roll(x, (-i, -j), (1, 2)) for j in (0, 1) for i in (0, 1)]
    dense = part.reduction(part.norm(jnp.concatenate(parts, -1)))
    return _select(dense, 2, p)


def attend(
    block: SwinBlock, x: Float[Array, "b h w c"], p: Norm
) -> Float[Array, "b h w c"]:
    """A block whose windows are anchored where the tokens have the largest norm.

    The image is a circle here: windows that a shift takes over the border are whole,
    and nothing is masked.
    """
    anchor = _best(x, block.window, p)
    offsets = jnp.asarray(polyphase.phase_offsets(block.window))[anchor] + block.shift
    y = windows(_roll(block.norm1(x), -offsets), block.window)
    x = x + _roll(image(block.attn(y, None), x.shape[1:3]), offsets)
    return x + block.mlp(block.norm2(x))


def _best(x: Array, stride: int, p: Norm) -> Int[Array, " b"]:
    return jnp.argmax(polyphase.image_norm_scores(x, stride, p), axis=-1)


def _select(x: Array, stride: int, p: Norm) -> Array:
    return polyphase.take(x, _best(x, stride, p), stride)


def _roll(x: Array, offsets: Int[Array, "b 2"]) -> Array:
    return jax.vmap(lambda tokens, offset: jnp.roll(tokens, offset, (0, 1)))(x, offsets)


def adaptive_swin(
    shape: str | tuple[int, int, int, Sequence[int], Sequence[int]],
    num_classes: int = 1000,
    *,
    image_size: int | tuple[int, int] = 224,
    p: Norm = 1,
    rngs: nnx.Rngs,
) -> AdaptiveSwin:
    """A shift-invariant Swin transformer with random weights.

    One with trained weights is ``AdaptiveSwin(trained)``.

    Args:
        shape: as for `models.swin`.
        num_classes: K.
        image_size: side, or (height, width), in pixels.
        p: the norm that places the grids: at least 1, or ``math.inf``.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: as `models.swin`, or p is 2.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> make = lambda: models.adaptive_swin("tiny", 10, rngs=nnx.Rngs(0))
    >>> nnx.eval_shape(make).swin.layers[3].blocks[1].attn.qkv.kernel.shape
    (768, 2304)
    """
    if p in (2, "min") or isinstance(p, str) or not 1 <= p <= math.inf:
        raise ValueError(
            "p must be at least 1 and not 2, as layer normalisation makes the 2-norms "
            f"of all tokens equal; got {p!r}"
        )
    net = swin(shape, num_classes, image_size=image_size, rngs=rngs)
    return AdaptiveSwin(net, p=p)
