"""What a run would take, without training: shapes, parameters, FLOPs, memory."""

import jax
from flax import nnx

from experiments.training.abstract import abstract_step
from experiments.training.config import Config
from experiments.training.parallel import device_mesh


def describe(config: Config) -> dict:
    """The facts of a dry run; the step is compiled, nothing is computed.

    FLOPs and memory are the compiler's count for one device, of a whole training step;
    what a CPU's compiler says of memory is an estimate for other devices.
    """
    spec, mesh = config.data.spec(), device_mesh(config.model_axis)
    step = abstract_step(config, mesh)
    compiled = step.function.lower(step.state, step.batch).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return {
        "input": [config.batch, *spec.shape],
        "outputs": spec.outputs,
        "task": spec.kind,
        "parameters": sum(v.size for v in jax.tree.leaves(step.state["params"])),
        "parameters by part": _by_part(step.state["params"]),
        "FLOPs per example": _flops(cost) * mesh.size / config.batch,
        "MiB per device": held / 2**20,
        "mesh": dict(mesh.shape),
        "device": jax.devices()[0].device_kind,
        "processes": jax.process_count(),
    }


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
