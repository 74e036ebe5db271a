"""A trained network made circular-shift invariant, without training: at what price?

EfficientNet-Lite0 with its ImageNet weights and its conversion by
``models.make_shift_equivariant``, on the 14 photographs of scikit-image. Reported for
both: top-1 and top-5 on the photographs that have an ImageNet class (``TRUTH``, by
hand), how often the label stays the same under two circular shifts of 0..32 pixels, and
the largest difference of a logit over fixed shifts. To tell selection and borders
apart: the converted network with component
0 in every place of the selected one, circular borders kept.

    python -m experiments.converted_efficientnet        # two minutes of one core

Expected: consistency 1 and a difference below 1e-4 for the converted network, the first
verdict; that every photograph keeps its label is the second.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from eqnets import io, measure, models
from eqnets.models.shifts import kinds
from experiments.lie_common import DOES_NOT, REAPPEARS

RESULTS = Path(__file__).parent / "results" / "converted_efficientnet.json"
SHIFTS = [(0, 1), (1, 0), (16, 16), (17, 101), (113, 57), (223, 5)]
TRUTH = {
    "camera": ("tripod", "reflex camera"),
    "chelsea": ("tabby", "tiger cat", "Egyptian cat"),
    "clock_motion": ("analog clock", "wall clock"),
    "coffee": ("espresso", "cup", "coffee mug"),
    "motorcycle_left": ("moped", "motor scooter"),
    "rocket": ("missile", "projectile", "space shuttle"),
}


def compiled(model: nnx.Module) -> Callable[[jax.Array], jax.Array]:
    """Images to logits, jitted."""
    graph, params = nnx.split(model)
    return partial(jax.jit(lambda params, x: nnx.merge(graph, params)(x)), params)


def without_selection(model: nnx.Module, x: jax.Array) -> jax.Array:
    """The logits of the converted network with component 0 everywhere."""

    class First(kinds.Run):
        def select(self, x: jax.Array, frame: object, stride: int) -> jax.Array:
            return jnp.zeros(x.shape[0], jnp.int32)

    made = models.ShiftEquivariant(model)
    return jax.jit(lambda x: made._run(First(), x, {})[0])(x)


def judge(
    logits: np.ndarray, original: np.ndarray, names: list[str], classes: list[str]
) -> dict:
    """Accuracy where there is a truth, agreement with the original everywhere."""
    order = np.argsort(-logits, axis=1)
    ranks = [
        min(int(np.flatnonzero(order[i] == classes.index(c))[0]) for c in TRUTH[name])
        for i, name in enumerate(names)
        if name in TRUTH
    ]
    shares = np.asarray(jax.nn.softmax(logits))
    best = original.argmax(1)
    return {
        "photographs_with_a_class": len(ranks),
        "top1": float(np.mean(np.array(ranks) < 1)),
        "top5": float(np.mean(np.array(ranks) < 5)),
        "same_label_as_original": float((logits.argmax(1) == best).mean()),
        "probability_of_the_originals_label": [
            round(float(p), 4) for p in shares[np.arange(len(best)), best]
        ],
        "labels": [classes[i] for i in logits.argmax(1)],
    }


def stability(run: Callable, x: jax.Array) -> dict:
    """Whether labels and logits stay under circular shifts."""

    def predict(x: jax.Array) -> jax.Array:
        return jnp.argmax(run(x), -1)

    options = {"max_shift": 32, "pairs": 5}
    report = measure.check_equivariance(run, x, shifts=SHIFTS)
    return {
        "consistency": float(
            measure.circular_consistency(predict, x, jax.random.key(0), **options)
        ),
        "largest_difference": report.worst,
        "shifts": len(SHIFTS),
    }


def verdicts(result: dict) -> dict[str, str]:
    """The rules of the module's docstring."""
    made = result["converted"]
    exact = made["consistency"] == 1 and made["largest_difference"] < 1e-4
    kept = made["same_label_as_original"] == 1
    return {
        "a converted network is exactly invariant": _said(exact),
        "a converted network keeps its labels untrained": _said(kept),
    }


def _said(holds: bool) -> str:
    return REAPPEARS if holds else DOES_NOT


def draw(result: dict, path: Path) -> None:
    """What is left of the probability of the original's label."""
    from eqnets.report.style import new_figure, plain_axes

    figure = new_figure(7.0, 3.6)
    figure.patch.set_alpha(1.0)
    axes = figure.subplots()
    plain_axes(axes, grid="y")
    places = np.arange(len(result["photographs"]))
    for i, name in enumerate(("original", "converted", "borders alone")):
        values = result[name]["probability_of_the_originals_label"]
        axes.bar(places + 0.27 * (i - 1), values, 0.25, label=name, color=f"C{i}")
    axes.set_xticks(places, result["photographs"], rotation=45, ha="right", fontsize=7)
    axes.set_ylabel("probability of the\noriginal's label")
    axes.legend(fontsize=7, frameon=False)
    with io.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def main() -> None:
    """Convert, run, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    net, preprocess, classes = models.load_pretrained("efficientnet_lite0")
    names, photographs = io.sample_photographs()
    x = jnp.asarray(preprocess(photographs))
    made = models.make_shift_equivariant(net, x)
    print(made, flush=True)
    runs = {"original": compiled(net), "converted": compiled(made.model)}
    logits = {name: np.asarray(run(x)) for name, run in runs.items()}
    logits["borders alone"] = np.asarray(without_selection(net, x))
    result = {
        "command": "python -m experiments.converted_efficientnet",
        "claimed_invariant": made.invariant,
        "operations_replaced": len(made.replaced),
        "photographs": names,
    }
    for name, values in logits.items():
        result[name] = judge(values, logits["original"], names, classes)
        if name in runs:
            result[name] |= stability(runs[name], x)
        short = {k: v for k, v in result[name].items() if not isinstance(v, list)}
        print(name, short, flush=True)
    result["verdicts"] = verdicts(result)
    io.atomic_write_text(options.out, json.dumps(result, indent=1) + "\n")
    draw(result, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
