"""Figures 9 to 11 and table 3 of Lenc and Vedaldi (2019) in small, on Fashion-MNIST.

    python -m experiments.maps_cnn            # about 30 minutes on two cores
    python -m experiments.maps_cnn --draw     # figure and verdicts, from the results

A network of five convolutions is trained with random mirroring, as the paper's were;
its layers c1 ... c5 are cut before their ReLU. Errors are on 1000 test images.

- figure 9: M_g for vertical flips, by forward selection, least squares, least squares
  after the ReLU and on the task, over the number of training images;
- figure 10: the error of the whole network, of P_g and of M_g by layer, for flips,
  scaling by 1/2 and 90 degrees;
- figure 11: M_g on the task for rotations from 0 to 90 degrees;
- table 3: invariant channels by layer.

Expected, of the paper: all methods improve on doing nothing; the task loss is best from
c3 on; l2 does not predict the task error; early layers transform almost freely and the
error grows with depth; invariance to horizontal flips, which the network was trained
with, grows with depth and exceeds that to vertical flips.
"""

import argparse

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from eqnets import maps

from .maps_common import LAYERS, fashion, load, save, save_figure, trained

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "maps_cnn"
TRAIN, EPOCHS, FIT, TEST = 10_000, 4, 5000, 1000
MOVES = {
    "hflip": maps.flip("x"),
    "vflip": maps.flip("y"),
    "scale 1/2": maps.scale(2.0),
    "rotate 90": maps.rotate(90),
}
ANGLES = (15, 45, 75, 90)
SIZES = (200, 1000, 5000)
HOW = maps.Descent(steps=150, rate=1e-3, batch=64, every=10, patience=5)
METHODS = {
    "FS k=1 m=1": {"k": 1, "m": 1},
    "FS k=25 m=3": {"k": 25, "m": 3},
    "LS m=3": {"m": 3},
    "l2 after ReLU": {"loss": "l2_relu", "descent": HOW},
    "task": {"loss": "task", "descent": HOW},
}


def errors(fit: maps.EquivarianceFit, test) -> dict[str, float]:
    """The task error of a fit in percent, and its l2 errors a site relative to none."""
    x, y = test
    z = fit(fit.cut.phi(fit.transform.undo(x[:200])))
    target = fit.cut.phi(x[:200])
    size = float(jnp.mean(jnp.sum(target**2, -1)))
    relu = [jax.nn.relu(v) for v in (z, target)]
    run = jax.jit(fit.compensated)
    return {
        "error": 100 * maps.error_rate(run, x, y, 250),
        "l2": float(maps.squared(z, target).mean()) / size,
        "l2_relu": float(maps.squared(*relu).mean()) / size,
    }


def figure9(cut: maps.Cut, train, test) -> dict:
    """At one layer, methods over the number of images, for vertical flips."""
    g, found = MOVES["vflip"], {}
    for n in SIZES:
        x, y = (v[:n] for v in train)
        for name, options in METHODS.items():
            fit = maps.fit_equivariance(cut, g, x, y, **options)
            found.setdefault(name, {})[str(n)] = errors(fit, test)
    return found


def figure10(g: maps.AffineMap, run, cuts: dict[str, maps.Cut], train, test) -> dict:
    """P_g against M_g (LS start, then the task) by layer; table 3 beside it."""
    x, y = test
    row = {"none": 100 * maps.error_rate(lambda p: run(g.inverse(p)), x, y, 250)}
    for layer, cut in cuts.items():
        fit = maps.fit_equivariance(cut, g, *train, loss="task", descent=HOW)
        permuted = jax.jit(
            lambda p, f=fit: f.cut.psi(f.permute(f.cut.phi(g.inverse(p))))
        )
        channels = maps.invariant_channels(fit, x[:500], y[:500])
        row[layer] = {
            "P_g": 100 * maps.error_rate(permuted, x, y, 250),
            "M_g": errors(fit, test)["error"],
            "invariant": channels.count,
            "channels": channels.total,
        }
    return row


def figure11(cut: maps.Cut, train, test) -> dict:
    """At one layer, M_g on the task over angles."""
    found = {}
    for angle in ANGLES:
        g = maps.rotate(angle)
        fit = maps.fit_equivariance(cut, g, *train, loss="task", descent=HOW)
        found[str(angle)] = errors(fit, test)["error"]
    return found


