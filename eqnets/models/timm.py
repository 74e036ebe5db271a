"""Networks by timm's names, with the weights of timm's safetensors files.

The table says for each name how the network is built, where its classifier is (which
tells the number of classes) and what its photographs are like. The parts of the
networks are called as in timm, so that one rule names every array.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from flax import nnx

from .. import functional
from .convnext import convnext
from .densenet import densenet
from .fill import fill
from .mixer import mixer
from .preprocess import Preprocess
from .resnet import resnet
from .swin import swin
from .timm_vit import require_plain
from .torch_names import is_counter, timm_source
from .torch_resnet import resnet_from_torch
from .vgg import vgg
from .vit import vit

# Mean and standard deviation of the colours, from 0 to 255.
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_HALVES = (127.5, 127.5)


class Recipe(NamedTuple):
    """What belongs to a name.

    Attributes:
        make: ``make(num_classes, rngs=rngs)``.
        head: the layer of the classifier.
        colours: mean and scale of the preprocessing.
        crop: side of the crop over the shorter side of the photograph.
        side: of the images, in pixels.
    """

    make: Callable[..., nnx.Module]
    head: str
    colours: tuple = _IMAGENET
    crop: float = 0.875
    side: int = 224


class Imported(NamedTuple):
    """A network of timm and what it needs.

    Attributes:
        model: in evaluation.
        preprocess: from uint8 photographs to the input of ``model``, as timm does for
            this architecture; other releases of its weights may differ in the crop.
    """

    model: nnx.Module
    preprocess: Preprocess


def _table() -> dict[str, Recipe]:
    table = {}
    for depth in (18, 34, 50, 101, 152):
        make = partial(resnet, depth, padding="zeros")
        table[f"resnet{depth}"] = Recipe(make, "fc")
    for size, patch, side in [
        *((size, 16, 224) for size in ("tiny", "small", "base", "large")),
        *(("base", 32, 224), ("small", 32, 224), ("base", 16, 384)),
    ]:
        name = f"_{size}_patch{patch}_{side}"
        make, crop = partial(vit, f"vit{name}"), 0.9 if side == 224 else 1.0
        table[f"vit{name}"] = Recipe(make, "head", _HALVES, crop, side)
        if patch == 16 and size != "large" and (side == 224 or size == "base"):
            table[f"deit{name}"] = Recipe(make, "head", _IMAGENET, crop, side)
    for size in ("tiny", "small", "base", "large"):
        table[f"convnext_{size}"] = Recipe(partial(convnext, size), "head.fc")
    for size in ("tiny", "small", "base"):
        name = f"swin_{size}_patch4_window7_224"
        table[name] = Recipe(partial(swin, size), "head.fc", crop=0.9)
    for size, patch in (
        ("s", 32),
        ("s", 16),
        ("b", 32),
        ("b", 16),
        ("l", 32),
        ("l", 16),
    ):
        make = partial(mixer, f"{size}/{patch}")
        table[f"mixer_{size}{patch}_224"] = Recipe(make, "head", _HALVES)
    for depth in (11, 13, 16, 19):
        table[f"vgg{depth}"] = Recipe(partial(vgg, depth), "head.fc")
        make = partial(vgg, depth, normalized=True)
        table[f"vgg{depth}_bn"] = Recipe(make, "head.fc")
    for depth in (121, 161, 169, 201):
        table[f"densenet{depth}"] = Recipe(partial(densenet, depth), "classifier")
    return table


#: The architectures, by timm's names without the tag behind the dot.
TIMM: Mapping[str, Recipe] = _table()


def create(name: str, num_classes: int = 1000, *, rngs: nnx.Rngs) -> nnx.Module:
    """A network of timm's architecture with random weights.

    Args:
        name: of timm, such as ``"resnet34"`` or ``"swin_tiny_patch4_window7_224"``; a
            tag (``"resnet34.a1_in1k"``) is ignored.
        num_classes: K.
        rngs: draws the weights.

    Returns:
        ``model(x [B, H, W, 3], *, key=None, temperature=1.0) -> logits [B, K]``.

    Raises:
        ValueError: an unknown name.

    >>> from flax import nnx
    >>> from eqnets import models
    >>> model = nnx.eval_shape(lambda: models.create("vgg16_bn", 10, rngs=nnx.Rngs(0)))
    >>> model.head.fc.kernel.shape
    (4096, 10)
    """
    return _recipe(name).make(num_classes, rngs=rngs)


def from_timm(name: str, state_dict: Mapping[str, Any]) -> Imported:
    """A network of timm from the arrays of its safetensors file.

    Args:
        name: of the architecture, as for `create`.
        state_dict: ``{name: array}`` with timm's names; see
            ``eqnets.io.load_state_dict``. The number of classes is that of the arrays.

    Returns:
        ``(model, preprocess)``, the model in evaluation.

    Raises:
        ValueError: an unknown name, or arrays of another architecture; the message
            lists what is missing, unknown or of another shape.

    >>> from eqnets import models
    >>> models.from_timm("resnet18", {"head.weight": None})
    Traceback (most recent call last):
        ...
    ValueError: these are not the weights of resnet18: there is no 'fc.weight'; ...
    """
    recipe = _recipe(name)
    head = f"{recipe.head}.weight"
    if head not in state_dict:
        raise ValueError(
            f"these are not the weights of {name}: there is no "
            f"{head!r}; the names begin with {list(state_dict)[:4]}"
        )
    model = _filled(plain_name(name), recipe, len(state_dict[head]), state_dict)
    resize = int(recipe.side / recipe.crop)
    preprocess = Preprocess(recipe.side, resize, *recipe.colours)
    return Imported(functional.evaluation(model), preprocess)


def _filled(
    name: str, recipe: Recipe, classes: int, state_dict: Mapping[str, Any]
) -> nnx.Module:
    """The network with the arrays in it."""
    if name.startswith("resnet"):
        model = resnet_from_torch(state_dict, down="strided", padding="zeros")
        (depth,) = recipe.make.args
        if model.depth != depth:
            raise ValueError(
                f"{name} was asked for, the arrays have depth {model.depth}"
            )
        return model
    if name.startswith(("vit", "deit")):
        require_plain(state_dict)
    # Shapes alone: every parameter is about to be replaced.
    model = nnx.eval_shape(lambda: recipe.make(classes, rngs=nnx.Rngs(0)))
    fill(model, state_dict, timm_source, ignore=_is_derived)
    return model


def _is_derived(name: str) -> bool:
    """True for arrays that follow from the architecture alone."""
    return is_counter(name) or name.endswith(("relative_position_index", "attn_mask"))


def _recipe(name: str) -> Recipe:
    plain = plain_name(name)
    if plain not in TIMM:
        raise ValueError(f"there is no {name!r} here; the names are {', '.join(TIMM)}")
    return TIMM[plain]


def plain_name(name: str) -> str:
    """The architecture alone: without the hub's folder and the tag of the weights.

    It is a key of ``models.TIMM`` if the architecture is known.

    >>> from eqnets import models
    >>> models.plain_name("timm/resnet34.a1_in1k"), "resnet34" in models.TIMM
    ('resnet34', True)
    """
    return name.removeprefix("timm/").partition(".")[0]
