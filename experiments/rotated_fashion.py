"""Rotated Fashion-MNIST: learned against built-in equivariance (Gruver et al., D.6).

    python -m experiments.rotated_fashion            # twenty minutes of one core
    python -m experiments.rotated_fashion --full     # 60,000 images, 20 epochs, 5 seeds

Three networks of the same cost, trained on upright images and then fine-tuned on images
turned by random multiples of 90 degrees: a plain convolutional network, the same with
the Lie derivative under rotation in its loss while it is fine-tuned, and one that is
equivariant under rotations by 90 degrees (p4).

Statistic: the error on 2000 turned test images, and the local equivariance error of the
class probabilities under rotation on 100 of them, seeds 0 to 2. Rules, paired over
seeds with a 95 % t interval: the paper's finding, that a network can learn an
equivariance that competes with a specialised architecture's, *reappears* where the
interval of error(p4) - error(plain) plus one point lies above zero; that the
regulariser lowers the equivariance error, where that of log LEE(plain) -
log LEE(regularised) does. *Does not* where the interval lies below zero, otherwise
*undecided at this size*.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from eqnets import actions, measure
from eqnets.io import atomic_write, atomic_write_text
from experiments.lie_common import interval, verdict
from experiments.training import GCNN, Config, FashionMNIST, Optimiser, Run
from experiments.training.checkpoints import Checkpoints
from experiments.training.parallel import local, place

RESULTS = Path(__file__).parent / "results" / "rotated_fashion.json"
PLAIN, P4 = GCNN("z2", (16, 32, 64), pool=2), GCNN("p4", (4, 8, 16), pool=2)
KINDS = {
    "plain": (PLAIN, 0.0),
    "regularised": (PLAIN, 0.01),
    "p4": (P4, 0.0),
}
ADAM = Optimiser("adam", rate=3e-3, weight_decay=0.0, schedule="cosine")
MEASURED = 100
POINT = 0.01


def config(kind: str, seed: int, images: int, epochs: int, turned: bool) -> Config:
    """The run on upright images, or the fine-tuning on turned ones."""
    model, weight = KINDS[kind]
    return Config(
        FashionMNIST(images, 2000, rotated=turned),
        model,
        ADAM if not turned else dataclasses.replace(ADAM, rate=1e-3),
        epochs=epochs,
        batch=50,
        lie_weight=weight if turned else 0.0,
        seed=seed,
        evaluate_every=epochs,
        checkpoint_every=10**6,
        measured=0,
    )


def train(kind: str, seed: int, images: int, epochs: int) -> dict[str, float]:
    """Train upright, fine-tune turned, measure."""
    with tempfile.TemporaryDirectory() as folder:
        before = Run(config(kind, seed, images, epochs, False), Path(folder, "upright"))
        upright = before.train()
        weights = str(Path(folder, "upright", "weights.safetensors"))
        tuned = config(kind, seed, images // 2, epochs, True)
        run = Run(dataclasses.replace(tuned, weights=weights), Path(folder, "turned"))
        scores = run.train()
        return {
            "error": 1 - scores["accuracy"],
            "upright_error": 1 - upright["accuracy"],
            "lee_rotation": lee(run),
        }


def lee(run: Run) -> float:
    """The local equivariance error of the probabilities of a finished run."""
    checkpoints = Checkpoints(run.folder / "checkpoints", run.config.keep)
    state = local(checkpoints.restore(place(run.program.start(), run.mesh)))
    checkpoints.close()
    source = run.config.data.test(run.config.seed)
    x = run.program.prepare(jnp.asarray(source.read(np.arange(MEASURED), 0)["x"]))
    apply = run.program.apply
    return measure.lee(
        lambda x: jax.nn.softmax(apply(state, x)), actions.rotation(), x, batch_size=20
    ).mean


def findings(runs: dict, seeds: int) -> dict:
    """The rules of the module's docstring, as ``verdicts`` and ``intervals``."""

    def paired(one: str, other: str, value: Callable[[dict], float]) -> dict:
        at = [(runs[f"{one}|{s}"], runs[f"{other}|{s}"]) for s in range(seeds)]
        return interval(np.array([value(a) - value(b) for a, b in at]))

    competes = paired("p4", "plain", lambda r: r["error"])
    competes = {name: value + POINT for name, value in competes.items()}
    lower = paired("plain", "regularised", lambda r: np.log(r["lee_rotation"]))
    intervals = {
        "a learned equivariance competes with a built-in one": competes,
        "the regulariser lowers the equivariance error": lower,
    }
    return {
        "intervals": intervals,
        "verdicts": {name: verdict(found) for name, found in intervals.items()},
    }


def plot(runs: dict, path: Path) -> None:
    """Error against equivariance error, a point for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    ax = figure.subplots()
    for kind in KINDS:
        found = [r for k, r in runs.items() if k.startswith(f"{kind}|")]
        xs, ys = [r["lee_rotation"] for r in found], [100 * r["error"] for r in found]
        ax.plot(xs, ys, "o", label=kind)
    ax.set(
        xscale="log", xlabel="LEE under rotation", ylabel="error on turned images, %"
    )
    ax.legend()
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def main() -> None:
    """Run what is missing and write after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    images, epochs, seeds = (60_000, 20, 5) if options.full else (10_000, 8, 3)
    size = {"images": images, "epochs": epochs, "seeds": seeds}
    records = {"size": size, "runs": {}}
    if options.out.exists():
        records = json.loads(options.out.read_text())
        if records["size"] != size:
            parser.error(f"{options.out} holds runs of another size; give --out")
    for seed in range(seeds):
        for kind in KINDS:
            if f"{kind}|{seed}" in records["runs"]:
                continue
            records["runs"][f"{kind}|{seed}"] = train(kind, seed, images, epochs)
            flag = " --full" if options.full else ""
            records["command"] = f"python -m experiments.rotated_fashion{flag}"
            if len(records["runs"]) == len(KINDS) * seeds:
                records |= findings(records["runs"], seeds)
            atomic_write_text(options.out, json.dumps(records, indent=1) + "\n")
            plot(records["runs"], options.out.with_suffix(".png"))
            print(kind, seed, records["runs"][f"{kind}|{seed}"], flush=True)


if __name__ == "__main__":
    main()
