"""Layers ranked by EQ-T in each normalisation, and by what they really add (sec. 5).

    python -m experiments.lie_eqt_ranking   # about 10 minutes on one core

EfficientNet-Lite0 with its trained weights at 96 pixels, class probabilities, 6
photographs. The exact contribution of a layer is (|C_g(x)|^2 + |C_g(y)|^2)^(1/2) for
translations along x and y, root mean square over photographs. EQ-T and EQ-T_frac apply
each layer alone to its input under 8 translations of up to an eighth of the image (key
0), in three normalisations. Statistic: Spearman's rank correlation over layers.

Rules, stated beforehand: the normalisation decides the ranking if the correlation of
the rankings by |e| and by |e| / N of the same metric has an upper 95 % limit below 0.9;
EQ-T ranks unlike the exact contributions if every normalisation's correlation with them
has an upper limit below 0.9. Layers whose exact contribution is below 1e-5 of the
largest (additions: rounding alone) are ranked like the others.

A first run moved images by reflection at the frame instead of periodically; its
verdicts and, to 0.03, its correlations were the same. Rule and key are unchanged.
"""

import jax
import matplotlib
import numpy as np

from eqnets import actions, measure, models

from .lie_common import DOES_NOT, REAPPEARS, UNDECIDED, correlation, photographs
from .lie_efficientnet import Probabilities
from .maps_common import load, save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_eqt_ranking"
PHOTOGRAPHS, SIDE, SAMPLES = 6, 96, 8
NORMALIZATIONS = ("none", "sqrt", "size")
METRICS = {"EQ-T": True, "EQ-T_frac": False}


def exact(model, x) -> dict[str, float]:
    """The contribution of each layer to both translations."""
    squares = 0.0
    for axis in "xy":
        parts = [
            measure.layerwise(model, actions.translation(axis), x[i : i + 1])
            for i in range(len(x))
        ]
        squares = squares + np.mean([p.norms**2 for p in parts], 0)
        print("exact", axis, flush=True)
    return dict(zip(parts[0].names, np.sqrt(squares).tolist(), strict=True))


def judged(upper: list[float], lower: list[float]) -> str:
    """By the limits of correlations that the finding says are below 0.9."""
    if max(upper) < 0.9:
        return REAPPEARS
    return DOES_NOT if min(lower) > 0.9 else UNDECIDED


def main() -> None:
    """Measure what is missing, draw, and say what reappears."""
    net, preprocess, _ = models.load_pretrained("efficientnet_lite0")
    model = Probabilities(net)
    settings = {"photographs": PHOTOGRAPHS, "side": SIDE, "samples": SAMPLES, "key": 0}
    found = load(NAME, settings)
    found["command"] = "python -m experiments.lie_eqt_ranking"
    small = type(preprocess)(SIDE, SIDE + 14, preprocess.mean, preprocess.scale)
    x = np.stack([small(p) for p in photographs()[1][:PHOTOGRAPHS]])
    rows = found.setdefault("layers", {})
    if "exact" not in rows:
        rows["exact"] = exact(model, x)
        save(NAME, found)
    for metric, whole in METRICS.items():
        for kind in NORMALIZATIONS:
            if f"{metric} {kind}" in rows:
                continue
            layers = measure.eq_t_layers(
                model,
                x,
                jax.random.key(0),
                samples=SAMPLES,
                whole_pixels=whole,
                normalize=kind,
            )
            pairs = zip(layers.names, layers.mean.tolist(), strict=True)
            rows[f"{metric} {kind}"] = dict(pairs)
            save(NAME, found)
            print(metric, kind, flush=True)
    names = [n for n in rows["exact"] if n in rows["EQ-T none"]]
    table = {k: np.array([row[n] for n in names]) for k, row in rows.items()}
    # layers that commute with translations to the bit have no rank
    kept = (table["exact"] > 0) & (table["EQ-T none"] > 0)
    table = {k: v[kept] for k, v in table.items()}
    pairs = {}
    for metric in METRICS:
        a, b = table[f"{metric} none"], table[f"{metric} size"]
        pairs[f"{metric}: |e| with |e| / N"] = correlation(a, b)
    alike = {
        f"{k} with the exact one": correlation(v, table["exact"])
        for k, v in table.items()
        if k != "exact"
    }
    found["ranked_layers"] = int(kept.sum())
    found["correlations"] = pairs | alike
    found["verdicts"] = {
        "the normalisation decides the ranking of layers": judged(
            [p["high"] for p in pairs.values()], [p["low"] for p in pairs.values()]
        ),
        "EQ-T ranks layers unlike what they add to the error": judged(
            [p["high"] for p in alike.values()], [p["low"] for p in alike.values()]
        ),
    }
    save(NAME, found)
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), sharex=True)
    for row, metric in zip(axes, METRICS, strict=True):
        for axis, kind in zip(row, NORMALIZATIONS, strict=True):
            key = f"{metric} {kind}"
            axis.loglog(table["exact"], table[key], ".", ms=4)
            r = alike[f"{key} with the exact one"]["mean"]
            axis.set_title(f"{metric}, {kind}: rank correlation {r:.2f}", fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("|C_g|, exact")
    figure.tight_layout()
    save_figure(NAME, figure)
    for finding, said in found["verdicts"].items():
        print(f"{said:<24} {finding}")


if __name__ == "__main__":
    main()
