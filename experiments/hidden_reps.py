"""Does the choice of hidden representations matter, and must they be faithful?

    python -m experiments.hidden_reps                  # width 128, 3 seeds
    python -m experiments.hidden_reps --full           # width 384, 10 seeds

A question that the tutorial leaves open (hidden layers may hold any representation).

Tensors: EMLPs on `O5` under O(5) and `Inertia` under O(3), 300 examples, two hidden
layers of one width, shared out in five ways between scalars, vectors and matrices; 1000
steps of Adam at 3e-3, the best of 100 looks at 1000 validation examples. The finding
"even shares are better than W" is the mean over seeds of log error(W) - log
error(even), with its 95 % interval: above 0 it *holds*, below it *does not*, else it is
*undecided at this size*.

Faithfulness: a target on R^12 that cyclic shifts leave alone, y = sum_i x_i x_(i+1)
x_(i+3), 3000 examples, two hidden layers of width 96 (192 in full) whose summands are
functions on Z_12 / H. Elements of H act as the identity there, so what the first layer
lets through is the mean of x over H, and no such network errs less than the floor, the
mean variance of y when that mean is known (drawn 200000 times, two y to each mean). The
finding "faithful is better than |H| = k" is as above. "half" is half regular, half
invariant: faithful with half the copies.

The default takes about a quarter of an hour of one core.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from eqnets import groups, io, models, reps
from eqnets.groups import MatrixGroup
from eqnets.reps import Rep
from experiments.data_efficiency import Standardised
from experiments.lie_common import REAPPEARS, interval, verdict
from experiments.regression import mean_squared_error, train
from experiments.symmetric_tasks import TASKS, Task, of_invariants

RESULTS = Path(__file__).parent / "results" / "hidden_reps.json"
NAMES = ("O5", "Inertia", "Shifts")
STEPS, ORDER = 1000, 12
WAYS = ("even", "scalars", "vectors", "scalars, vectors", "vectors, matrices")
KERNELS = (1, 2, 3, 4, 6, 12)


def tensors(group: MatrixGroup, way: str, ch: int) -> Rep:
    """A hidden representation of size ``ch``: shares of 1, V and V (x) V."""
    if way == "even":
        return models.uniform_rep(group, ch)
    shares = {
        "scalars": (0.9, 0.1, 0.0),
        "vectors": (0.1, 0.9, 0.0),
        "scalars, vectors": (0.5, 0.5, 0.0),
        "vectors, matrices": (0.1, 0.45, 0.45),
    }[way]
    v, m = (int(shares[p] * ch) // group.d**p for p in (1, 2))
    one = ch - v * group.d - m * group.d**2
    rep = one * reps.scalar(group) + v * reps.vector(group)
    return rep + m * reps.T(group, 2) if m else rep


def shift_invariant(rng: np.random.Generator, n: int):
    """``[n, 12]`` and y = sum_i x_i x_(i+1) x_(i+3), indices modulo 12."""
    x = rng.standard_normal((n, ORDER))
    return x, target(x)


def target(x: np.ndarray) -> np.ndarray:
    """Y of `shift_invariant`, ``[n, 1]``."""
    return (x * np.roll(x, -1, 1) * np.roll(x, -3, 1)).sum(1, keepdims=True)


SHIFTS = Task(
    "Shifts",
    {"Z(12)": lambda: groups.cyclic(ORDER)},
    reps.vector,
    reps.scalar,
    shift_invariant,
    of_invariants(1.0),
)


def mean_over(x: np.ndarray, kernel: int) -> np.ndarray:
    """X averaged over the subgroup of ``kernel`` shifts."""
    means = x.reshape(len(x), kernel, ORDER // kernel).mean(1)
    return np.tile(means, (1, kernel))


def floor(kernel: int, count: int = 200_000) -> float:
    """The mean variance of y for a given mean of x over the subgroup of this order."""
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((count, ORDER)) for _ in range(2))
    shared = mean_over(one, kernel)
    y = target(one) - target(shared + other - mean_over(other, kernel))
    return float((y**2).mean() / 2)


def cosets(group: MatrixGroup, kernel: int, ch: int) -> Rep:
    """Functions on Z_12 / H, as many copies as ``ch`` holds; H has this order."""
    H = groups.subgroup(group, [[0] * (ORDER // kernel)])
    return (ch * kernel // ORDER) * reps.quotient(group, H)


def hidden(task: Task, group: MatrixGroup, way: str, ch: int) -> Rep:
    """The representation of each hidden layer."""
    if task is not SHIFTS:
        return tensors(group, way, ch)
    if way == "half":
        return cosets(group, 1, ch // 2) + ch // 2 * reps.scalar(group)
    return cosets(group, int(way), ch)


def run(task: Task, way: str, n: int, ch: int, seed: int) -> dict:
    """Train once and measure."""
    group = next(iter(task.symmetries.values()))()
    x, y = task.draw(np.random.default_rng([seed, 1]), n)
    test = task.draw(np.random.default_rng([seed, 2]), 5000)
    validation = task.draw(np.random.default_rng([seed, 3]), 1000)
    rep = hidden(task, group, way, ch)
    size = {"ch": [rep, rep], "rngs": nnx.Rngs(seed)}
    net = models.emlp(task.rep_in(group), task.rep_out(group), group, **size)
    model = train(
        Standardised(net, task.constants(x, y)),
        x,
        y,
        steps=STEPS,
        seed=seed,
        validation=tuple(np.asarray(v, np.float32) for v in validation),
    )
    return {
        "test_mse": mean_squared_error(model, *test),
        "train_mse": mean_squared_error(model, x, y),
        "parameters": sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param))),
        "size": rep.size,
    }


def plan(full: bool, seeds: int):
    """(task, way, examples, width, seed) of each run."""
    for seed in range(seeds):
        for name in ("O5", "Inertia"):
            for way in WAYS:
                yield TASKS[name], way, 300, 384 if full else 128, seed
        for way in (*map(str, KERNELS), "half"):
            yield SHIFTS, way, 3000, 192 if full else 96, seed


def findings(runs: dict, seeds: int) -> dict:
    """The rules of the module's docstring, as ``verdicts`` and ``intervals``."""
    intervals = {}
    for task in NAMES:
        ways = list(dict.fromkeys(k.split("|")[1] for k in runs if k.startswith(task)))
        errors = {
            way: np.log([runs[f"{task}|{way}|{s}"]["test_mse"] for s in range(seeds)])
            for way in ways
        }
        for way in ways[1:]:
            name = f"{task}: even shares are better than {way}"
            if task == "Shifts":
                what = "half invariant" if way == "half" else f"|H| = {way}"
                name = f"{task}: faithful is better than {what}"
            intervals[name] = interval(errors[way] - errors[ways[0]])
    verdicts = {name: verdict(found) for name, found in intervals.items()}
    return {
        "intervals": intervals,
        "verdicts": {k: "holds" if v == REAPPEARS else v for k, v in verdicts.items()},
    }


