"""Load residual networks of the public LPS code by the names of its state dict.

The names tell the network: ``component_selection`` is learnable sampling, an
``_antialias_layer`` a filter, and a ``Sequential`` around the convolution that the
sampling step precedes (``conv2.1`` in basic blocks, ``conv3.1`` in bottlenecks) an
adaptive one. Shapes tell the rest. ``gumbel_tau`` and ``num_batches_tracked`` have no
meaning in evaluation and are dropped; any other name left over is an error.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np
from flax import nnx

from eqnets.models.resnet import ResNet, resnet
from eqnets.polyphase import binomial_kernel

_DEPTHS = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
_SELECTION = "component_selection.get_logits."
_FILTER = "_antialias_layer."
_NORM = {
    "weight": "scale",
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
}


def resnet_from_torch(
    state_dict: Mapping[str, np.ndarray],
    *,
    down: str | None = None,
    padding: str = "circular",
    select_on: str = "filtered",
    p: int | float | str = 2,
) -> ResNet:
    """The function of the public LPS code with these weights, in evaluation mode.

    Args:
        state_dict: names to arrays, as ``torch.load`` gives them (convolutions
            ``[out, in, k, k]``); a prefix such as ``core.`` is ignored.
        down: ``"strided"``, ``"lowpass"``, ``"aps"`` or ``"lps"``; None infers it.
            Filtered APS has the names of ``"lowpass"`` and unfiltered decimation
            those of ``"aps"``: say which.
        padding: ``"circular"`` or ``"zeros"``, everywhere in the network.
        select_on: ``"filtered"`` as the public code does by default.
        p: the norm of APS.

    Returns:
        A `ResNet` that returns logits (the public code
        returns their log-softmax).

    Raises:
        ValueError: names or shapes that are not of such a network.

    >>> import numpy as np
    >>> from eqnets import models
    >>> models.resnet_from_torch({"conv1.weight": np.zeros((64, 3, 7, 7))})
    Traceback (most recent call last):
        ...
    ValueError: no residual network has (0, 0, 0, 0) basic blocks
    """
    arrays = _clean(state_dict)
    down = _infer_down(arrays) if down is None else down
    make = partial(
        resnet,
        _depth(arrays),
        arrays["fc.weight"].shape[0],
        down=down,
        antialias=_antialias(arrays),
        hidden=_hidden(arrays),
        width=arrays["conv1.weight"].shape[0],
        stem="imagenet" if arrays["conv1.weight"].shape[-1] == 7 else "cifar",
        padding=padding,
        select_on=select_on,
        p=p,
        groups=_groups(arrays),
    )
    # Shapes alone: every parameter is about to be replaced.
    model = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    _Loader(arrays).load(model)
    return nnx.view(model, use_running_average=True, raise_if_not_found=False)


def _clean(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    first = next((name for name in state_dict if name.endswith("conv1.weight")), None)
    if first is None:
        raise ValueError(
            "expected the state dict of a residual network with a conv1.weight, got "
            f"{list(state_dict)[:4]}"
        )
    prefix = first.removesuffix("conv1.weight")
    dropped = ("num_batches_tracked", "gumbel_tau")
    return {
        name.removeprefix(prefix): np.asarray(array)
        for name, array in state_dict.items()
        if not name.endswith(dropped)
    }


def _infer_down(arrays: Mapping[str, np.ndarray]) -> str:
    names = "\n".join(arrays)
    if "component_selection" in names:
        return "lps"
    if _FILTER in names:
        return "lowpass"
    last = "conv3" if "layer1.0.conv3.weight" in arrays else "conv2"
    return "aps" if f"layer2.0.{last}.1.weight" in arrays else "strided"


def _depth(arrays: Mapping[str, np.ndarray]) -> int:
    blocks = {m[0] for m in map(re.compile(r"layer\d\.\d+").match, arrays) if m}
    counts = tuple(sum(b.startswith(f"layer{i}.") for b in blocks) for i in range(1, 5))
    bottleneck = "layer1.0.conv3.weight" in arrays
    if (bottleneck, counts) not in _DEPTHS:
        kind = "bottlenecks" if bottleneck else "basic blocks"
        raise ValueError(f"no residual network has {counts} {kind}")
    return _DEPTHS[bottleneck, counts]


def _find(arrays: Mapping[str, np.ndarray], part: str) -> Iterator[np.ndarray]:
    return (array for name, array in arrays.items() if part in name)


def _antialias(arrays: Mapping[str, np.ndarray]) -> str | None:
    for array in _find(arrays, _FILTER + "filt"):
        size = array.shape[-1]
        expected = np.multiply.outer(binomial_kernel(size), binomial_kernel(size))
        if not np.allclose(array, expected, rtol=1e-5, atol=0):
            raise ValueError(f"the {size} x {size} filter is not binomial")
        return f"bin{size}"
    for array in _find(arrays, _FILTER + "conv.weight"):
        return f"adaptive{array.shape[-1]}"
    return None


def _groups(arrays: Mapping[str, np.ndarray]) -> int:
    for array in _find(arrays, _FILTER + "conv.weight"):
        return array.shape[0] // array.shape[-1] ** 2
    return 8


def _hidden(arrays: Mapping[str, np.ndarray]) -> tuple[int | None, ...]:
    def width(prefix: str) -> int | None:
        for name, array in arrays.items():
            if name.startswith(prefix) and name.endswith(_SELECTION + "conv1.bias"):
                return array.shape[0]
        return None

    return tuple(width(p) for p in ("maxpool", "layer2", "layer3", "layer4"))


class _Loader:
    """Moves arrays into a model and remembers which were used."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.left = dict(arrays)

    def load(self, model: ResNet) -> None:
        self.conv("conv1", model.stem.conv1)
        self.norm("bn1", model.stem.bn1)
        if model.stem.stride > 1:
            self.pool("maxpool.0.", model.stem.pool0)
            self.pool("maxpool.3.", model.stem.pool1)
        for i in range(1, 5):
            for j, block in enumerate(getattr(model, f"layer{i}")):
                self.block(f"layer{i}.{j}.", block)
        self.set(model.fc.kernel, self.take("fc.weight").T)
        self.set(model.fc.bias, self.take("fc.bias"))
        if self.left:
            raise ValueError(f"names with no place in the model: {list(self.left)[:8]}")

    def take(self, name: str) -> np.ndarray:
        if name not in self.left:
            raise ValueError(
                f"the state dict has no {name}; names left: {list(self.left)[:8]}"
            )
        return self.left.pop(name)

    def set(self, variable: nnx.Variable, array: np.ndarray) -> None:
        if variable.shape != array.shape:
            raise ValueError(f"expected shape {variable.shape}, got {array.shape}")
        variable.set_value(jnp.asarray(array, variable.dtype))

    def conv(self, name: str, module: nnx.Module) -> None:
        self.set(module.kernel, self.take(f"{name}.weight").transpose(2, 3, 1, 0))

    def norm(self, name: str, module: nnx.BatchNorm) -> None:
        for theirs, ours in _NORM.items():
            self.set(getattr(module, ours), self.take(f"{name}.{theirs}"))

    def filter(self, prefix: str, sampler: nnx.Module) -> None:
        if sampler.adaptive is not None:
            self.conv(f"{prefix}{_FILTER}conv", sampler.adaptive)
            self.norm(f"{prefix}{_FILTER}bn", sampler.adaptive.norm)
        self.left.pop(f"{prefix}{_FILTER}filt", None)

    def pool(self, prefix: str, pool: nnx.Module | None) -> None:
        if pool is None:
            return
        for conv in ("conv1", "conv2"):
            if hasattr(pool, conv):
                name = f"{prefix}{_SELECTION}{conv}"
                self.conv(name, getattr(pool, conv))
                self.set(getattr(pool, conv).bias, self.take(f"{name}.bias"))
        self.filter(prefix, getattr(pool, "sampler", pool))

    def block(self, prefix: str, block: nnx.Module) -> None:
        last = "conv3" if hasattr(block, "conv3") else "conv2"
        pooled = block.pool is not None
        for i, conv in enumerate(("conv1", "conv2", "conv3")):
            if hasattr(block, conv):
                inner = f"{conv}.1" if pooled and conv == last else conv
                self.conv(prefix + inner, getattr(block, conv))
                self.norm(f"{prefix}bn{i + 1}", getattr(block, f"bn{i + 1}"))
        self.pool(f"{prefix}{last}.0.", block.pool)
        if block.proj is not None:
            shift = int(pooled)
            self.conv(f"{prefix}downsample.{shift}", block.proj)
            self.norm(f"{prefix}downsample.{shift + 1}", block.proj_norm)
        if pooled:
            self.filter(f"{prefix}downsample.0.", block.shortcut)
