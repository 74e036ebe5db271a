"""A training step by its shapes alone, for what compiles or exports it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.training.config import Config
from experiments.training.datasets import Spec
from experiments.training.parallel import AnyMesh, on_mesh, placements, split
from experiments.training.step import State, program


class AbstractStep(NamedTuple):
    """``function(state, batch)``, and the shapes and places of its arguments."""

    function: Callable
    state: State
    batch: dict[str, jax.ShapeDtypeStruct]


def abstract_step(config: Config, mesh: AnyMesh, batch: Any = None) -> AbstractStep:
    """The very step that a run of ``config`` on such a mesh takes.

    Nothing is computed, and no data are read.

    Args:
        config: what is trained.
        mesh: of devices, or an abstract one.
        batch: examples in a step, a symbolic number too; None: those of the config.
    """
    spec = config.data.spec()
    functions = program(config, spec, steps=1000, per_epoch=100)
    state = jax.eval_shape(functions.start)
    state = jax.tree.map(_placed, state, placements(state, mesh))
    shapes = _batch(spec, config.batch if batch is None else batch)
    shapes = {name: _placed(v, split(mesh)) for name, v in shapes.items()}
    return AbstractStep(on_mesh(functions.train, state, mesh), state, shapes)


def _batch(spec: Spec, size: Any) -> dict[str, jax.ShapeDtypeStruct]:
    pixels = jnp.float32 if spec.kind == "regression" else jnp.uint8
    target = {
        "classification": ((size,), jnp.int32),
        "segmentation": ((size, *spec.shape[:2]), jnp.int32),
        "regression": ((size, spec.outputs), jnp.float32),
    }
    return {
        "x": jax.ShapeDtypeStruct((size, *spec.shape), pixels),
        "y": jax.ShapeDtypeStruct(*target[spec.kind]),
    }


def _placed(v, sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=sharding)
