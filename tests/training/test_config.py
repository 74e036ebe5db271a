"""Configs: found by name, overridden field by field, refused with a reason."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import experiments.configs
from eqnets import nn
from experiments import train
from experiments.training import MLP, Config, Optimiser, SymmetricTask, Temperature
from experiments.training.config import load

CONFIGS = sorted(
    p.stem
    for p in Path(experiments.configs.__file__).parent.glob("*.py")
    if p.stem != "__init__"
)


def small(**changes):
    config = Config(SymmetricTask("O5", 40, 20), MLP(width=8, layers=1), batch=10)
    return dataclasses.replace(config, **changes)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_says_its_command_and_what_it_expects(name):
    config = load(name)
    spec = config.data.spec()
    assert spec.outputs > 1 or spec.kind == "regression"
    text = __import__(f"experiments.configs.{name}", fromlist=["CONFIG"]).__doc__
    for word in (f"--config {name}", "Hardware:", "Time:", "Expected:"):
        assert word in text


def test_fields_are_options(capsys):
    arguments = ["--config", "o5", "--dry-run", "--model.width", "32", "--batch", "50"]
    assert train.main(arguments) == 0
    out = capsys.readouterr().out
    for part in ("50 x 10", "parameters", "FLOPs per example", "MiB per device"):
        assert part in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 10, "accumulate": 3}, "make batch a multiple"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"augment": ("mirror",)}, "known are flip, crop"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_unknown_configs_are_refused(tmp_path, capsys):
    assert train.main(["--config", "no_such"]) == 2
    assert "there are" in capsys.readouterr().err
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert train.main(["--config", str(empty)]) == 2
    assert "defines no CONFIG" in capsys.readouterr().err


def test_learning_rates():
    steps = Optimiser(rate=1.0, schedule="steps", factor=0.1, every=2, warmup=1)
    rate = steps.learning_rate(60, 10)
    np.testing.assert_allclose(
        [rate(s) for s in (0, 5, 10, 19, 21, 41)],
        [0, 0.5, 1, 1, 0.1, 0.01],
        rtol=1e-5,
    )
    cosine = Optimiser(rate=1.0, schedule="cosine").learning_rate(100, 10)
    np.testing.assert_allclose([cosine(0), cosine(50), cosine(100)], [1, 0.5, 0])
    poly = Optimiser(rate=1.0, schedule="poly", power=0.9).learning_rate(100, 10)
    np.testing.assert_allclose(poly(50), 0.5**0.9, rtol=1e-5)
    decay = Temperature(factor=0.5, every=2).make(10)
    np.testing.assert_allclose([decay(0), decay(20)], [1, 0.5])


class Parts(nnx.Module):
    """A backbone, a head, and something that selects."""

    def __init__(self):
        self.backbone = nnx.Param(jnp.ones(2))
        self.head = nnx.Param(jnp.ones(2))
        self.select = nn.SelectionParam(jnp.ones(2))


def test_selection_does_not_decay_and_backbones_are_slower():
    optimiser = Optimiser(
        rate=1.0, momentum=0, weight_decay=0.5, schedule="constant", backbone=0.1
    ).make(10, 10)
    params = nnx.state(Parts(), nnx.Param)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimiser.update(zero, optimiser.init(params), params)
    moved = nnx.to_pure_dict(optax.apply_updates(params, updates))
    np.testing.assert_allclose(moved["head"], 0.5)
    np.testing.assert_allclose(moved["backbone"], 0.95)
    np.testing.assert_allclose(moved["select"], 1.0)


def test_records_tell_networks_and_data_apart():
    p4, task = load("rotated_fashion_mnist").record(), small().record()
    assert (p4["model"]["type"], p4["model"]["kind"]) == ("GCNN", "p4")
    assert (p4["data"]["type"], task["data"]["type"]) == (
        "FashionMNIST",
        "SymmetricTask",
    )
