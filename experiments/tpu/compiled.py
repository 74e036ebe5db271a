"""What TPU's own compiler makes of a training step, for chips that are not there."""

import dataclasses
import re
import time
from typing import Any

import jax
from jax.experimental import topologies

from experiments.training import ResNet
from experiments.training.abstract import abstract_step
from experiments.training.config import Config, load
from experiments.training.parallel import AXES

_BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "f32": 4,
    "s32": 4,
    "u32": 4,
}
_REDUCED = re.compile(r"= (\([^=]*?\)|\S+) (?:all-reduce|all-reduce-start)\(")
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


def compile_step(down: str, topology: str, per_chip: int) -> dict[str, Any]:
    """Compile the step of ResNet-50 on ImageNet for a slice of TPUs.

    bfloat16, the batch split over all chips. The counts are the compiler's, of one
    chip: nothing is run.

    Args:
        down: how the network samples.
        topology: such as ``"v5e:8x8"``, which libtpu knows.
        per_chip: images on a chip.

    Returns:
        A record; ``fits`` is false, with the reason, where memory does not suffice.
    """
    slice_ = topologies.get_topology_desc(topology_name=topology, platform="tpu")
    chips = len(slice_.devices)
    mesh = topologies.make_mesh(slice_, (chips, 1), AXES)
    step = abstract_step(imagenet(down, chips * per_chip), mesh)
    row = {
        "down": down,
        "topology": topology,
        "device": slice_.devices[0].device_kind,
        "chips": chips,
        "per_chip": per_chip,
    }
    began = time.process_time()
    lowered = step.function.lower(step.state, step.batch)
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {**row, "fits": False, "why": str(error).splitlines()[0]}
    seconds = round(time.process_time() - began)
    return {**row, "fits": True, "cpu_seconds": seconds, **account(program, per_chip)}


def imagenet(down: str, batch: int) -> Config:
    """The ImageNet config with a ResNet-50 in bfloat16."""
    model = ResNet(50, down=down, stem="imagenet")
    config = load("imagenet")
    return dataclasses.replace(config, model=model, precision="bfloat16", batch=batch)


def account(program: jax.stages.Compiled, per_chip: int) -> dict[str, Any]:
    """FLOPs and bytes of one chip in one step."""
    cost, memory = program.cost_analysis(), program.memory_analysis()
    held = {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
    }
    count, size = all_reduced(program.as_text())
    return {
        "flops_per_chip": cost["flops"],
        "flops_per_example": cost["flops"] / per_chip,
        "bytes_accessed_per_chip": cost["bytes accessed"],
        "memory_per_chip": held,
        "all_reduces": count,
        "all_reduce_bytes": size,
    }


def all_reduced(program: str) -> tuple[int, int]:
    """The number of all-reduces in the text of a program, and the bytes they sum up."""
    found = _REDUCED.findall(re.sub(r"/\*.*?\*/", "", program))  # /*index=5*/
    size = 0
    for shapes in found:
        for kind, dimensions in _SHAPE.findall(shapes):
            entries = 1
            for n in filter(None, dimensions.split(",")):
                entries *= int(n)
            size += entries * _BYTES[kind]
    return len(found), size
