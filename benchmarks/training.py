"""What the training program costs beside the compiled step that it runs.

    python -m benchmarks.training

Fashion-MNIST, ResNet-18 with input-select LPS of width 16, batch 64. Ratios:

- ``loop``: a step within the loop (batches, log, looking at losses), to the bare
  compiled step on one batch, in turns of some steps each;
- ``input``: examples a second that the pipeline gives, to those that the step takes;
- ``checkpoint``: the time that saving one checkpoint takes from the run, to that of the
  steps between two (500).
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks.timing import save
from experiments.training import Run, watch
from experiments.training.checkpoints import Checkpoints
from experiments.training.config import load
from experiments.training.parallel import distribute, on_mesh, place
from experiments.training.stream import batches


def bare_steps(step_fn, state, batch, steps: int):
    """Seconds a step of the compiled step alone."""
    start = time.perf_counter()
    for _ in range(steps):
        state, loss = step_fn(state, batch)
    jax.block_until_ready(loss)
    return (time.perf_counter() - start) / steps, state


def loop_steps(run: Run, step_fn, state, first: int, steps: int, log):
    """Seconds a step with what the loop does around it: batches, losses, the log."""
    start = time.perf_counter()
    reports = run.reports(log)
    stream = batches(run.source, run.plan, first, first + steps)
    for step, batch in enumerate(stream, first + 1):
        state, loss = step_fn(state, distribute(batch, run.mesh))
        reports.add(step, loss, batch)
    reports.drain()
    return (time.perf_counter() - start) / steps, state


def pipeline(run: Run, steps: int) -> float:
    """Examples a second of the input pipeline."""
    start = time.perf_counter()
    for batch in batches(run.source, run.plan, 0, steps):
        jax.block_until_ready(distribute(batch, run.mesh))
    return steps * run.config.batch / (time.perf_counter() - start)


def checkpoint_seconds(folder: Path, step_fn, state, batch, steps: int):
    """How much longer steps take when one checkpoint is saved at their start."""
    checkpoints = Checkpoints(folder, keep=2)
    extra = []
    for i in range(3):
        without, state = bare_steps(step_fn, state, batch, steps)
        start = time.perf_counter()
        checkpoints.save(i, state)
        for _ in range(steps):
            state, loss = step_fn(state, batch)
        jax.block_until_ready(loss)
        checkpoints.wait()
        extra.append(time.perf_counter() - start - steps * without)
    checkpoints.close()
    return float(np.median(extra)), state


def main() -> None:
    """Time, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=15)
    options = parser.parse_args()
    config = dataclasses.replace(load("fashion_mnist"), batch=64, log_every=5)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder), report=lambda line: None)
        log = watch.Log(Path(folder) / "metrics.jsonl", 0)
        state = place(run.program.start(), run.mesh)
        step_fn = on_mesh(run.program.train, state, run.mesh)
        batch = next(iter(batches(run.source, run.plan, 0, 1)))
        placed = distribute(batch, run.mesh)
        _, state = bare_steps(step_fn, state, placed, 3)
        ratios, bare = [], []
        for i in range(options.rounds):
            alone, state = bare_steps(step_fn, state, placed, options.steps)
            looped, state = loop_steps(
                run, step_fn, state, i * options.steps, options.steps, log
            )
            ratios.append(looped / alone)
            bare.append(alone)
        step_seconds = float(np.median(bare))
        rates = [pipeline(run, 50) for _ in range(5)]
        extra, _ = checkpoint_seconds(
            Path(folder) / "timed", step_fn, state, placed, options.steps
        )
        log.close()
    demand = config.batch / step_seconds
    figures = {
        "what": "Fashion-MNIST, ResNet-18 lps_input of width 16, batch 64",
        "step_seconds": round(step_seconds, 4),
        "loop": round(float(np.median(ratios)), 3),
        "loop_min_max": [round(min(ratios), 3), round(max(ratios), 3)],
        "input": round(float(np.median(rates)) / demand, 1),
        "checkpoint": round(extra / (500 * step_seconds), 4),
    }
    print(figures)
    print("saved", save("training", figures))


if __name__ == "__main__":
    main()
