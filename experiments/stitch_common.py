"""What the experiments on stitching share: small images, verdicts, figures.

Images have 16 x 16 pixels, so that every experiment takes minutes of one core:
Fashion-MNIST framed to 32 x 32 and averaged over 2 x 2, and scikit-learn's digits,
doubled. The networks are those of `stitch_nets`, cut before their ReLU.

Every claim of the paper is written beforehand as a number for each seed (new networks,
new filters) that is above 0 where it holds. It *reappears* if the 95 % confidence
interval of the mean over seeds (Student's t) is above 0, does not if it is below, and
is undecided at this size otherwise.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from flax import nnx

from eqnets import maps, report
from eqnets.commands import compiling

from .lie_common import interval, verdict
from .maps_common import fashion, load, save, save_figure, taught

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Images = tuple[np.ndarray, np.ndarray]


class Size(NamedTuple):
    """How much is computed: networks are trained on other images than filters.

    Attributes:
        seeds: repetitions, each with new networks.
        train: images that networks are trained on.
        epochs: of their training.
        fit: images that filters are fitted to.
        test: images that errors are measured on.
        steps: of fine-tuning the filters on the task.

    Images are whole batches of 64: the last one needs no program of its own.
    """

    seeds: int = 3
    train: int = 6144
    epochs: int = 8
    fit: int = 1920
    test: int = 960
    steps: int = 100


FULL = Size(seeds=5, train=40_960, epochs=12, fit=9600, test=9600, steps=600)
RULE = (
    "each claim is a number for each seed, above 0 where it holds; it reappears if the "
    "95 % interval of its mean over seeds (Student's t) is above 0, does not if it is "
    "below, and is undecided at this size otherwise"
)
#: Of the filters, as in the paper (which descends without Adam).
RATE = 1e-2


def clothes(split: str, limit: int) -> Images:
    """Fashion-MNIST, ``[n, 16, 16, 1]`` in [0, 1]."""
    x, y = fashion(split, limit)
    return x.reshape(-1, 16, 2, 16, 2, 1).mean((2, 4)), y


def digits(limit: int | None = None) -> Images:
    """The 1797 digits of scikit-learn, 8 x 8 doubled to ``[n, 16, 16, 1]``."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = (found.images[:limit, ..., None] / 16).astype(np.float32)
    return x.repeat(2, 1).repeat(2, 2), found.target[:limit].astype(np.int32)


class Data(NamedTuple):
    """To train networks on, to fit filters to, and to measure on."""

    train: Images
    fit: Images
    test: Images


def data(size: Size) -> Data:
    """Fashion-MNIST in three parts."""
    x, y = clothes("train", size.train + size.fit)
    n = size.train
    x_test, y_test = clothes("test", size.test)
    return Data((x[:n], y[:n]), (x[n:], y[n:]), (jnp.asarray(x_test), y_test))


def trained(make: Callable[[int], nnx.Module], found: Data, size: Size, seed: int):
    """A new network after its training."""
    return taught(make(seed), found.train, size.epochs, seed=seed)


def error(model: nnx.Module, test: Images) -> float:
    """Of a network on the images that are measured on."""
    run = jax.jit(lambda x: model(x))
    return maps.error_rate(run, *test, 250)


def covering(
    donor: nnx.Module,
    receiver: nnx.Module,
    layers: tuple[Sequence[str], Sequence[str]],
    found: Data,
    size: Size,
    seed: int,
) -> dict:
    """A covering matrix with its controls, as lists; None where nothing is measured."""
    made = maps.covering_matrix(
        donor,
        receiver,
        *layers,
        *found.fit,
        test=found.test,
        steps=size.steps,
        rate=RATE,
        key=jax.random.key(seed),
    )
    print(made, flush=True)
    return {
        "donors": made.layers_a,
        "receivers": made.layers_b,
        "clean": made.clean,
        "error": plain(made.error),
        "fvu": plain(made.fvu),
        "controls": {
            name: {"error": plain(c.error), "fvu": plain(c.fvu)}
            for name, c in made.controls.items()
        },
    }


def plain(values: np.ndarray) -> list:
    """Nested lists with None for nan, which JSON has not."""
    return [[None if math.isnan(v) else round(float(v), 5) for v in r] for r in values]


def over(seeds: Sequence[dict], *path: str) -> np.ndarray:
    """One entry of every seed, ``[S, ...]``, nan for None."""
    values = []
    for one in seeds:
        for name in path:
            one = one[name]
        values.append(one)
    return np.array(values, float)


