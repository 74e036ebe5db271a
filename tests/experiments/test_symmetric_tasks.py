"""The regression tasks have the symmetry they claim, and so do networks around them."""

import json

import jax
import numpy as np
import pytest
from flax import nnx

from eqnets import models
from experiments import (
    approximate_symmetry,
    data_efficiency,
    hidden_reps,
    spring_pendulum,
)
from experiments.regression import equivariance_error, train
from experiments.symmetric_tasks import TASKS

ALL = {**TASKS, "Shifts": hidden_reps.SHIFTS}


@pytest.mark.parametrize("name", ALL)
def test_targets_turn_with_inputs(name):
    """Moved inputs: points for points, and the target's formula agrees."""
    task = ALL[name]
    for make in task.symmetries.values():
        group = make()
        rep_in, rep_out = task.rep_in(group), task.rep_out(group)
        x, y = task.draw(np.random.default_rng(0), 50)
        for g in models.group_samples(group, jax.random.key(0), 5):
            moved = rep_in.rho_apply(np.asarray(g, float), x)
            found = task.draw(Replay(moved, name), 50)[1]
            np.testing.assert_allclose(
                found, rep_out.rho_apply(np.asarray(g, float), y), rtol=1e-7, atol=1e-7
            )


class Replay:
    """A generator whose normal draws make the task's inputs be ``x``."""

    def __init__(self, x, name):
        self.x, self.name = np.array(x), name

    def standard_normal(self, shape):
        assert shape == self.x.shape
        if self.name == "Lorentz":
            return 4 * self.x
        if self.name == "Inertia":  # masses are softplus(normal)
            self.x[:, :5] = np.log(np.expm1(self.x[:, :5]))
        return self.x


@pytest.mark.parametrize("name", TASKS)
def test_constants_keep_the_symmetry(name):
    task = TASKS[name]
    x, y = task.draw(np.random.default_rng(0), 40)
    kind = data_efficiency.columns(task)[0]
    net, group, rep_in, rep_out = data_efficiency.build(task, kind, 12, nnx.Rngs(0))
    model = data_efficiency.Standardised(net, task.constants(x, y))
    assert equivariance_error(model, group, rep_in, rep_out, x, samples=3) < 1e-4


def test_a_run_is_the_same_twice_and_learns(monkeypatch):
    assert data_efficiency.steps_for(100) == 1000
    monkeypatch.setattr(data_efficiency, "steps_for", lambda n: 150)
    task = TASKS["O5"]
    record = data_efficiency.run(task, "EMLP-O(5)", 100, 0, 16)
    one, other = (data_efficiency.run(task, "MLP", 30, 0, 8) for _ in range(2))
    scores = ("test_mse", "train_mse", "equivariance_error")
    assert [one[s] for s in scores] == [other[s] for s in scores]
    _, y = task.draw(np.random.default_rng([0, 2]), 5000)
    assert record["test_mse"] < 0.5 * y.var()


def test_training_returns_the_best_of_its_looks():
    rng = np.random.default_rng(0)
    x, noise = rng.standard_normal((8, 10)), rng.standard_normal((8, 1))
    fresh = rng.standard_normal((500, 10)), np.zeros((500, 1))
    net = models.mlp(10, 1, ch=64, rngs=nnx.Rngs(0))
    options = {"steps": 100, "seed": 0, "rate": 1e-2}
    last, best = (train(net, x, noise, validation=v, **options) for v in (None, fresh))
    # Targets are noise, so the longer it trains the worse; the best is an early one.
    errors = [float((np.asarray(m(fresh[0])) ** 2).mean()) for m in (last, best)]
    assert errors[1] < 0.5 * errors[0]


