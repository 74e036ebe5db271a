"""One device, eight, and two processes of four: the same losses, and exact restarts."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.training import watch

ROOT = Path(__file__).parents[2]
CONFIG = """
import dataclasses
from flax import nnx
import jax, numpy as np
from eqnets import nn
from experiments.training import Config, Optimiser
from experiments.training.architectures import Architecture
from experiments.training.datasets import Arrays, Dataset, Spec

class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.down = nn.LearnablePolyphaseDown(4, hidden=2, rngs=rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)
    def __call__(self, x, *, key=None, temperature=1.0):
        x, _ = self.down(jax.nn.relu(self.norm(self.conv(x))), key=key)
        return self.head(x.mean((1, 2)))

@dataclasses.dataclass(frozen=True)
class Small(Architecture):
    def build(self, spec, rngs, dtype=None):
        return Net(rngs)

@dataclasses.dataclass(frozen=True)
class Noise(Dataset):
    def spec(self):
        return Spec("classification", (8, 8, 3), 2)
    def train(self, seed):
        rng = np.random.default_rng(1)
        x = rng.integers(0, 255, size=(48, 8, 8, 3)).astype(np.uint8)
        return Arrays(x, rng.integers(0, 2, 48).astype(np.int32))
    test = train

CONFIG = Config(
    Noise(), Small(), Optimiser(rate=0.05), epochs=5, batch=16, augment=("flip",),
    log_every=1, evaluate_every=5, checkpoint_every=4, measured=0,
)
"""
STEPS = 15


def launch(tmp_path, name, processes, devices):
    """Start the processes of a run; ``name`` is its folder."""
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "experiments.train", "--config", str(config)]
    command += ["--out", str(tmp_path / name)]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    started = []
    for i in range(processes):
        group = ["--coordinator", f"127.0.0.1:{port}", "--process", str(i)]
        group += ["--processes", str(processes)]
        started.append(
            subprocess.Popen(
                command + (group if processes > 1 else []),
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
    return started


def finish(started):
    for process in started:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors.decode()[-3000:]


def losses(folder):
    found = watch.read(folder / "metrics.jsonl")
    return np.array([r["loss"] for r in found if "loss" in r])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("alone")
    finish(launch(tmp_path, "run", 1, 1))
    return losses(tmp_path / "run")


@pytest.mark.parametrize(
    ("processes", "devices"), [(1, 8), pytest.param(2, 4, marks=pytest.mark.slow)]
)
def test_devices_and_processes_change_no_loss(processes, devices, alone, tmp_path):
    finish(launch(tmp_path, "run", processes, devices))
    assert len(alone) == STEPS
    np.testing.assert_allclose(losses(tmp_path / "run"), alone, atol=1e-5)


@pytest.mark.slow
def test_one_process_killed_and_all_restarted_ends_the_same(tmp_path):
    finish(launch(tmp_path, "whole", 2, 4))
    started = launch(tmp_path, "killed", 2, 4)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if len(losses(tmp_path / "killed")) >= 6:
            break
        time.sleep(0.01)
    started[1].send_signal(signal.SIGKILL)
    for process in started:
        process.kill()
        process.communicate()
    finish(launch(tmp_path, "killed", 2, 4))
    np.testing.assert_array_equal(
        losses(tmp_path / "killed"), losses(tmp_path / "whole")
    )
    one, other = (
        (tmp_path / name / "weights.safetensors").read_bytes()
        for name in ("whole", "killed")
    )
    assert one == other


@pytest.mark.slow
def test_a_checkpoint_restores_on_another_number_of_devices(tmp_path):
    started = launch(tmp_path, "run", 2, 4)
    while len(losses(tmp_path / "run")) < 9:
        time.sleep(0.01)
        assert all(p.poll() is None for p in started)
    for process in started:
        process.kill()
        process.communicate()
    first = losses(tmp_path / "run")
    finish(launch(tmp_path, "run", 1, 8))
    found = losses(tmp_path / "run")
    assert len(found) == STEPS
    np.testing.assert_allclose(found[: len(first)], first, atol=1e-5)
