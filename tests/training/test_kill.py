"""kill -9 at any moment: restarted, a run ends with the bits of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments.training import watch

ROOT = Path(__file__).parents[2]
STEPS = 40
CONFIG = """
from experiments.training import MLP, Config, Optimiser, SymmetricTask

CONFIG = Config(
    SymmetricTask("O5", 40, 20),
    MLP(width=8, layers=1),
    Optimiser("adam", rate=1e-3, weight_decay=0.0),
    epochs=20,
    batch=20,
    log_every=1,
    evaluate_every=8,
    measured=0,
    checkpoint_every=3,
)
"""


def start(folder):
    config = folder.with_suffix(".py")
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "experiments.train", "--config", str(config)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [*command, "--out", str(folder)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(folder):
    process = start(folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-2000:]


def kill_when(folder, step, delay):
    """Kill the run ``delay`` seconds after it has logged ``step``."""
    process = start(folder)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if any(r["step"] >= step for r in watch.read(folder / "metrics.jsonl")):
            break
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def final(folder):
    with ocp.CheckpointManager(folder / "checkpoints") as manager:
        assert manager.latest_step() == STEPS
        found = manager.restore(STEPS, args=ocp.args.StandardRestore())
    return [np.asarray(v).tobytes() for v in jax.tree.leaves(found)]


def record(folder):
    timings = ("examples_per_second", "eta_seconds")
    return [
        {k: v for k, v in r.items() if k not in timings}
        for r in watch.read(folder / "metrics.jsonl")
    ]


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_the_undisturbed_one(kills, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole)
    chance = random.Random(kills)
    for step in sorted(chance.sample(range(2, STEPS - 5), kills)):
        kill_when(killed, step, chance.uniform(0, 0.05))
    finish(killed)
    assert final(killed) == final(whole)
    assert record(killed) == record(whole)
