"""What a run would take, without training: shapes, parameters, FLOPs, memory."""

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.training.config import Config
from experiments.training.datasets import Spec
from experiments.training.parallel import data_mesh, replicated, split
from experiments.training.step import program


def describe(config: Config) -> dict:
    """The facts of a dry run; the step is compiled, nothing is computed.

    FLOPs and memory are the compiler's count for one device, of a whole training step;
    what a CPU's compiler says of memory is an estimate for other devices.
    """
    spec = config.data.spec()
    functions = program(config, spec, 1000, 100)
    mesh = data_mesh()
    state = _placed(jax.eval_shape(functions.start), replicated(mesh))
    batch = _placed(_batch(config, spec), split(mesh))
    compiled = jax.jit(functions.train, donate_argnums=0).lower(state, batch).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return {
        "input": [config.batch, *spec.shape],
        "outputs": spec.outputs,
        "task": spec.kind,
        "parameters": sum(v.size for v in jax.tree.leaves(state["params"])),
        "parameters by part": _by_part(state["params"]),
        "FLOPs per example": _flops(cost) * mesh.size / config.batch,
        "MiB per device": held / 2**20,
        "mesh": dict(mesh.shape),
        "device": jax.devices()[0].device_kind,
        "processes": jax.process_count(),
    }


def _batch(config: Config, spec: Spec) -> dict:
    images = spec.kind != "regression"
    x = jax.ShapeDtypeStruct(
        (config.batch, *spec.shape), jnp.uint8 if images else jnp.float32
    )
    if spec.kind == "classification":
        y = jax.ShapeDtypeStruct((config.batch,), jnp.int32)
    elif spec.kind == "segmentation":
        y = jax.ShapeDtypeStruct((config.batch, *spec.shape[:2]), jnp.int32)
    else:
        y = jax.ShapeDtypeStruct((config.batch, spec.outputs), jnp.float32)
    return {"x": x, "y": y}


def _placed(tree, sharding):
    return jax.tree.map(
        lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=sharding), tree
    )


def _flops(cost) -> float:
    return float((cost[0] if isinstance(cost, list) else cost)["flops"])


def _by_part(params: nnx.State) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, value in jax.tree_util.tree_leaves_with_path(params):
        part = str(getattr(path[0], "key", path[0]))
        sizes[part] = sizes.get(part, 0) + value.size
    return sizes


def text(facts: dict) -> str:
    """Aligned lines."""
    width = max(map(len, facts))
    lines = []
    for name, value in facts.items():
        if isinstance(value, float):
            value = f"{value:,.1f}" if value < 1e5 else f"{value:.3g}"
        elif isinstance(value, int):
            value = f"{value:,}"
        elif isinstance(value, dict):
            value = ", ".join(f"{k} {v:,}" for k, v in value.items())
        elif isinstance(value, list):
            value = " x ".join(map(str, value))
        lines.append(f"{name:<{width}}  {value}")
    return "\n".join(lines)