def plot(runs: dict, floors: dict, path: Path) -> None:
    """Test errors by hidden representation, a point for each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.5), layout="constrained")
    for ax, task in zip(
        figure.subplots(1, 3), ("O5", "Inertia", "Shifts"), strict=True
    ):
        for label, record in runs.items():
            name, way, _ = label.split("|")
            if name == task:
                ax.plot(way, record["test_mse"], "o", color="C0", alpha=0.7)
        if task == "Shifts":
            ax.plot(*zip(*floors.items(), strict=True), "_", color="k", ms=14)
            ax.set_xlabel("order of H")
        ax.set(title=task, yscale="log", ylabel="test MSE")
        ax.tick_params("x", rotation=30)
    with io.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def main() -> None:
    """Run what is missing and write after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    seeds = 10 if options.full else 3
    records = {"full": options.full, "runs": {}}
    if options.out.exists():
        records = json.loads(options.out.read_text())
        if records["full"] != options.full:
            parser.error(f"{options.out} holds runs of another size; give --out")
    records["command"] = "python -m experiments.hidden_reps"
    records["command"] += " --full" if options.full else ""
    records["floors"] = {str(k): floor(k) for k in KERNELS[1:]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for task, way, n, ch, seed in plan(options.full, seeds):
        label = f"{task.name}|{way}|{seed}"
        if label in records["runs"]:
            continue
        records["runs"][label] = run(task, way, n, ch, seed)
        print(label, records["runs"][label], flush=True)
        io.atomic_write_text(options.out, json.dumps(records, indent=1) + "\n")
    records |= findings(records["runs"], seeds)
    io.atomic_write_text(options.out, json.dumps(records, indent=1) + "\n")
    plot(records["runs"], records["floors"], options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
