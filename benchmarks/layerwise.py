"""What exact attribution costs, in forward passes of the same network.

    python -m benchmarks.layerwise [--models resnet18 resnet50 deit_small]

One 224 x 224 image, probabilities of 1000 classes, rotation. For each network, in one
process of its own: a forward pass, all exact contributions by forward mode, and 100
reverse probes of the same engine (the published estimator), with the time to compile
each and the peak memory.
"""

import argparse
import json
import subprocess
import sys
import time

import jax
import numpy as np

from benchmarks.timing import peak_memory_mb, save
from eqnets import actions, functional, measure, models

MODELS = ("resnet18", "resnet50", "deit_small")
PROBES = 100


def network(name: str):
    """A network of ImageNet's size with random weights: its time is that of trained."""
    from flax import nnx

    rngs = nnx.Rngs(0)
    if name.startswith("resnet"):
        model = models.resnet(int(name.removeprefix("resnet")), 1000, rngs=rngs)
    else:
        model = models.vit(name, 1000, rngs=rngs)
    return functional.evaluation(model)


def measured(name: str, rounds: int) -> dict:
    """Seconds, ratios and memory of one network."""
    model, action = network(name), actions.rotation()
    x = jax.random.normal(jax.random.key(0), (1, 224, 224, 3))
    program, consts = measure.program.trace(model, x)
    forward = jax.jit(lambda consts, x: program(consts, x))

    def exact():
        return measure.layerwise(model, action, x, method="forward")

    def estimated():
        key = jax.random.key(1)
        return measure.layerwise(model, action, x, probes=PROBES, key=key)

    def seconds(f) -> float:
        start = time.perf_counter()
        jax.block_until_ready(f())
        return time.perf_counter() - start

    def passes():
        return [forward(consts, x) for _ in range(10)]

    seconds(passes)
    first = seconds(exact)
    parts = exact()
    runs = [(seconds(passes) / 10, seconds(exact)) for _ in range(rounds)]
    one, whole = np.median(runs, 0)
    memory = peak_memory_mb()
    first_probes = seconds(estimated)
    probes = seconds(estimated)
    layers = len(parts.names)
    ratio = float(np.median([b / a for a, b in runs]))
    return {
        "layers": layers,
        "layers that do not commute by construction": int((parts.norms > 0).sum()),
        "forward pass, s": float(one),
        "exact, s": float(whole),
        "exact, forward passes": ratio,
        "exact, forward passes per layer": ratio / layers,
        "exact, first call with compilation, s": first,
        f"{PROBES} probes, s": probes,
        f"{PROBES} probes, first call, s": first_probes,
        "exact / probes": float(whole) / probes,
        "peak memory of exact, MB": memory,
        "residual": parts.residual,
    }


def main() -> None:
    """Measure each network in a process of its own; print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one, options.rounds)))
        return
    results = {}
    for name in options.models:
        command = [sys.executable, "-m", "benchmarks.layerwise", "--one", name]
        done = subprocess.run(
            [*command, "--rounds", str(options.rounds)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, *(f"{k}: {v:.4g}" for k, v in results[name].items()), sep="\n  ")
    save("layerwise", results)


if __name__ == "__main__":
    main()
