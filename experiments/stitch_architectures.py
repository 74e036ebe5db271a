"""Tables 7 to 9 of Lenc and Vedaldi (2019) in small: different architectures.

    python -m experiments.stitch_architectures            # about 12 minutes of one core
    python -m experiments.stitch_architectures --full     # hours
    python -m experiments.stitch_architectures --draw     # from the results

Three networks for Fashion-MNIST: five convolutions (for the paper's ANet), seven wider
ones in pairs (for Vgg16), and six residual blocks (for ResN50). Donors of one are
stitched to the rest of another, five to seven (table 7), seven to five (table 8),
residual to seven (table 9), and seven to residual, which the paper could not do at all.
1 x 1 filters start from least squares and are tuned on the task. Errors are on 960 test
images, 3 triples of networks. Features are cut before their ReLU; the paper's variant
behind it is left out.

Every claim below is a number for each seed that is above 0 where the claim holds; see
`stitch_common` for the rule.

Expected, of the paper: five cover seven partially, with a drop; seven's last layer
covers five and beats it; the residual network covers seven at the top only; seven
covers the residual one nowhere.
"""

from functools import partial

import numpy as np
from flax import nnx

from . import stitch_common as common
from . import stitch_nets

NAME = "stitch_architectures"
FIVE, SEVEN, RESIDUAL = ("c1", "c3", "c5"), ("c2", "c4", "c7"), ("b2", "b4", "b6")
TITLES = {
    "five to seven": "five to seven (table 7)",
    "seven to five": "seven to five (table 8)",
    "residual to seven": "residual to seven (table 9)",
    "seven to residual": "seven to residual",
}


def residual(seed: int) -> stitch_nets.Residual:
    """The residual network."""
    return stitch_nets.Residual(rngs=nnx.Rngs(seed))


def measure(found: common.Data, size: common.Size, seed: int) -> dict:
    """One network of each, stitched in four directions."""
    make = {
        "five": (stitch_nets.five, FIVE),
        "seven": (stitch_nets.seven, SEVEN),
        "residual": (residual, RESIDUAL),
    }
    nets = {
        name: common.trained(new, found, size, seed) for name, (new, _) in make.items()
    }
    rows = {"clean": {name: common.error(n, found.test) for name, n in nets.items()}}
    for pair in TITLES:
        donor, receiver = pair.split(" to ")
        layers = make[donor][1], make[receiver][1]
        both = nets[donor], nets[receiver]
        rows[pair] = common.covering(*both, layers, found, size, seed)
    return rows


def claims(seeds: list[dict]) -> dict[str, np.ndarray]:
    """The paper's, as numbers above 0 where they hold."""
    error = {pair: common.over(seeds, pair, "error") for pair in TITLES}
    clean = {
        name: common.over(seeds, "clean", name)
        for name in ("five", "seven", "residual")
    }
    up, down = error["five to seven"], error["seven to five"]
    top, none = error["residual to seven"], error["seven to residual"]
    rest = partial(np.delete, obj=8, axis=1)  # all pairs but last to last
    others = rest(top.reshape(-1, 9)).mean(1)
    return {
        "table 7: five's best donor for a layer of seven loses a point or more": (
            up.min(1).mean(1) - clean["seven"] - 0.01
        ),
        "table 7: five's last layer covers early layers of seven worse than late": (
            up[:, 2, 0] - up[:, 2, 2]
        ),
        "table 8: seven's last layer covers five's c3 and c5, and beats five": (
            clean["five"] - down[:, 2, 1:].max(1)
        ),
        "table 8: seven's early layers cover these less well than its last": (
            down[:, 0, 1:].mean(1) - down[:, 2, 1:].mean(1)
        ),
        "table 9: last to last, the residual network loses at most 5 points": (
            0.05 - (top[:, 2, 2] - clean["seven"])
        ),
        "table 9: elsewhere it covers seven worse": others - top[:, 2, 2],
        "seven covers the residual network nowhere: errors above 50 %": (
            none.min((1, 2)) - 0.5
        ),
        "seven covers the residual network worse than the reverse": (
            (none - clean["residual"][:, None, None]).mean((1, 2))
            - (top - clean["seven"][:, None, None]).mean((1, 2))
        ),
    }


def draw(found: dict, name: str) -> None:
    """Four matrices above their controls."""
    seeds = found["seeds"]
    found["controls"] = {pair: common.share(seeds, pair) for pair in TITLES}
    common.draw_coverings(name, seeds, TITLES)


if __name__ == "__main__":
    common.run(NAME, __doc__, measure, claims, draw)
