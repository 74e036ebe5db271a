"""Weights of networks in files."""

import os

from flax import nnx

from .. import io
from .convnext import ConvNeXt
from .densenet import DenseNet
from .efficientnet_lite import EfficientNetLite
from .fill import arrays_of, dotted, dotted_name, fill
from .mixer import Mixer
from .swin import Swin
from .torch_names import efficientnet_lite_source, is_counter, timm_source
from .vgg import VGG
from .vit import VisionTransformer

# The networks that have a PyTorch model with other names and layouts.
_TORCH_SOURCES = {EfficientNetLite: efficientnet_lite_source} | dict.fromkeys(
    (VisionTransformer, VGG, DenseNet, ConvNeXt, Swin, Mixer), timm_source
)


def load_weights(model: nnx.Module, path: str | os.PathLike[str]) -> None:
    """Set every array of ``model`` from a file, in place and all or none.

    Views of the model share its arrays, so they change too.

    Args:
        model: any network of this package; one of ``nnx.eval_shape`` is enough.
        path: a safetensors or torch file. Its names are those of `save_weights` or,
            for an `EfficientNetLite`, those of `efficientnet_lite_from_torch`; for the
            networks of `from_timm` other than ResNets, those of timm.

    Raises:
        FileNotFoundError, IsADirectoryError: ``path`` is not a file.
        ValueError: the file is damaged, or a name or shape does not fit; the message
            lists the names.
        ImportError: the package safetensors is missing and needed.

    >>> import tempfile
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> trained, fresh = (models.MLP((3, 2), rngs=nnx.Rngs(i)) for i in (0, 1))
    >>> x = jnp.ones((1, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     models.save_weights(trained, f"{folder}/mlp.safetensors")
    ...     models.load_weights(fresh, f"{folder}/mlp.safetensors")
    >>> bool((fresh(x) == trained(x)).all())
    True
    """
    arrays = io.load_state_dict(path)
    paths = [path for path, _ in arrays_of(model)]
    sources = [dotted]
    if type(model) in _TORCH_SOURCES:
        sources.append(_TORCH_SOURCES[type(model)])
    # The way of naming that the file follows, at least mostly.
    source = max(sources, key=lambda s: sum(s(p).name in arrays for p in paths))
    try:
        fill(model, arrays, source, ignore=is_counter)
    except ValueError as error:
        raise ValueError(
            f"the weights in {os.fspath(path)!r} do not fit this "
            f"{type(model).__name__}: {error}"
        ) from error


def save_weights(model: nnx.Module, path: str | os.PathLike[str]) -> None:
    """Write every array of ``model`` to a safetensors file, whole or not at all.

    The names are the paths of the variables, such as ``blocks.3.depthwise.norm.bias``.

    Raises:
        ImportError: the package safetensors is missing.

    Args:
        model: any network of this package.
        path: the file, ``.safetensors``.

    >>> import tempfile
    >>> from flax import nnx
    >>> from eqnets import io, models
    >>> net = models.MLP((3, 2), rngs=nnx.Rngs(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     models.save_weights(net, f"{folder}/mlp.safetensors")
    ...     arrays = io.load_safetensors(f"{folder}/mlp.safetensors")
    >>> {name: a.shape for name, a in arrays.items()}
    {'layers.0.bias': (2,), 'layers.0.kernel': (3, 2)}
    """
    flat = {dotted_name(path): variable[...] for path, variable in arrays_of(model)}
    io.save_safetensors(path, io.unflatten(flat))
