"""Test error against the number of training examples (Finzi et al., 2021, Fig. 4).

    python -m experiments.data_efficiency              # 100, 300, 1000, 3000 examples
    python -m experiments.data_efficiency --full       # 30 to 30000 examples

EMLP by group, MLP, and MLP trained with augmentation, on three tasks; width 384, three
layers, Adam at 3e-3, batch 500, min(900000 / n, 1000) epochs, the epoch chosen by the
error on 1000 validation examples, 3 seeds, 5000 test examples. The default size takes
about 75 processor minutes. Finished runs are kept in the results file, not repeated.
The initial weights of EMLPs (`eqnets.models.emlp`) and the constants of Inertia were
chosen with 100 and 300 examples of the three tasks by validation errors of seeds 10 to
14; nothing of the baselines was.

At each size with three seeds of every model: of the better EMLP and the better baseline
(by medians) the EMLP errs less, by the 95 % interval over seeds of the mean of log
error(baseline) - log error(EMLP): above 0 it *reappears*, below it *does not*. A second
finding is whether the median of the better EMLP is within twice the better published
one. (These rules were written down when some of the runs were in.)
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from eqnets import models
from eqnets.groups import MatrixGroup
from eqnets.io import atomic_write_text
from experiments.lie_common import DOES_NOT, REAPPEARS, interval, verdict
from experiments.regression import equivariance_error, mean_squared_error, train
from experiments.symmetric_tasks import TASKS, Constants, Task

RESULTS = Path(__file__).parent / "results" / "data_efficiency.json"
DEFAULT = (100, 300, 1000, 3000)
FULL = (30, 100, 300, 1000, 3000, 10000, 30000)
CH = 384
POOL = 4096  # group elements that a run with augmentation draws from
BOOSTS = 0.3  # standard deviation of their rapidities, as in the published code

# Medians of three runs that the paper reports, at the sizes of FULL.
PUBLISHED = {
    "O5": {
        "EMLP-O(5)": [0.110, 0.040, 0.034, 0.016, 0.034, 0.0087, 0.027],
        "EMLP-SO(5)": [0.100, 0.042, 0.039, 0.026, 0.031, 0.023, 0.026],
        "MLP": [26, 2.9, 0.24, 0.088, 0.063, 0.065, 0.064],
        "MLP+augmentation": [0.46, 0.33, 0.094, 0.060, 0.085, 0.071, 0.068],
    },
    "Inertia": {
        "EMLP-O(3)": [3.95, 1.27, 0.33, 0.164, 0.028, 0.018, 0.014],
        "EMLP-SO(3)": [7.99, 1.09, 0.267, 0.060, 0.029, 0.019, 0.015],
        "MLP": [13.5, 7.9, 4.9, 3.2, 0.83, 0.156, 0.108],
        "MLP+augmentation": [4.64, 1.76, 0.47, 0.131, 0.111, 0.110, 0.103],
    },
    "Lorentz": {
        "EMLP-O(1,3)": [0.52, 0.0075, 0.0020, 3.0e-4, 2.7e-4, 2.7e-4, 1.7e-4],
        "EMLP-SO+(1,3)": [0.50, 0.011, 0.0025, 3.3e-4, 2.1e-4, 2.2e-4, 1.8e-4],
        "MLP": [0.73, 0.73, 0.70, 0.38, 0.051, 0.017, 0.012],
        "MLP+augmentation": [0.63, 0.18, 0.037, 0.013, 0.011, 0.013, 0.011],
    },
}


class Standardised(nnx.Module):
    """scale_y f((x - mean_x) / scale_x) + mean_y: as symmetric as f."""

    def __init__(self, net: nnx.Module, constants: Constants):
        self.net, self.constants = net, constants

    def __call__(self, x):
        """``[B, n] -> [B, m]``."""
        c = self.constants
        mean, scale = (jnp.asarray(v, x.dtype) for v in (c.mean_x, c.scale_x))
        return c.scale_y * self.net((x - mean) / scale) + c.mean_y


def steps_for(n: int, batch: int = 500) -> int:
    """min(900000 / n, 1000) epochs of minibatches."""
    return int(min(900000 / n, 1000)) * max(n // batch, 1)


def build(task: Task, kind: str, ch: int, rngs: nnx.Rngs):
    """The network of one column of the table, and its group."""
    name = kind.removeprefix("EMLP-")
    equivariant = name in task.symmetries
    group = task.symmetries[name if equivariant else next(iter(task.symmetries))]()
    rep_in, rep_out = task.rep_in(group), task.rep_out(group)
    if equivariant:
        net = models.emlp(rep_in, rep_out, group, ch=ch, rngs=rngs)
    else:
        net = models.mlp(rep_in, rep_out, ch=ch, rngs=rngs)
    return net, group, rep_in, rep_out


def elements(group: MatrixGroup, seed: int) -> np.ndarray:
    """What augmentation draws from: rotations by normal angles, smaller boosts."""
    lie = group.lie_algebra
    boosts = (lie == lie.swapaxes(1, 2)).all((1, 2))
    scale = np.where(boosts, BOOSTS, 1.0)
    return models.group_samples(group, jax.random.key(seed), POOL, scale=scale)


def run(task: Task, kind: str, n: int, seed: int, ch: int) -> dict:
    """Train once and measure."""
    x, y = task.draw(np.random.default_rng([seed, 1]), n)
    test_x, test_y = task.draw(np.random.default_rng([seed, 2]), 5000)
    validation = task.draw(np.random.default_rng([seed, 3]), 1000)
    net, group, rep_in, rep_out = build(task, kind, ch, nnx.Rngs(seed))
    model = Standardised(net, task.constants(x, y))
    augment = None
    if kind == "MLP+augmentation":
        augment = (elements(group, seed), rep_in, rep_out)
    start = time.process_time()
    model = train(
        model,
        x,
        y,
        steps=steps_for(n),
        seed=seed,
        validation=tuple(np.asarray(v, np.float32) for v in validation),
        augment=augment,
    )
    seconds = time.process_time() - start
    params = nnx.state(model, nnx.Param)
    return {
        "test_mse": mean_squared_error(model, test_x, test_y),
        "train_mse": mean_squared_error(model, x, y),
        "equivariance_error": equivariance_error(
            model, group, rep_in, rep_out, test_x[:500]
        ),
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "cpu_seconds": round(seconds, 1),
    }


def columns(task: Task) -> list[str]:
    """The models of a task."""
    return [*(f"EMLP-{g}" for g in task.symmetries), "MLP", "MLP+augmentation"]


def load(path: Path) -> dict:
    """The records so far."""
    return json.loads(path.read_text()) if path.exists() else {"runs": {}}


def errors(
    runs: dict, task: str, kind: str, n: int, of: str = "test_mse"
) -> dict[int, float]:
    """The test errors, or others, of the seeds that have run."""
    label = f"{task}|{kind}|{n}|"
    return {int(k.split("|")[3]): r[of] for k, r in runs.items() if k.startswith(label)}


def median(found: dict[int, float]) -> float | None:
    """The median, or None of nothing."""
    return float(np.median(list(found.values()))) if found else None


def table(runs: dict, sizes) -> dict:
    """Medians beside the published ones."""
    return {
        task.name: {
            kind: {
                "n": list(sizes),
                "median_test_mse": [
                    median(errors(runs, task.name, kind, n)) for n in sizes
                ],
                "median_equivariance_error": [
                    median(errors(runs, task.name, kind, n, "equivariance_error"))
                    for n in sizes
                ],
                "seeds": [len(errors(runs, task.name, kind, n)) for n in sizes],
                "published": [PUBLISHED[task.name][kind][FULL.index(n)] for n in sizes],
            }
            for kind in columns(task)
        }
        for task in TASKS.values()
    }


def findings(runs: dict, summary: dict) -> dict:
    """The rules of the module's docstring, as ``verdicts`` and ``intervals``."""
    intervals, verdicts = {}, {}
    for task, kinds in summary.items():
        equivariant = {k: row for k, row in kinds.items() if k.startswith("EMLP")}
        baselines = {k: row for k, row in kinds.items() if k not in equivariant}
        for i, n in enumerate(next(iter(kinds.values()))["n"]):
            if min(row["seeds"][i] for row in kinds.values()) < 3:
                continue
            ours, other = (
                min(group, key=lambda k: group[k]["median_test_mse"][i])
                for group in (equivariant, baselines)
            )
            theirs, found = (errors(runs, task, kind, n) for kind in (other, ours))
            name = f"{task}, {n} examples: an EMLP errs less than both baselines"
            both = sorted(theirs.keys() & found.keys())
            intervals[name] = interval(np.log([theirs[s] / found[s] for s in both]))
            verdicts[name] = verdict(intervals[name])
            error = equivariant[ours]["median_test_mse"][i]
            paper = min(row["published"][i] for row in equivariant.values())
            name = f"{task}, {n} examples: within twice the published error"
            verdicts[name] = REAPPEARS if error <= 2 * paper else DOES_NOT
    return {"intervals": intervals, "verdicts": verdicts}


