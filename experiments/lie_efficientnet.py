"""LEE and its layers for EfficientNet-Lite 0, 1 and 2 (in the form of Figs. 4, 5, 9).

    python -m experiments.lie_efficientnet   # about 15 minutes on one core

Trained weights, native resolutions (224, 240, 260), class probabilities, the 22
photographs of `lie_common`. No random draws. Statistics, for each photograph: LEE under
each action; and, for translation along x, |C_g| of every layer (exact).

Rules, stated beforehand. LEE falls with accuracy (published top-1: 75.1, 76.7, 77.6 %)
if the paired mean over photographs of log LEE(Lite0) - log LEE(Lite2) has a 95 %
interval above 0, for each action. Of the layers, over photographs and for each network:
those that subsample make more error than other convolutions if the paired difference of
the log of their mean |C_g| has an interval above 0; nonlinearities more than
convolutions that do not subsample likewise; and the error is made early if the share
of sum |C_g| in the first half of the layers, less a half, has an interval above 0.
"""

import matplotlib
import numpy as np
from flax import nnx

from eqnets import actions, measure, models

from .lie_common import batches, interval, photographs, verdict
from .maps_common import load, save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_efficientnet"
NETS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
ACTIONS = (
    "translation_x",
    "rotation",
    "shear_x",
    "stretch_x",
    "hyperbolic_rotation",
    "brightness",
)


def subsampling(model: nnx.Module) -> set[str]:
    """The paths of the layers with a stride."""
    found = set()
    for path, part in nnx.iter_modules(model):
        stride = getattr(part, "strides", getattr(part, "stride", 1))
        if np.max(stride) == 2:
            found.add("/".join(map(str, path)))
    return found


def measured(name: str) -> dict:
    """LEE by action and contributions by layer, of each photograph."""
    model, preprocess, _ = models.load_pretrained(name)
    x = np.stack([preprocess(p) for p in photographs()[1]])
    f = measure.readout(model, "probs")
    standard = actions.standard()
    chosen = {a: standard[a] for a in ACTIONS}
    profile = measure.lee_profile(f, chosen, batches(x, 2), batch_size=2)
    row = {"lee": {a: e.per_example.tolist() for a, e in profile.items()}}
    norms, whole = [], Probabilities(model)
    for i in range(len(x)):
        parts = measure.layerwise(whole, standard["translation_x"], x[i : i + 1])
        norms.append(np.linalg.norm(parts.contributions[:, 0], axis=-1))
        print(name, i, parts.residual, flush=True)
    row |= {"names": parts.names, "kinds": parts.kinds}
    row["subsamples"] = [n in subsampling(whole) for n in parts.names]
    row["norms"] = np.stack(norms, 1).tolist()
    return row


class Probabilities(nnx.Module):
    """A network with its softmax, whose layers keep their paths."""

    def __init__(self, net: nnx.Module):
        self.net = net

    def __call__(self, x):
        """Class probabilities ``[B, K]``."""
        return measure.readout(self.net, "probs")(x)


def findings(rows: dict) -> dict[str, dict[str, float]]:
    """The paired interval of each finding."""
    found = {}
    for action in ACTIONS:
        first, last = (np.asarray(rows[n]["lee"][action]) for n in (NETS[0], NETS[-1]))
        found[f"LEE under {action} is less for Lite2 than for Lite0"] = interval(
            np.log(first) - np.log(last)
        )
    for name, row in rows.items():
        norms, kinds = np.asarray(row["norms"]), np.asarray(row["kinds"])
        strided = np.asarray(row["subsamples"])
        plain = (kinds == "convolution") & ~strided

        def log_mean(which, norms=norms):
            return np.log(norms[which].mean(0))

        found[f"{name}: layers that subsample above other convolutions"] = interval(
            log_mean(strided) - log_mean(plain)
        )
        found[f"{name}: nonlinearities above those convolutions"] = interval(
            log_mean(kinds == "nonlinearity") - log_mean(plain)
        )
        half = norms[: len(norms) // 2].sum(0) / norms.sum(0)
        found[f"{name}: most error is made in the first half"] = interval(half - 0.5)
    return found


def draw(rows: dict):
    """LEE of each network by action, and the cumulative error of its layers."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for i, (name, row) in enumerate(rows.items()):
        values = np.array([row["lee"][a] for a in ACTIONS])
        places = np.arange(len(ACTIONS)) + (i - 1) * 0.2
        error = values.std(1, ddof=1) / values.shape[1] ** 0.5
        left.errorbar(places, values.mean(1), error, fmt="o", label=name, capsize=2)
        norms = np.asarray(row["norms"]).mean(1)
        depth = np.linspace(0, 1, len(norms))
        right.plot(depth, np.cumsum(norms), color=f"C{i}", label=name)
        marked = np.flatnonzero(row["subsamples"])
        right.plot(depth[marked], np.cumsum(norms)[marked], "o", color=f"C{i}", ms=4)
    left.set_xticks(np.arange(len(ACTIONS)), ACTIONS, rotation=30, fontsize=7)
    left.set(ylabel="LEE", yscale="log")
    right.set(xlabel="depth", ylabel="sum of |C_g|, translation x (dots: stride 2)")
    left.legend(fontsize=7)
    return figure


def main() -> None:
    """Measure what is missing, draw, and say what reappears."""
    found = load(NAME, {"photographs": 22, "actions": ACTIONS, "readout": "probs"})
    found["command"] = "python -m experiments.lie_efficientnet"
    rows = found.setdefault("nets", {})
    for name in NETS:
        if name not in rows:
            rows[name] = measured(name)
            save(NAME, found)
    found["intervals"] = findings(rows)
    found["verdicts"] = {k: verdict(v) for k, v in found["intervals"].items()}
    save(NAME, found)
    figure = draw(rows)
    figure.tight_layout()
    save_figure(NAME, figure)
    for finding, said in found["verdicts"].items():
        print(f"{said:<24} {finding}")


if __name__ == "__main__":
    main()
