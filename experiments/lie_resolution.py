"""Discrete, group-sample and LEE error against the input resolution (D.4).

    python -m experiments.lie_resolution   # about 10 minutes on one core

EfficientNet-Lite0 with its trained weights, class probabilities, the 22 photographs at
96 to 224 pixels. Errors: sqrt of LEE under translation along x (per width); the
expected group-sample error, translations uniform in +-5 pixels, 4 of them (key 0); and
the discrete one, 1 - agreement under 10 pixels. The paper argues that the first depends
less on the resolution. Statistic: for each photograph the slope of log error against
log pixels; for the discrete error, a fraction over photographs, the values alone.

Rule, stated beforehand: it depends less if the paired mean over photographs of
|slope of the group-sample error| - |slope of sqrt LEE| has a 95 % interval above 0.
"""

import jax
import matplotlib
import numpy as np

from eqnets import actions, measure, models

from .lie_common import batches, interval, photographs, verdict
from .maps_common import load, save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_resolution"
SIDES = (96, 128, 160, 192, 224)
PIXELS, SAMPLES, SHIFT = 5, 4, 10


def at_side(net, preprocess, side: int) -> dict:
    """The three errors at one resolution, of each photograph."""
    small = type(preprocess)(side, side * 8 // 7, preprocess.mean, preprocess.scale)
    x = np.stack([small(p) for p in photographs()[1]])
    f = measure.readout(net, "probs")
    move = actions.translation("x")
    lee, sampled, key = [], [], jax.random.key(0)
    for i, part in enumerate(batches(x, 2)):
        lee += measure.lee(f, move, part).per_example.tolist()
        sampled += measure.group_sample_error(
            f,
            move,
            part,
            jax.random.fold_in(key, i),
            samples=SAMPLES,
            max_t=PIXELS / side,
        ).per_example.tolist()
    predict = jax.jit(lambda x: net(x).argmax(-1))
    discrete = [
        measure.discrete_consistency(predict, part, shift=SHIFT)
        for part in batches(x, 2)
    ]
    return {
        "root LEE": np.sqrt(lee).tolist(),
        "group-sample": sampled,
        "discrete": float(np.mean(discrete)),
    }


def main() -> None:
    """Measure what is missing, draw, and say what reappears."""
    net, preprocess, _ = models.load_pretrained("efficientnet_lite0")
    settings = {"sides": SIDES, "photographs": 22, "key": 0}
    settings |= {"pixels": PIXELS, "samples": SAMPLES, "shift": SHIFT}
    found = load(NAME, settings)
    found["command"] = "python -m experiments.lie_resolution"
    rows = found.setdefault("sides", {})
    for side in SIDES:
        if str(side) not in rows:
            rows[str(side)] = at_side(net, preprocess, side)
            save(NAME, found)
            print(side, flush=True)
    errors = {
        kind: np.array([rows[str(s)][kind] for s in SIDES])
        for kind in ("root LEE", "group-sample", "discrete")
    }
    slopes = {
        kind: np.polyfit(np.log(SIDES), np.log(errors[kind]), 1)[0]
        for kind in ("root LEE", "group-sample")
    }
    found["slopes"] = {k: interval(v) for k, v in slopes.items()}
    gap = interval(abs(slopes["group-sample"]) - abs(slopes["root LEE"]))
    finding = "LEE depends less on the resolution than the group-sample error"
    found["intervals"] = {finding: gap}
    found["verdicts"] = {finding: verdict(gap)}
    save(NAME, found)
    figure, axis = plt.subplots(figsize=(5.5, 4))
    for kind, values in errors.items():
        mean = values.mean(-1) if values.ndim == 2 else values
        axis.plot(SIDES, mean / mean[-1] if mean[-1] else mean, "o-", label=kind)
    axis.set(xlabel="pixels", ylabel="error / error at 224 pixels")
    axis.legend()
    save_figure(NAME, figure)
    print(f"{found['verdicts'][finding]:<24} {finding}")


if __name__ == "__main__":
    main()