def plot(summary: dict, path: Path) -> None:
    """Test error against n; published medians as crosses."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(summary), figsize=(12, 4), layout="constrained")
    for ax, (task, kinds) in zip(axes, summary.items(), strict=True):
        for i, (kind, row) in enumerate(kinds.items()):
            done = [
                (n, m)
                for n, m in zip(row["n"], row["median_test_mse"], strict=True)
                if m
            ]
            if done:
                ax.loglog(*zip(*done, strict=True), "o-", color=f"C{i}", label=kind)
            ax.loglog(row["n"], row["published"], "x--", color=f"C{i}", alpha=0.5)
        ax.set(title=task, xlabel="training examples", ylabel="test MSE")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    """Run what is missing, in order of size; write after each run and at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="30 to 30000 examples")
    parser.add_argument("--sizes", nargs="*", type=int, help="instead of the default")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ch", type=int, default=CH)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    sizes = options.sizes or (FULL if options.full else DEFAULT)
    records = load(options.out)
    if records.get("ch", options.ch) != options.ch:
        parser.error(f"{options.out} holds runs of width {records['ch']}; give --out")
    for n in sizes:
        for seed in range(options.seeds):
            for task in (TASKS[t] for t in options.tasks):
                for kind in columns(task):
                    label = f"{task.name}|{kind}|{n}|{seed}"
                    if label in records["runs"]:
                        continue
                    record = run(task, kind, n, seed, options.ch)
                    records["runs"][label] = record
                    print(label, record, flush=True)
                    write(records, options)
    write(records, options)


def write(records, options):
    """The records, the table and the figure, whole or not at all."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {int(k.split("|")[2]) for k in records["runs"]}
    sizes = tuple(n for n in FULL if n in done)
    flags = {DEFAULT: "", FULL: " --full"}
    flag = flags.get(sizes, f" --sizes {' '.join(map(str, sizes))}")
    width = "" if options.ch == CH else f" --ch {options.ch}"
    records |= {
        "command": f"python -m experiments.data_efficiency{flag}{width}",
        "ch": options.ch,
        "table": table(records["runs"], sizes),
    }
    records |= findings(records["runs"], records["table"])
    atomic_write_text(options.out, json.dumps(records, indent=1) + "\n")
    plot(records["table"], options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
