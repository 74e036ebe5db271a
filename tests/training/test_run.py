"""A run: it learns, it stops for good reasons, and goes on where it was."""

import dataclasses
import json
import os
import shutil
import signal
import sys
import types

import jax
import numpy as np
import pytest
from flax import nnx

from eqnets import nn
from experiments.fashion_mnist import DATA
from experiments.training import (
    GCNN,
    MLP,
    Config,
    Interrupted,
    NotFinite,
    Optimiser,
    Run,
    SymmetricTask,
    watch,
)
from experiments.training import loop as loop_module
from experiments.training.architectures import Architecture
from experiments.training.config import load
from experiments.training.datasets import Arrays, Dataset, Spec

ADAM = Optimiser("adam", rate=3e-3, weight_decay=0.0, schedule="constant")


@dataclasses.dataclass(frozen=True)
class Stripes(Dataset):
    """Horizontal against vertical stripes of 8 x 8 pixels."""

    poison: int = -1

    def spec(self):
        return Spec("classification", (16, 16, 3), 2)

    def train(self, seed):
        return self._draw(24)

    def test(self, seed):
        return self._draw(8)

    def _draw(self, n):
        rng = np.random.default_rng(n)
        y = (np.arange(n) % 2).astype(np.int32)
        x = rng.integers(0, 60, size=(n, 16, 16, 1)).astype(np.float32)
        x[y == 0, ::2] += 150
        x[y == 1, :, ::2] += 150
        if 0 <= self.poison < n:
            x[self.poison] = np.nan
        return Arrays(x / 255, y)


VECTORS = Config(
    SymmetricTask("O5", 60, 20),
    MLP(width=16, layers=2),
    ADAM,
    epochs=5,
    batch=10,
    log_every=2,
    checkpoint_every=4,
    measured=10,
)