def verdicts(found: dict) -> dict[str, str]:
    """Which finding reappears, by the numbers."""
    nine, ten = found["figure9"], found["figure10"]
    most = str(max(SIZES))
    last = {layer: {k: v[most] for k, v in nine[layer].items()} for layer in LAYERS}
    deep = LAYERS[2:]
    task_best = [
        last[c]["task"]["error"] <= min(v["error"] for v in last[c].values()) + 0.3
        for c in deep
    ]
    mismatch = [
        last[c]["LS m=3"]["l2"] < last[c]["task"]["l2"]
        and last[c]["LS m=3"]["error"] > last[c]["task"]["error"]
        for c in deep
    ]
    mapped = {g: [ten[g][c]["M_g"] for c in LAYERS] for g in MOVES}
    invariant = {
        g: [ten[g][c]["invariant"] / ten[g][c]["channels"] for c in LAYERS]
        for g in MOVES
    }
    none = ten["vflip"]["none"]
    said = {
        "every method improves on doing nothing": all(
            v["error"] < none for c in LAYERS for v in last[c].values()
        ),
        "the task loss is best from c3 on": all(task_best),
        "l2 does not predict the task error from c3 on": all(mismatch),
        "the error of M_g grows with depth (vertical flips)": mapped["vflip"][-1]
        > mapped["vflip"][0] + 1,
        "the first layer transforms almost freely": all(
            mapped[g][0] < found["clean"] + 2 for g in ("hflip", "vflip", "rotate 90")
        ),
        "invariance to horizontal flips grows with depth (c4, c5 over c1, c2)": sum(
            invariant["hflip"][-2:]
        )
        > sum(invariant["hflip"][:2]),
        "more channels are invariant to horizontal than to vertical flips": np.mean(
            invariant["hflip"]
        )
        > np.mean(invariant["vflip"]),
    }
    return {k: "reappears" if v else "does not" for k, v in said.items()}


def draw(found: dict) -> None:
    """Figures 9 to 11 in one picture."""
    figure, axes = plt.subplots(3, 5, figsize=(13, 8))
    for axis, layer in zip(axes[0], LAYERS, strict=True):
        for name, row in found["figure9"][layer].items():
            values = [v["error"] for v in row.values()]
            axis.semilogx([int(n) for n in row], values, marker="o", ms=3, label=name)
        axis.set_title(f"{layer}, vertical flip")
        axis.set_xticks(SIZES, SIZES)
        axis.minorticks_off()
        axis.set_xlabel("images")
    axes[0, 0].legend(fontsize=6)
    for axis, (name, row) in zip(axes[1], found["figure10"].items(), strict=False):
        for key in ("P_g", "M_g"):
            axis.plot(LAYERS, [row[c][key] for c in LAYERS], marker="o", label=key)
        axis.axhline(row["none"], color="C3", ls="--", label="none")
        axis.axhline(found["clean"], color="C2", ls="--", label="clean")
        axis.set_title(name)
    axes[1, 0].legend(fontsize=6)
    for name, row in found["figure10"].items():
        share = [100 * row[c]["invariant"] / row[c]["channels"] for c in LAYERS]
        axes[1, 4].plot(LAYERS, share, marker="o", label=name)
    axes[1, 4].set_title("invariant channels, %")
    axes[1, 4].legend(fontsize=6)
    for axis, layer in zip(axes[2], LAYERS, strict=True):
        row = found["figure11"][layer]
        axis.plot([int(a) for a in row], list(row.values()), marker="o")
        axis.axhline(found["clean"], color="C2", ls="--")
        axis.set_title(f"{layer}, rotation")
        axis.set_xlabel("degrees")
    for row in axes:
        row[0].set_ylabel("test error, %")
    figure.tight_layout()
    save_figure(NAME, figure)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    settings = {"train": TRAIN, "epochs": EPOCHS, "fit": FIT, "test": TEST}
    found = load(NAME, {**settings, "descent": HOW._asdict()})
    found["command"] = "python -m experiments.maps_cnn"
    if not options.draw:
        model = trained(TRAIN, EPOCHS, flips=True)
        test = tuple(jnp.asarray(v) for v in fashion("test", TEST))
        # Other images than the network was trained on.
        x, y = fashion("train", TRAIN + FIT)
        train = jnp.asarray(x[TRAIN:]), jnp.asarray(y[TRAIN:])
        cuts = {layer: maps.cut(model, layer, x=test[0][:250]) for layer in LAYERS}
        run = jax.jit(lambda x: model(x))
        found["clean"] = 100 * maps.error_rate(run, *test, 250)
        print("clean", found["clean"], flush=True)
        jobs = [("figure9", c, figure9, (cuts[c],)) for c in LAYERS]
        jobs += [
            ("figure10", name, figure10, (g, run, cuts)) for name, g in MOVES.items()
        ]
        jobs += [("figure11", c, figure11, (cuts[c],)) for c in LAYERS]
        for figure, key, measure, arguments in jobs:
            rows = found.setdefault(figure, {})
            if key not in rows:
                rows[key] = measure(*arguments, train, test)
                print(figure, key, rows[key], flush=True)
                save(NAME, found)
    found["verdicts"] = verdicts(found)
    for finding, verdict in found["verdicts"].items():
        print(f"{verdict:<10} {finding}")
    save(NAME, found)
    draw(found)


if __name__ == "__main__":
    main()
