"""Every network of `eqnets.models`, at the sizes it is used in."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from eqnets import groups, models, reps
from eqnets.models.sampling_options import DOWN
from experiments.symmetric_tasks import TASKS


class Network(NamedTuple):
    """A network and the shape of one of its inputs.

    Attributes:
        make: builds it; only ever called under ``nnx.eval_shape``.
        shape: of one input, without the batch.
    """

    make: Callable[[], nnx.Module]
    shape: tuple[int, ...]


IMAGE, SMALL = (224, 224, 3), (32, 32, 3)
ANTIALIAS = ("rect2", "tri3", "bin5", "adaptive3")
SELECTS = [d for d in DOWN if d not in ("strided", "lowpass", "ideal")]
SAMPLINGS = [
    *(("strided", None), ("ideal", None)),
    *(("lowpass", filter) for filter in ANTIALIAS),
    *((down, filter) for down in SELECTS for filter in (None, *ANTIALIAS)),
]


def networks() -> dict[str, Network]:
    """Networks by name; the first word is the function that makes them."""
    return {
        **_resnets(),
        **_dense(),
        **_named(),
        **_families(),
        **_equivariant(),
        **_converted(),
    }


def _network(make: Callable, *args, shape: tuple[int, ...], **options) -> Network:
    return Network(lambda: make(*args, **options, rngs=nnx.Rngs(0)), shape)


def _resnets() -> dict[str, Network]:
    found = {}
    for down, antialias in SAMPLINGS:
        options = {"down": down, "antialias": antialias}
        name = f"resnet 18 {down}" + (f" {antialias}" if antialias else "")
        found[name] = _network(models.resnet, 18, 1000, shape=IMAGE, **options)
    for down in DOWN:
        options = {"down": down, "antialias": "tri3" if down == "lowpass" else None}
        found[f"resnet 18 {down}, small images"] = _network(
            models.resnet, 18, 10, stem="cifar", shape=SMALL, **options
        )
    for depth in (34, 50, 101, 152):
        found[f"resnet {depth} lps"] = _network(
            models.resnet, depth, 1000, down="lps", shape=IMAGE
        )
    for name, options in {
        "zero padding": {"padding": "zeros"},
        "bfloat16": {"dtype": jnp.bfloat16},
        "select_on filtered": {"select_on": "filtered", "antialias": "adaptive3"},
        "hidden 8": {"hidden": 8},
    }.items():
        found[f"resnet 50 lps, {name}"] = _network(
            models.resnet, 50, 1000, down="lps", shape=IMAGE, **options
        )
    return found


def _dense() -> dict[str, Network]:
    found = {}
    for kind in ("deeplab_v3plus", "unet"):
        make = getattr(models, kind)
        for down in DOWN:
            options = {"down": down, "antialias": "tri3" if down == "lowpass" else None}
            found[f"{kind} {down}"] = _network(make, 21, shape=(128, 128, 3), **options)
        for name, options in {
            "lps adaptive3": {"down": "lps", "antialias": "adaptive3"},
            "lps, bilinear up": {"down": "lps", "up": "bilinear"},
            "lps bfloat16": {"down": "lps", "dtype": jnp.bfloat16},
        }.items():
            found[f"{kind} {name}"] = _network(make, 21, shape=(128, 128, 3), **options)
    return found


def _named() -> dict[str, Network]:
    """Timm's architectures, and EfficientNet-Lite."""
    found = {}
    for name, recipe in models.TIMM.items():
        shape = (recipe.side, recipe.side, 3)
        found[f"create {name}"] = _network(models.create, name, shape=shape)
    for variant, side in enumerate((224, 240, 260)):
        found[f"efficientnet_lite {variant}"] = _network(
            models.efficientnet_lite, variant, shape=(side, side, 3)
        )
    return found


def _families() -> dict[str, Network]:
    """The functions behind the names, and Swin transformers that follow the image."""
    shapes = {
        "vit": ("Ti/16", "deit_small_patch16_224"),
        "mixer": ("S/16",),
        "convnext": ("tiny",),
        "swin": ("tiny",),
        "adaptive_swin": ("tiny", "small", "base"),
        "densenet": (121,),
        "vgg": (11,),
    }
    return {
        f"{kind} {shape}": _network(getattr(models, kind), shape, shape=IMAGE)
        for kind, names in shapes.items()
        for shape in names
    }


def _equivariant() -> dict[str, Network]:
    found = {
        f"gcnn {kind}": _network(models.gcnn, kind, 10, shape=(28, 28, 1))
        for kind in ("z2", "p4", "p4m")
    }
    found["gcnn p4, pooled"] = _network(
        models.gcnn, "p4", 10, pool=2, shape=(28, 28, 1)
    )
    found["mlp"] = _network(models.mlp, 10, 1, shape=(10,))
    for task in TASKS.values():
        for name, group in task.symmetries.items():
            G = group()
            rep_in, rep_out = task.rep_in(G), task.rep_out(G)
            for kind in ("emlp", "residual_emlp"):
                found[f"{kind} {task.name} {name}"] = _network(
                    getattr(models, kind), rep_in, rep_out, G, shape=(rep_in.size,)
                )
    U = groups.SU(3)
    vector = reps.vector(U)
    found["emlp SU(3), complex"] = _network(
        models.emlp, vector, vector, U, ch=48, shape=(vector.size,)
    )
    return found


def _converted() -> dict[str, Network]:
    """Networks made from others."""
    found = {
        f"make_shift_equivariant {name}": Network(
            partial(_shift_equivariant, make), IMAGE
        )
        for name, make in {
            "efficientnet_lite 0": partial(models.efficientnet_lite, 0),
            "resnet 18": partial(models.resnet, 18, 1000),
            "densenet 121": partial(models.densenet, 121),
        }.items()
    }
    G, H = groups.O(5), groups.SO(5)
    V = reps.vector(G)
    small = partial(models.emlp, 2 * V, reps.scalar(G), G, ch=48, num_layers=2)
    smaller = partial(models.restrict_to_subgroup, subgroup=H)
    found |= {
        f"{name} emlp O(5)": Network(partial(_rewritten, small, rewrite), (10,))
        for name, rewrite in {
            "to_dense": models.to_dense,
            "restrict_to_subgroup": smaller,
        }.items()
    }
    found["FreeHead O(5)"] = _network(models.FreeHead, 2 * V, 3, G, ch=48, shape=(10,))
    return found


def _shift_equivariant(make: Callable) -> nnx.Module:
    net = make(rngs=nnx.Rngs(0))
    return models.make_shift_equivariant(net, jnp.zeros((1, *IMAGE))).model


def _rewritten(make: Callable, rewrite: Callable) -> nnx.Module:
    """A small network whose weights are read, so that they have to be there."""
    with jax.ensure_compile_time_eval():
        return rewrite(make(rngs=nnx.Rngs(0)))
