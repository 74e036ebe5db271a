"""Vision transformers from timm's state dicts, by timm's names."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import nnx

from .fill import fill
from .torch_names import timm_source
from .vit import VisionTransformer, ViTShape, vit

#: Channels of a head in every ViT and DeiT of timm.
HEAD_WIDTH = 64
# Names that tell another architecture, and what they mean.
_OTHERS = {
    "dist_token": "a distillation token, whose second classifier (head_dist) is "
    "averaged with the first: load the DeiT that was trained without it",
    "head_dist": "a second classifier for a distillation token: load the DeiT that was "
    "trained without it",
    "reg_token": "register tokens",
    "fc_norm": "average pooling in place of the class token",
    "norm_pre": "a normalisation in front of the blocks (CLIP)",
    "pre_logits": "a layer in front of the classifier (first release of ImageNet-21k)",
    ".ls1.": "scaled residual branches (LayerScale)",
    ".q_norm.": "normalised queries and keys",
}


def vit_from_timm(
    state_dict: Mapping[str, Any],
    *,
    heads: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> VisionTransformer:
    """Make a ViT or DeiT from the arrays of timm.

    Patch, width, depth, classes and the size of the image are those of the arrays.

    Args:
        state_dict: ``{name: array}`` with names such as ``patch_embed.proj.weight``,
            ``blocks.0.attn.qkv.weight``, ``head.bias``; see
            ``eqnets.io.load_state_dict``.
        heads: of attention, which the arrays do not tell; None: one for every 64
            channels, as in all models of timm.
        image_size: (height, width) in pixels; None: square.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: another architecture (the message says which), names that are
            missing or unknown, or shapes that do not fit.

    >>> import numpy as np
    >>> from eqnets import models
    >>> models.vit_from_timm({"dist_token": np.zeros((1, 1, 192))})
    Traceback (most recent call last):
        ...
    ValueError: 'dist_token' is not of a plain vision transformer: it means a
    distillation token, whose second classifier (head_dist) is averaged with the first:
    load the DeiT that was trained without it
    """
    require_plain(state_dict)
    shapes = {name: np.shape(array) for name, array in state_dict.items()}
    kernel = _shape(shapes, "patch_embed.proj.weight", 4)
    positions = _shape(shapes, "pos_embed", 3)[1]
    hidden = _shape(shapes, "blocks.0.mlp.fc1.weight", 2)[0]
    classes = _shape(shapes, "head.weight", 2)[0]
    width, patch = kernel[0], kernel[-1]
    depth = len({n.split(".")[1] for n in shapes if n.startswith("blocks.")})
    shape = ViTShape(patch, width, depth, heads or max(1, width // HEAD_WIDTH))
    size = image_size or _square(positions - 1, patch)
    make = lambda: vit(  # noqa: E731
        shape, classes, image_size=size, mlp_ratio=hidden / width, rngs=nnx.Rngs(0)
    )
    # Shapes alone: every parameter is about to be replaced.
    model = nnx.eval_shape(make)
    fill(model, state_dict, timm_source)
    return model


def require_plain(state_dict: Mapping[str, Any]) -> None:
    """Raise ValueError for the arrays of another kind of vision transformer."""
    for name in state_dict:
        for part, meaning in _OTHERS.items():
            if part in f".{name}.":
                raise ValueError(
                    f"{name!r} is not of a plain vision transformer: it means {meaning}"
                )


def _shape(
    shapes: Mapping[str, tuple[int, ...]], name: str, ndim: int
) -> tuple[int, ...]:
    if len(shapes.get(name, ())) != ndim:
        what = f"has the shape {list(shapes[name])}" if name in shapes else "is missing"
        raise ValueError(
            f"these are not the weights of a vision transformer of timm: {name!r} "
            f"{what}, expected an array of {ndim} axes; the names begin with "
            f"{list(shapes)[:4]}"
        )
    return shapes[name]


def _square(patches: int, patch: int) -> tuple[int, int]:
    side = math.isqrt(max(patches, 0))
    if side < 1 or side**2 != patches:
        raise ValueError(
            f"'pos_embed' has {patches} positions behind the class token, which is no "
            "square: say the size of the image, image_size=(height, width)"
        )
    return side * patch, side * patch
