"""PyTorch's names and layouts of the networks here."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import nnx

from .efficientnet_lite import VARIANTS, EfficientNetLite, scaled_stages
from .fill import Path, Source, fill

_CONVS = {"expand": "_expand_conv", "depthwise": "_depthwise_conv"}
_CONVS |= {"project": "_project_conv", "stem": "_conv_stem", "head": "_conv_head"}
_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
_NORMS |= {"stem": "_bn0", "head": "_bn1"}
_STATISTICS = {"scale": "weight", "bias": "bias"}
_STATISTICS |= {"mean": "running_mean", "var": "running_var"}
_LEAVES = {**_STATISTICS, "kernel": "weight"}


def convolution(kernel: np.ndarray) -> np.ndarray:
    """``[D, C, h, w]`` to ``[h, w, C, D]``."""
    return kernel.transpose(2, 3, 1, 0)


def depthwise(kernel: np.ndarray) -> np.ndarray:
    """``[C, 1, k, k]`` to ``[k, k, C]``."""
    return kernel.transpose(2, 3, 0, 1).squeeze(-1)


def linear(kernel: np.ndarray) -> np.ndarray:
    """``[K, C]`` to ``[C, K]``."""
    return kernel.transpose(1, 0)


def timm_source(path: Path) -> Source:
    """Name in timm for a variable of the networks whose parts are called as there."""
    *folder, leaf = path
    name = ".".join(map(str, (*folder, _LEAVES.get(leaf, leaf))))
    if leaf != "kernel":
        return Source(name)
    return Source(name, depthwise if folder[-1] == "conv_dw" else _kernel)


def _kernel(kernel: np.ndarray) -> np.ndarray:
    """Of a convolution or of a linear layer."""
    return convolution(kernel) if kernel.ndim == 4 else linear(kernel)


def is_counter(name: str) -> bool:
    """True for the number of batches that PyTorch's normalisation has seen."""
    return name.endswith(".num_batches_tracked")


def efficientnet_lite_source(path: Path) -> Source:
    """Name in the PyTorch release for a variable of `EfficientNetLite`."""
    if path[0] == "classifier":
        is_kernel = path[1] == "kernel"
        return Source("_fc.weight", linear) if is_kernel else Source("_fc.bias")
    *folder, unit, part, leaf = path
    prefix = f"_blocks.{folder[1]}." if folder else ""
    if part == "norm":
        return Source(f"{prefix}{_NORMS[unit]}.{_STATISTICS[leaf]}")
    convert = depthwise if unit == "depthwise" else convolution
    return Source(f"{prefix}{_CONVS[unit]}.weight", convert)


def efficientnet_lite_from_torch(state_dict: Mapping[str, Any]) -> EfficientNetLite:
    """Make an EfficientNet-Lite from the arrays of the PyTorch release.

    The variant and the number of classes are those of the arrays.

    Args:
        state_dict: ``{name: array}`` with names such as ``_conv_stem.weight``,
            ``_blocks.3._depthwise_conv.weight``, ``_bn0.running_mean``,
            ``_fc.bias``; see ``eqnets.io.load_state_dict``.

    Returns:
        The model in training mode; `functional.evaluation` gives the other view.

    Raises:
        ValueError: names are missing or unknown, or shapes differ; the names are
            listed.

    >>> import numpy as np
    >>> from eqnets import models
    >>> models.efficientnet_lite_from_torch({"fc.weight": np.zeros((10, 512))})
    Traceback (most recent call last):
        ...
    ValueError: these are not the weights of an EfficientNet-Lite: there is no
    '_conv_head.weight', no '_fc.weight'
    """
    missing = [n for n in ("_conv_head.weight", "_fc.weight") if n not in state_dict]
    if missing:
        raise ValueError(
            "these are not the weights of an EfficientNet-Lite: there is "
            + ", ".join(f"no {name!r}" for name in missing)
        )
    variant = _variant(state_dict)
    classes = np.atleast_1d(state_dict["_fc.weight"]).shape[0]
    make = EfficientNetLite
    model = nnx.eval_shape(lambda: make(variant, classes, rngs=nnx.Rngs(0)))
    fill(model, state_dict, efficientnet_lite_source, ignore=is_counter)
    return model


def _variant(state_dict: Mapping[str, Any]) -> int:
    """The variant with this number of blocks and width of the last one."""
    blocks = {n.split(".")[1] for n in state_dict if n.startswith("_blocks.")}
    _, width, *_ = (*np.shape(state_dict["_conv_head.weight"]), None, None)
    known = {}
    for variant in VARIANTS:
        stages = scaled_stages(variant)
        known[sum(s.blocks for s in stages), stages[-1].width] = variant
    if (len(blocks), width) not in known:
        raise ValueError(
            f"there are {len(blocks)} blocks, the last of width {width}; "
            f"EfficientNet-Lite {sorted(VARIANTS)} have "
            + ", ".join(f"{b} of width {w}" for b, w in known)
        )
    return known[len(blocks), width]