class Net(nnx.Module):
    """Batch statistics, and a selection that is drawn in training."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.down = nn.LearnablePolyphaseDown(4, hidden=2, rngs=rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x, *, key=None, temperature=1.0):
        x = jax.nn.relu(self.norm(self.conv(x)))
        x, _ = self.down(x, key=key, temperature=temperature)
        return self.head(x.mean((1, 2)))


@dataclasses.dataclass(frozen=True)
class Small(Architecture):
    def build(self, spec, rngs, dtype=None):
        return Net(rngs)


IMAGES = Config(
    Stripes(),
    Small(),
    Optimiser(rate=0.02, weight_decay=5e-4),
    epochs=2,
    batch=8,
    augment=("flip", "shift"),
    log_every=1,
    checkpoint_every=2,
    measured=0,
)


def quiet(line):
    pass


def checkpointed(folder, config):
    """What the last checkpoint holds."""
    run = Run(config, folder, report=quiet)
    like = loop_module.place(run.program.start(), run.mesh)
    checkpoints = loop_module.Checkpoints(folder / "checkpoints", config.keep)
    state = checkpoints.restore(like)
    checkpoints.close()
    return state


def weights(folder, config):
    """The same as bytes."""
    leaves = jax.tree.leaves(checkpointed(folder, config))
    return [np.asarray(v).tobytes() for v in leaves]


def steps(folder):
    return [r["step"] for r in watch.read(folder / "metrics.jsonl") if "loss" in r]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """An uninterrupted run, and what it reported."""
    folder = tmp_path_factory.mktemp("vectors")
    result = Run(VECTORS, folder, report=quiet).train()
    return folder, result


def test_a_run_learns_and_leaves_its_record(vectors):
    folder, result = vectors
    records = watch.read(folder / "metrics.jsonl")
    tests = [r for r in records if "loss" not in r]
    assert [r["step"] for r in tests] == [6, 12, 18, 24, 30]
    assert result["mse"] == tests[-1]["mse"] < tests[0]["mse"]
    assert 0 < result["equivariance_error"] < 10
    assert steps(folder) == [1, *range(2, 31, 2)]
    assert (folder / "curves.png").stat().st_size > 1000
    # The weights file starts another run where this one ended.
    after = dataclasses.replace(VECTORS, weights=str(folder / "weights.safetensors"))
    start = Run(after, folder.parent / "after", report=quiet).program.start()
    expected = jax.tree.leaves(checkpointed(folder, VECTORS)["params"])
    for a, b in zip(jax.tree.leaves(start["params"]), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    kept = sorted(int(p.name) for p in (folder / "checkpoints").iterdir())
    assert kept == [28, 30]


def test_a_finished_run_is_not_trained_again(vectors):
    folder, result = vectors
    before = (folder / "metrics.jsonl").read_bytes()
    assert Run(VECTORS, folder, report=quiet).train() == result
    assert (folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("config", [VECTORS, IMAGES], ids=["vectors", "images"])
def test_sigterm_saves_and_the_run_ends_with_the_same_bits(config, vectors, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    if config is VECTORS:
        whole = vectors[0]
    else:
        Run(config, whole, report=quiet).train()

    def interrupt(line):
        if line.startswith("step") and "step 2 " in line + " ":
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="the same command goes on"):
        Run(config, parts, report=interrupt).train()
    assert signal.getsignal(signal.SIGTERM) is handler
    Run(config, parts, report=quiet).train()
    assert weights(parts, config) == weights(whole, config)
    assert steps(parts) == steps(whole)


def test_a_truncated_checkpoint_falls_back_to_the_one_before(vectors, tmp_path):
    folder, _ = vectors
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in (copy / "checkpoints" / "30").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:20])
    with pytest.warns(RuntimeWarning, match="step 30 cannot be read"):
        Run(VECTORS, copy, report=quiet).train()
    assert weights(copy, VECTORS) == weights(folder, VECTORS)
    for step in ("28", "30"):
        for path in (copy / "checkpoints" / step).rglob("*"):
            if path.is_file() and path.parent.name == "d":
                path.write_bytes(b"")
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(RuntimeError, match="none of the checkpoints"),
    ):
        Run(VECTORS, copy, report=quiet).train()


def test_a_loss_that_is_not_finite_stops_with_its_batch(tmp_path):
    config = dataclasses.replace(IMAGES, data=Stripes(poison=5))
    with pytest.raises(NotFinite, match=r"its batch is in .*not_finite\.npz"):
        Run(config, tmp_path, report=quiet).train()
    saved = np.load(tmp_path / "not_finite.npz")
    assert np.isnan(saved["x"]).any()
    assert saved["x"].shape == (8, 16, 16, 1)


def test_another_config_is_refused_and_free_fields_are_not(vectors, tmp_path):
    folder, _ = vectors
    other = dataclasses.replace(VECTORS, seed=1, model=MLP(width=17, layers=2))
    with pytest.raises(ValueError, match=r"another model\.width, seed"):
        Run(other, folder, report=quiet).train()
    free = dataclasses.replace(VECTORS, keep=5, log_every=3)
    Run(free, folder, report=quiet).train()


def test_folders_that_cannot_hold_a_run_are_refused_before_training(
    tmp_path, monkeypatch
):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match="give another folder with --out"):
        Run(VECTORS, file / "run", report=quiet).train()
    usage = type(shutil.disk_usage(tmp_path))(1000, 999, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="MiB left: free some, keep fewer"):
        Run(VECTORS, tmp_path / "run", report=quiet).train()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_cut_off_line_of_the_log_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 5}\n{"st')
    log = watch.Log(path, 4)
    log.write({"step": 5, "loss": 0.5})
    log.close()
    assert [json.loads(v)["step"] for v in path.read_text().splitlines()] == [1, 5]


@pytest.mark.skipif(
    not (DATA / "t10k-labels-idx1-ubyte.gz").exists(),
    reason="needs Debian's package dataset-fashion-mnist",
)
def test_fashion_mnist_trains_and_turns(tmp_path):
    config = load("rotated_fashion_mnist")
    data = dataclasses.replace(config.data, images=40, test_images=20)
    config = dataclasses.replace(
        config, data=data, model=GCNN("p4", (2,)), epochs=2, batch=20, measured=0
    )
    assert 0 <= Run(config, tmp_path, report=quiet).train()["accuracy"] <= 1
    upright = dataclasses.replace(data, rotated=False).train(0).read(np.arange(40), 0)
    turned = data.train(0).read(np.arange(40), 0)
    turns = [
        next(k for k in range(4) if np.array_equal(np.rot90(a, k), b))
        for a, b in zip(upright["x"], turned["x"], strict=True)
    ]
    assert set(turns) == {0, 1, 2, 3}
    np.testing.assert_array_equal(upright["y"], turned["y"])


def test_tensorboard_gets_the_numbers(monkeypatch, tmp_path):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, *event):
            written.append(event)

        def close(self):
            written.append("closed")

    module = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    log = watch.Log(tmp_path / "metrics.jsonl", 0, tmp_path / "events")
    log.write({"step": 3, "loss": 0.5})
    log.close()
    assert written == [str(tmp_path / "events"), ("loss", 0.5, 3), "closed"]
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="pip install tensorboardX"):
        watch.Log(tmp_path / "metrics.jsonl", 0, tmp_path / "events")