def test_a_first_look_that_is_nan_is_not_the_best(monkeypatch):
    errors = iter([np.nan, 2.0, np.nan, 1.0, 3.0])
    seen = []

    def error(graph, params, rest, x, y):
        seen.append(params)
        return next(errors)

    monkeypatch.setattr("experiments.regression._error", error)
    monkeypatch.setattr("experiments.regression.jax.jit", lambda f: f)
    x, y = np.ones((4, 2)), np.ones((4, 1))
    net = models.mlp(2, 1, ch=4, rngs=nnx.Rngs(0))
    best = train(net, x, y, steps=5, seed=0, validation=(x, y))
    chosen = jax.tree.leaves(nnx.state(best, nnx.Param))
    for found, expected in zip(chosen, jax.tree.leaves(seen[3]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_findings_follow_medians_and_intervals():
    runs = {
        f"O5|{kind}|100|{seed}": {
            "test_mse": value * (1 + 0.1 * seed),
            "equivariance_error": 0.1,
        }
        for kind, value in {
            "EMLP-O(5)": 0.05,
            "EMLP-SO(5)": 0.2,
            "MLP": 3.0,
            "MLP+augmentation": 0.1,
        }.items()
        for seed in range(3)
    }
    summary = data_efficiency.table(runs, [100])
    found = data_efficiency.findings(runs, {"O5": summary["O5"]})
    better, close = found["verdicts"].items()
    assert better == (
        "O5, 100 examples: an EMLP errs less than both baselines",
        "reappears",
    )
    assert close[1] == "reappears"  # .055 beside .04
    gap = found["intervals"][better[0]]
    np.testing.assert_allclose([gap["low"], gap["high"]], np.log(2), rtol=1e-6)


def test_findings_pair_the_seeds_that_both_networks_have():
    errors = {"EMLP-O(5)": 0.05, "EMLP-SO(5)": 0.2, "MLP": 3.0, "MLP+augmentation": 0.1}
    runs = {
        f"O5|{kind}|100|{seed}": {"test_mse": value, "equivariance_error": 0.1}
        for kind, value in errors.items()
        for seed in range(4 if kind == "EMLP-O(5)" else 3)
    }
    runs["O5|EMLP-O(5)|100|3"]["test_mse"] = 50.0  # nothing to compare it with
    summary = data_efficiency.table(runs, [100])
    found = data_efficiency.findings(runs, {"O5": summary["O5"]})
    (gap,) = found["intervals"].values()
    np.testing.assert_allclose([gap["low"], gap["high"]], np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "records", "options"),
    [
        (data_efficiency, {"ch": 64, "runs": {}}, []),
        (approximate_symmetry, {"ch": 64, "runs": {}}, ["--ch", "128"]),
        (spring_pendulum, {"size": {"ch": 32, "steps": 400}, "runs": {}}, []),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_runs_of_another_size_are_not_gone_on_with(
    module, records, options, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(records))
    monkeypatch.setattr("sys.argv", ["x", "--out", str(path), *options])
    with pytest.raises(SystemExit):
        module.main()
    assert "holds runs of" in capsys.readouterr().err
    assert json.loads(path.read_text()) == records


def test_results_say_what_their_runs_say():
    records = json.loads(data_efficiency.RESULTS.read_text())
    sizes = records["table"]["O5"]["MLP"]["n"]
    assert records["table"] == data_efficiency.table(records["runs"], sizes)


class TestHidden:
    def test_sizes_are_equal(self):
        for name in ("O5", "Inertia"):
            group = next(iter(TASKS[name].symmetries.values()))()
            for way in hidden_reps.WAYS:
                assert hidden_reps.tensors(group, way, 128).size == 128
        group = hidden_reps.SHIFTS.symmetries["Z(12)"]()
        for way in (*map(str, hidden_reps.KERNELS), "half"):
            rep = hidden_reps.hidden(hidden_reps.SHIFTS, group, way, 96)
            assert rep.size == 96

    @pytest.mark.parametrize("kernel", [2, 3, 12])
    def test_networks_see_the_mean_over_the_kernel(self, kernel):
        task = hidden_reps.SHIFTS
        group = task.symmetries["Z(12)"]()
        rep = hidden_reps.cosets(group, kernel, 24)
        net = models.emlp(
            task.rep_in(group), task.rep_out(group), group, ch=[rep], rngs=nnx.Rngs(0)
        )
        x = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
        means = hidden_reps.mean_over(x, kernel).astype(np.float32)
        np.testing.assert_allclose(net(x), net(means), atol=1e-5)
        turned = np.roll(means, 12 // kernel, axis=1)
        np.testing.assert_allclose(turned, means, atol=1e-6)

    def test_floors(self):
        """None for the trivial subgroup; what is left if only the mean is known."""
        assert hidden_reps.floor(1, 100) < 1e-20
        rng = np.random.default_rng(1)
        x = rng.standard_normal((200_000, 12))
        y, mean = hidden_reps.target(x)[:, 0], x.mean(1)
        # E[y | mean] is odd in the mean: a cubic, by least squares.
        basis = np.stack([mean, mean**3], 1)
        left = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
        np.testing.assert_allclose(hidden_reps.floor(12), left.var(), rtol=0.02)


def test_verdicts_of_approximate_symmetry_and_pendulum():
    errors = {"EMLP": 2.0, "MLP": 1.0, "RPP 0.01": 1.0}
    runs = {
        f"{data}|{kind}|{seed}": {"test_mse": value * (1 + seed)}
        for data in approximate_symmetry.DATA
        for kind, value in errors.items()
        for seed in range(3)
    }
    runs["exact|MLP|0"]["test_mse"] = 0.5
    found = approximate_symmetry.findings(runs, 3)["verdicts"]
    assert found["wrong symmetry: RPP errs less than the EMLP"] == "reappears"
    assert found["exact symmetry: RPP errs less than the MLP"].startswith("undecided")
    runs = {
        f"HNN {kind}|{seed}": {"rollout_error": value}
        for kind, value in {"MLP": 0.2, "O(2)": 0.3}.items()
        for seed in range(3)
    }
    found = spring_pendulum.findings(runs)["verdicts"]
    assert found["HNN: O(2) errs less than the MLP"] == "does not"
    assert found["ODE: O(2) errs less than the MLP"].startswith("undecided")


def test_a_rollout_that_ran_away_errs_by_one():
    truth = np.ones((2, 3, 12))
    z = truth.copy()
    z[0, 1:] = np.inf
    z[1] *= 3.0  # |3 - 1| / (3 + 1)
    # Logs: at most 1e-7 where equal, 0 where infinite, log 1/2 elsewhere.
    expected = np.exp((np.log(1e-7) + 3 * np.log(0.5)) / 6)
    assert spring_pendulum.rollout_error(z, truth) == pytest.approx(expected)
    z[0, 1:] = 1e25  # the squares overflow in single precision: as good as infinite
    found = spring_pendulum.rollout_error(z.astype(np.float32), truth)
    assert found == pytest.approx(expected)
