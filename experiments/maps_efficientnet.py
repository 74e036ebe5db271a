"""The invariance profile of EfficientNet-Lite0 on real photographs.

    python -m experiments.maps_efficientnet   # about 10 minutes on two cores

M_g by least squares (m = 1 and 3) at four layers of the pretrained network, for
mirroring, for vertical flips and for 90 degrees. Of scikit-image's photographs every
second one is fitted, four random crops each, and the others are measured, four crops
each: how many labels change, and the fraction of the variance of the features that is
unexplained, if sites alone are moved (P_g) and with channels mapped (M_g). Labels are
those that the network itself gives before the transformation.

Expected, of the paper: channels are invariant to mirroring, with which such networks
are trained, and the more so the deeper the layer; to vertical flips and rotations much
less; early layers are transformed by M_g. The strided convolutions of this network are
padded on one side, so that flips and turns send no site to a site: P_g interpolates.
"""

import dataclasses

import jax.numpy as jnp
import matplotlib
import numpy as np

from eqnets import functional, io, maps, models
from eqnets.commands.maps import layer_maps, predictions

from .maps_common import load, save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "maps_efficientnet"
LAYERS = ("stem", "blocks.2", "blocks.4", "blocks.8")
MOVES = {
    "hflip": maps.flip("x"),
    "vflip": maps.flip("y"),
    "rotate 90": maps.rotate(90),
}
CROPS = 4
SIDES = (1, 3)


def crops(preprocess, seed: int = 0) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Random crops of 60 to 100 percent of a side: to fit, and to measure."""
    rng, parts = np.random.default_rng(seed), ([], [])
    for i, photograph in enumerate(io.sample_photographs()[1]):
        h, w = photograph.shape[:2]
        for _ in range(CROPS):
            side = int(rng.uniform(0.6, 1.0) * min(h, w))
            top, left = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
            crop = photograph[top : top + side, left : left + side]
            parts[i % 2].append(np.asarray(preprocess(crop)))
    return tuple(jnp.asarray(np.stack(p)) for p in parts)


def verdicts(found: dict) -> dict[str, str]:
    """Which finding reappears, by the numbers."""
    rows = found["moves"]

    def column(name: str, value: str, m: int = 1) -> np.ndarray:
        return np.array([rows[name][layer][f"m={m}"][value] for layer in LAYERS])

    flips = {name: column(name, "permuted_fvu") for name in MOVES}
    best = {
        name: np.minimum(*(column(name, "mapped", m) for m in SIDES)) for name in MOVES
    }
    said = {
        "sites alone explain more of mirroring than of vertical flips, from blocks.2": (
            flips["hflip"][1:] < flips["vflip"][1:]
        ).all(),
        "invariance to mirroring grows with depth": flips["hflip"][-1]
        < flips["hflip"][0],
        "M_g explains more than P_g in the first layer, whatever the move": all(
            column(name, "mapped_fvu")[0] < flips[name][0] for name in MOVES
        ),
        "undoing a move by M_g in the first layer keeps more labels than not undoing": (
            all(best[name][0] < rows[name]["none"] for name in MOVES)
        ),
        "more labels change the deeper M_g undoes a move": all(
            (best[name][2:] > best[name][:2].max()).all() for name in MOVES
        ),
        "l2 does not predict the labels: M_g explains more, and P_g keeps more": any(
            (column(name, "mapped_fvu", m) < flips[name])[i]
            and (column(name, "mapped", m) > column(name, "permuted"))[i]
            for name in MOVES
            for m in SIDES
            for i in range(len(LAYERS))
        ),
    }
    return {k: "reappears" if v else "does not" for k, v in said.items()}


def main() -> None:
    """Run what is missing, draw, and say what reappears."""
    net, preprocess, _ = models.load_pretrained("efficientnet_lite0")
    net = functional.evaluation(net)
    found = load(NAME, {"crops": CROPS, "m": SIDES, "lam": 1e-3, "layers": LAYERS})
    found["command"] = "python -m experiments.maps_efficientnet"
    fitted, tested = crops(preprocess)
    labels = predictions(net, tested, 8)
    rows = found.setdefault("moves", {})
    for name, g in MOVES.items():
        if name in rows:
            continue
        changed = float(np.mean(predictions(net, g.inverse(tested), 8) != labels))
        row = {"none": changed}
        for layer in LAYERS:
            row[layer] = {}
            for m in SIDES:
                made = layer_maps(net, layer, g, fitted, tested, labels, m=m, lam=1e-3)
                row[layer][f"m={m}"] = dataclasses.asdict(made)
            print(name, layer, row[layer], flush=True)
        rows[name] = row
        save(NAME, found)
    found["verdicts"] = verdicts(found)
    for finding, verdict in found["verdicts"].items():
        print(f"{verdict:<10} {finding}")
    save(NAME, found)
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.5), sharey="row")
    for column, (name, row) in zip(axes.T, rows.items(), strict=True):
        for axis, ending in zip(column, ("", "_fvu"), strict=True):
            lines = [("P_g", "permuted", 1)]
            lines += [(f"M_g, m = {m}", "mapped", m) for m in SIDES]
            for label, kind, m in lines:
                values = [row[layer][f"m={m}"][kind + ending] for layer in LAYERS]
                axis.plot(LAYERS, values, marker="o", label=label)
        column[0].axhline(row["none"], color="C3", ls="--", label="not undone")
        column[0].set_title(name)
    axes[0, 0].set_ylabel("labels changed")
    axes[1, 0].set_ylabel("variance unexplained")
    axes[0, 0].legend(fontsize=7)
    save_figure(NAME, figure)


if __name__ == "__main__":
    main()
