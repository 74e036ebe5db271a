"""Table 5 of Lenc and Vedaldi (2019) in small: one architecture, different tasks.

    python -m experiments.stitch_tasks            # about 5 minutes of one core
    python -m experiments.stitch_tasks --full     # hours
    python -m experiments.stitch_tasks --draw     # from the results

The receiver is a network of five convolutions trained on Fashion-MNIST. Donors of the
same architecture take its place up to the same layer: one from another start on the
same images (the paper's CNet), one trained on scikit-learn's digits (Plcs: other images
and classes), one on both at once (PlcsH). 1 x 1 filters start from least squares and
are tuned on Fashion-MNIST. Errors are on 960 test images, 3 receivers and donors each.

Every claim below is a number for each seed that is above 0 where the claim holds; see
`stitch_common` for the rule.

Expected, of the paper: features are not compatible as they are; c1 and c2 can be
exchanged whatever the task; c5 least, and least for the other task; even then the
network is far from chance.
"""

import numpy as np

from . import stitch_common as common
from . import stitch_nets
from .maps_common import taught

NAME = "stitch_tasks"
LAYERS = ("c1", "c2", "c3", "c4", "c5")
DONORS = ("same task", "both", "digits")
#: Of each task.
CLASSES = 10


def donors(found: common.Data, size: common.Size, seed: int) -> dict:
    """Networks of the same architecture: another start, both tasks, the other task.

    Digits are repeated to as many images as there are clothes.
    """
    x, y = common.digits()
    often = np.random.default_rng(seed).integers(0, len(x), size.train)
    other = x[often], y[often]
    clothes = found.train
    half = size.train // 2
    both = (
        np.concatenate([clothes[0][:half], other[0][:half]]),
        np.concatenate([clothes[1][:half], other[1][:half] + CLASSES]),
    )
    sets = {"same task": clothes, "both": both, "digits": other}
    made = {}
    for i, (name, images) in enumerate(sets.items(), 1):
        start = 100 * i + seed
        net = stitch_nets.five(
            start, classes=2 * CLASSES if name == "both" else CLASSES
        )
        made[name] = taught(net, images, size.epochs, seed=start)
    return made


def measure(found: common.Data, size: common.Size, seed: int) -> dict:
    """One receiver and three donors, layer by layer."""
    receiver = common.trained(stitch_nets.five, found, size, seed)
    rows = {}
    for name, donor in donors(found, size, seed).items():
        made = [
            common.covering(donor, receiver, ((c,), (c,)), found, size, seed)
            for c in LAYERS
        ]
        rows[name] = {
            "clean": made[0]["clean"],
            "error": [m["error"][0][0] for m in made],
            "fvu": [m["fvu"][0][0] for m in made],
            "controls": {
                kind: {k: [m["controls"][kind][k][0][0] for m in made] for k in control}
                for kind, control in made[0]["controls"].items()
            },
        }
    return rows


def claims(seeds: list[dict]) -> dict[str, np.ndarray]:
    """The paper's, as numbers above 0 where they hold."""
    error = {name: common.over(seeds, name, "error") for name in DONORS}
    every = np.stack(list(error.values()))
    clean = common.over(seeds, "same task", "clean")
    identity = np.stack(
        [common.over(seeds, name, "controls", "identity", "error") for name in DONORS]
    )
    apart = error["digits"] - error["same task"]
    return {
        "features taken as they are leave more than 80 % errors": (
            identity.min((0, 2)) - 0.8
        ),
        "c1 and c2 can be exchanged: at most 3 points lost, whatever the task": (
            0.03 - (every[:, :, :2].max((0, 2)) - clean)
        ),
        "with the same task up to c4: at most 3 points lost": (
            0.03 - (error["same task"][:, :4].max(1) - clean)
        ),
        "at c5 another task costs more than another start": apart[:, 4],
        "that difference is larger at c5 than at c1": apart[:, 4] - apart[:, 0],
        "at c5 training on both tasks costs less than on the other": (
            error["digits"][:, 4] - error["both"][:, 4]
        ),
        "even the worst is far from chance: below 50 % errors": (
            0.5 - every.max((0, 2))
        ),
    }


def draw(found: dict, name: str) -> None:
    """Errors by layer, the controls dashed."""
    figure, axes = common.plt.subplots(figsize=(5.4, 3.6))
    seeds = found["seeds"]
    for donor in DONORS:
        error = 100 * common.over(seeds, donor, "error")
        spread = error.std(0, ddof=1) if len(seeds) > 1 else None
        axes.errorbar(LAYERS, error.mean(0), spread, marker="o", ms=4, label=donor)
    controls = seeds and seeds[0]["same task"]["controls"]
    for kind in controls:
        if kind == "identity":
            continue
        rows = [common.over(seeds, d, "controls", kind, "error") for d in DONORS]
        label = {"random_donor": "untrained"}.get(kind, kind.replace("_", " "))
        axes.plot(LAYERS, 100 * np.mean(rows, (0, 1)), "--", label=label)
    clean = 100 * common.over(seeds, "same task", "clean").mean()
    axes.axhline(clean, color="0.6", lw=1, label="receiver itself")
    axes.set_ylabel("test error, %")
    axes.legend(fontsize=7)
    common.save_figure(name, figure)
    found["controls"] = {donor: common.share(seeds, donor) for donor in DONORS}


if __name__ == "__main__":
    common.run(NAME, __doc__, measure, claims, draw)
