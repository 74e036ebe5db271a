"""Table 6 of Lenc and Vedaldi (2019) in small: the layers of one network, stitched.

    python -m experiments.stitch_layers            # about 5 minutes of one core
    python -m experiments.stitch_layers --full     # hours
    python -m experiments.stitch_layers --draw     # from the results

The network of five convolutions (16, 8, 4, 4 and 4 sites a side) is cut behind each;
donors c1 ... c5 are stitched to the rest behind each layer and to the input pixels,
where the whole network follows. 1 x 1 filters start from least squares and are tuned on
the task. Errors are on 960 test images of Fashion-MNIST, 3 networks.

Table 6a is the ratio of the resolutions, |log2(donor / receiver)|; the depth gap is the
number of layers between. Both are correlated (Spearman) with the error over the 20
pairs of different layers, a network at a time. Every claim below is a number for each
network that is above 0 where the claim holds; see `stitch_common` for the rule.

Expected, of the paper: deep layers cover shallow ones and not the reverse; a modest
drop on the diagonal; skipping c2 costs most; the error follows the resolution more than
the depth; features stitched to the pixels leave the network at chance.
"""

import numpy as np
import scipy.stats

from . import stitch_common as common
from . import stitch_nets

NAME = "stitch_layers"
LAYERS = ("c1", "c2", "c3", "c4", "c5")
SITES = np.array([16, 8, 4, 4, 4])
DEPTH = np.arange(5)
#: |log2| of the donors' (rows) over the receivers' resolution: table 6a.
RESOLUTION = np.abs(np.log2(SITES[:, None] / SITES[None]))
GAP = np.abs(DEPTH[:, None] - DEPTH[None])
SKIPS = DEPTH[:, None] < DEPTH[None]  # a shallow donor to a deep receiver


def measure(found: common.Data, size: common.Size, seed: int) -> dict:
    """One network, stitched to itself."""
    net = common.trained(stitch_nets.five, found, size, seed)
    layers = LAYERS, ("image", *LAYERS)
    return {"self": common.covering(net, net, layers, found, size, seed)}


def correlations(seeds: list[dict]) -> dict[str, list[float]]:
    """Of the error over pairs of different layers, for each network."""
    others = ~np.eye(5, dtype=bool)
    error = common.over(seeds, "self", "error")[:, :, 1:][:, others]
    return {
        name: [float(scipy.stats.spearmanr(e, of[others]).statistic) for e in error]
        for name, of in (("resolution", RESOLUTION), ("depth gap", GAP))
    }


def claims(seeds: list[dict]) -> dict[str, np.ndarray]:
    """The paper's, as numbers above 0 where they hold."""
    error = common.over(seeds, "self", "error")
    clean = common.over(seeds, "self", "clean")
    pixels, inner = error[:, :, 0], error[:, :, 1:]
    rho = {k: np.array(v) for k, v in correlations(seeds).items()}
    diagonal = np.einsum("sii->si", inner)
    over_c2, late = inner[:, 0, 2:].mean(1), inner[:, 2:, 2:][:, SKIPS[2:, 2:]].mean(1)
    return {
        "deep layers cover shallow ones better than the reverse": (
            inner[:, SKIPS].mean(1) - inner[:, SKIPS.T].mean(1)
        ),
        "a layer stitched to itself loses at most 3 points": (
            0.03 - (diagonal - clean[:, None]).max(1)
        ),
        "skipping c2 costs more than skipping among c3 to c5": over_c2 - late,
        "the error grows with the ratio of resolutions": rho["resolution"],
        "the error grows with the depth gap": rho["depth gap"],
        "resolution predicts the error better than depth": (
            rho["resolution"] - rho["depth gap"]
        ),
        "stitched to the pixels every layer errs in more than half": (
            pixels.min(1) - 0.5
        ),
    }


def draw(found: dict, name: str) -> None:
    """The matrix above its controls, and the shares that prove nothing."""
    seeds = found["seeds"]
    found["rank correlations"] = correlations(seeds)
    found["controls"] = common.share(seeds, "self")
    common.draw_coverings(name, seeds, {"self": "one network's layers"})


if __name__ == "__main__":
    common.run(NAME, __doc__, measure, claims, draw)