def judged(claims: dict[str, Sequence[float]]) -> dict[str, dict]:
    """Each claim's number for each seed, with its interval and its verdict.

    Raises:
        ValueError: there is one seed.
    """
    said = {"statistics": {}, "intervals": {}, "verdicts": {}}
    for claim, values in claims.items():
        if len(values) < 2:
            raise ValueError(f"one seed says nothing about the spread: {claim}")
        found = {k: round(float(v), 4) for k, v in interval(values).items()}
        said["statistics"][claim] = [round(float(v), 4) for v in values]
        said["intervals"][claim] = found
        said["verdicts"][claim] = verdict(found)
        print(f"{verdict(found):<23}{found['mean']:8.3f}  {claim}")
    return said


def run(
    name: str,
    about: str,
    measure: Callable[[Data, Size, int], dict],
    claims: Callable[[list[dict]], dict[str, Sequence[float]]],
    draw: Callable[[dict, str], None],
) -> None:
    """The command line of an experiment: what is missing is measured, then judged.

    Args:
        name: of the results.
        about: the module's docstring.
        measure: all that belongs to one seed.
        claims: from what all seeds gave, a number for each, above 0 where it holds.
        draw: the figure of a name; it may add to the results.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="more images, 5 seeds")
    parser.add_argument("--draw", action="store_true", help="judge and draw alone")
    options = parser.parse_args()
    size = FULL if options.full else Size()
    name = f"{name}_full" if options.full else name
    found = load(name, size._asdict())
    found["command"] = f"python -m experiments.{name.removesuffix('_full')}" + (
        " --full" if options.full else ""
    )
    found["rule"] = RULE
    seeds = found.setdefault("seeds", [])
    if not options.draw:
        parts = data(size)
        with compiling.kept(None):
            for seed in range(len(seeds), size.seeds):
                seeds.append(measure(parts, size, seed))
                save(name, found)
    found |= judged(claims(seeds))
    draw(found, name)
    save(name, found)


def share(seeds: Sequence[dict], name: str) -> dict[str, float]:
    """How many stitches prove nothing, as fractions of all pairs and seeds.

    An untrained donor is as good where it errs at most one point more.
    """
    error, fvu = (over(seeds, name, key) for key in ("error", "fvu"))
    random = over(seeds, name, "controls", "random_donor", "error")
    clustered = over(seeds, name, "controls", "clustered_noise", "fvu")
    return {
        "an untrained donor is as good": float(np.mean(random <= error + 0.01)),
        "flagged: explains no more than clustered noise": float(
            np.mean(~(fvu < clustered))
        ),
    }


def draw_coverings(name: str, seeds: Sequence[dict], titles: dict[str, str]) -> None:
    """Mean errors of coverings as heat maps, each above its untrained donor and noise.

    Args:
        name: of the results.
        seeds: of the experiment.
        titles: of each covering, by its name in a seed.
    """
    figure, panels = plt.subplots(
        2, len(titles), figsize=(3.6 * len(titles) + 0.6, 6.4), squeeze=False
    )
    for column, (key, title) in zip(panels.T, titles.items(), strict=True):
        one = seeds[0][key]
        mean = over(seeds, key, "error").mean(0)
        random = over(seeds, key, "controls", "random_donor", "error").mean(0)
        noise = [
            over(seeds, key, "controls", kind, "error").mean(0)[:1]
            for kind in ("clustered_noise", "noise")
        ]
        fvu = over(seeds, key, "fvu").mean(0)
        donors = list(one["donors"])
        _panel(column[0], mean, donors, one["receivers"], fvu)
        clean = 100 * over(seeds, key, "clean").mean()
        column[0].set_title(f"{title}\nreceiver itself {clean:.1f} %", fontsize=9)
        rows = [f"{d}, untrained" for d in donors] + ["noise, classes", "noise"]
        _panel(column[1], np.concatenate([random, *noise]), rows, one["receivers"])
    panels[0, 0].set_ylabel("donor: error, % (unexplained)")
    panels[1, 0].set_ylabel("controls: error, %")
    figure.tight_layout()
    save_figure(name, figure)


def _panel(axes, error, rows, columns, fvu=None) -> None:
    words = [[f"{100 * v:.0f}" for v in row] for row in error]
    if fvu is not None:
        words = [
            [f"{a}\n({b:.2f})" for a, b in zip(*pair, strict=True)]
            for pair in zip(words, fvu, strict=True)
        ]
    report.heat_map(axes, error, rows, columns, top=0.9, words=words)
