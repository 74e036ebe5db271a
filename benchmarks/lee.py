"""What a Lie derivative costs, in forward passes of the same network in the same run.

    python -m benchmarks.lee

EfficientNet-Lite0 at 224 x 224, one image a call, compiled; the forward pass is the
yardstick. Also: memory over a growing number of images, the time and the modules of
``import eqnets``.
"""

import argparse
import subprocess
import sys

import jax
import jax.numpy as jnp

from benchmarks.timing import interleaved, peak_memory_mb, ratio, save
from eqnets import actions, measure, models

HEAVY = ("matplotlib", "scipy.ndimage", "tensorflow", "flax", "PIL")


def network(seed: int = 0):
    """An evaluation-mode network with random weights: the time is that of trained."""
    from flax import nnx

    from eqnets import functional

    return functional.evaluation(models.efficientnet_lite(0, rngs=nnx.Rngs(seed)))


def passes(rounds: int) -> dict:
    """Ratios to one forward pass."""
    f = measure.readout(network(), "probs")
    x = jax.random.normal(jax.random.key(0), (1, 224, 224, 3))
    program = measure.program.trace(f, x)
    forward = jax.jit(lambda consts, x: program[0](consts, x))
    ten = actions.standard()
    three = [ten[n] for n in ("translation_x", "rotation", "scaling")]
    compiled = {}

    def derivative(moves):
        outs = measure.lie.output_actions(program[0].out, moves, None, x.shape)
        run = jax.jit(measure.lie.push, static_argnums=(0, 1, 2))
        return lambda: run(program[0], moves, outs, program[1], x)

    compiled["forward"] = lambda: forward(program[1], x)
    compiled["one generator"] = derivative((ten["translation_x"],))
    compiled["three generators"] = derivative(tuple(three))
    compiled["ten actions"] = derivative(tuple(ten.values()))
    seconds = interleaved(compiled, rounds=rounds)
    return {name: ratio(seconds, name, "forward") for name in list(compiled)[1:]}


def memory() -> dict:
    """Peak memory after 8 and after 64 streamed images."""
    f = measure.readout(network(), "probs")
    key = jax.random.key(1)

    def stream(n):
        for i in range(n // 4):
            yield jax.random.normal(jax.random.fold_in(key, i), (4, 96, 96, 3))

    moves = actions.standard()
    measure.lee_profile(f, moves, stream(8))
    small = peak_memory_mb()
    measure.lee_profile(f, moves, stream(64))
    return {"8 images": round(small), "64 images": round(peak_memory_mb())}


def importing() -> dict:
    """Seconds of ``import eqnets`` and of its parts in fresh interpreters."""
    code = (
        "import time, sys; t = time.perf_counter(); {0}; "
        "print(time.perf_counter() - t, [m for m in {1!r} if m in sys.modules])"
    )
    found = {}
    for statement in (
        "import eqnets",
        "from eqnets import actions, measure",
        "from eqnets import actions, measure, models, io, report",
    ):
        command = [sys.executable, "-c", code.format(statement, HEAVY)]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for _ in range(3)
        ]
        found[statement] = {
            "seconds": round(min(float(r.split()[0]) for r in runs), 3),
            "heavy modules": runs[0].split(maxsplit=1)[1].strip(),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    figures = {"import": importing()}
    print("import", figures["import"], flush=True)
    figures["forward passes (median, min, max of paired ratios)"] = passes(rounds)
    for name, value in figures[list(figures)[-1]].items():
        print(f"{name:18s} {value}", flush=True)
    figures["peak memory, MB, batches of 4 at 96 x 96"] = memory()
    print("memory", figures[list(figures)[-1]], flush=True)
    jnp.zeros(()).block_until_ready()
    print("saved", save("lee", figures).name)


if __name__ == "__main__":
    main()
