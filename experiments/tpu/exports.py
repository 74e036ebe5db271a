"""Programs for TPUs and GPUs, exported where there is neither."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from eqnets import functional
from experiments.tpu.networks import Network
from experiments.training import ResNet
from experiments.training.abstract import abstract_step
from experiments.training.config import Config, load
from experiments.training.parallel import abstract_mesh

PLATFORMS = ("tpu", "cuda")
CHIPS = 256
CONFIGS = Path(__file__).parent.parent / "configs"


def steps() -> dict[str, Config]:
    """Training steps by name: every config, and every option that changes the step."""
    names = sorted(p.stem for p in CONFIGS.glob("*.py") if p.stem != "__init__")
    found = {f"step {name}": load(name) for name in names}
    change = dataclasses.replace
    imagenet, fashion = load("imagenet"), load("fashion_mnist")
    large = change(
        imagenet, model=ResNet(50, stem="imagenet"), precision="bfloat16", batch=32768
    )
    return found | {
        "step imagenet, ResNet-50 bfloat16": large,
        "step imagenet, ResNet-50 bfloat16, model axis 4": change(large, model_axis=4),
        "step fashion_mnist, remat": change(fashion, remat=True),
        "step fashion_mnist, accumulate 2": change(fashion, accumulate=2),
        "step fashion_mnist, lie_weight": change(fashion, lie_weight=0.1),
        "step fashion_mnist, all augmentations": change(
            fashion, augment=("flip", "crop", "shift", "rotate90")
        ),
    }


def export_network(network: Network) -> export.Exported:
    """The network in evaluation, for a batch of any size; nothing is initialised."""
    f = functional.pure(nnx.eval_shape(network.make))
    (batch,) = export.symbolic_shape("b")
    x = jax.ShapeDtypeStruct((batch, *network.shape), jnp.float32)
    return export.export(jax.jit(f.apply), platforms=PLATFORMS)(f.params, f.state, x)


def export_step(config: Config, chips: int = CHIPS) -> export.Exported:
    """The training step on so many chips, for every batch that they divide."""
    mesh = abstract_mesh(chips, config.model_axis)
    (batch,) = export.symbolic_shape(f"{chips * config.accumulate}*b")
    step = abstract_step(config, mesh, batch)
    return export.export(step.function, platforms=PLATFORMS)(step.state, step.batch)


def tried(name: str, make: Callable[[], export.Exported]) -> dict[str, Any]:
    """A row of the table: what came out, or why nothing did."""
    began = time.process_time()
    try:
        exported = make()
    except Exception as error:  # whatever it is belongs into the table
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        found = {"ok": False, "why": why}
    else:
        found = {
            "ok": exported.platforms == PLATFORMS,
            "platforms": list(exported.platforms),
            "devices": exported.nr_devices,
            "bytes": len(exported.mlir_module_serialized),
            "outputs": len(exported.out_avals),
        }
    return {"name": name, **found, "cpu_seconds": round(time.process_time() - began, 1)}
