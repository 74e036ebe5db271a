"""One device, eight, and two processes of four: the same losses, and exact restarts."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from experiments import train
from experiments.training import watch
from experiments.training.parallel import abstract_mesh, device_mesh, placements

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
        self.wide = nnx.Linear(4, 1024, rngs=rngs)
        self.head = nnx.Linear(1024, 2, rngs=rngs)
    def __call__(self, x, *, key=None, temperature=1.0):
        x, _ = self.down(jax.nn.relu(self.norm(self.conv(x))), key=key)
        return self.head(jax.nn.relu(self.wide(x.mean((1, 2)))))

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
DRY = ("--dry-run", "--batch", "4096")  # beside which updating parameters is nothing


def launch(tmp_path, name, processes, devices, *options):
    """Start the processes of a run; ``name`` is its folder."""
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "experiments.train", "--config", str(config)]
    command += ["--out", str(tmp_path / name), *options]
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
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    return started


def finish(started):
    """What the processes printed."""
    printed = []
    for process in started:
        out, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors.decode()[-3000:]
        printed.append(out.decode())
    return printed


def losses(folder):
    found = watch.read(folder / "metrics.jsonl")
    return np.array([r["loss"] for r in found if "loss" in r])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("alone")
    finish(launch(tmp_path, "run", 1, 1))
    return losses(tmp_path / "run")


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("processes", "devices", "model_axis"),
    [
        (1, 8, 1),
        pytest.param(1, 8, 4, marks=SLOW),
        pytest.param(2, 4, 1, marks=SLOW),
        pytest.param(2, 4, 2, marks=SLOW),
    ],
)
def test_devices_and_processes_change_no_loss(
    processes, devices, model_axis, alone, tmp_path
):
    axis = ("--model-axis", str(model_axis))
    finish(launch(tmp_path, "run", processes, devices, *axis))
    assert len(alone) == STEPS
    np.testing.assert_allclose(losses(tmp_path / "run"), alone, atol=1e-5)


def test_large_kernels_and_their_momenta_are_split_and_nothing_else():
    mesh = abstract_mesh(8, model=4)
    sizes = {"kernel": (3, 3, 64, 64), "odd": (64, 65), "small": (8, 8)}
    params = {n: jax.ShapeDtypeStruct(s, np.float32) for n, s in sizes.items()}
    state = (params, jax.eval_shape(optax.adam(1.0).init, params))
    found = jax.tree_util.tree_leaves_with_path(placements(state, mesh))
    split = [path for path, place in found if place.spec != PartitionSpec()]
    assert len(split) == 3  # itself and Adam's two moments
    for path, place in found:
        if path in split:
            assert jax.tree_util.keystr(path).endswith("['kernel']")
            assert place.spec == PartitionSpec(None, None, None, "model")
    with pytest.raises(ValueError, match="model_axis must divide the 1 devices"):
        device_mesh(3)


def flops_per_example(printed):
    (found,) = re.findall(r"FLOPs per example +([\d.,e+]+)", printed)
    return float(found.replace(",", ""))


@pytest.mark.parametrize(
    ("processes", "devices"), [(1, 8), pytest.param(2, 4, marks=SLOW)]
)
def test_devices_and_processes_change_no_flops(processes, devices, tmp_path, capsys):
    many = finish(launch(tmp_path, "run", processes, devices, *DRY))
    assert train.main(["--config", str(tmp_path / "config.py"), *DRY]) == 0
    one = flops_per_example(capsys.readouterr().out)
    for printed in many:
        assert "data 8, model 1" in printed
        np.testing.assert_allclose(flops_per_example(printed), one, rtol=0.01)


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
    for devices, model_axis in ((4, 1), (8, 1), (4, 2)):
        name = f"on_{devices}_{model_axis}"
        shutil.copytree(tmp_path / "run", tmp_path / name)
        axis = ("--model-axis", str(model_axis))
        finish(launch(tmp_path, name, 1, devices, *axis))
        found = losses(tmp_path / name)
        assert len(found) == STEPS
        np.testing.assert_allclose(found[: len(first)], first, atol=1e-5)
