"""LPD and LPU on a photograph and on its shifted copy, side by side.

    python -m experiments.lps_illustration      # seconds; results/lps_illustration.*

Rows: the image; the image rolled by one pixel; each through stride 2 (which changes),
APS and LPD (which do not, up to a shift), and LPD followed by LPU with Tri-3 (which
moves with the image). Expected: the printed differences are 0 for APS, LPD and LPU.
"""

import argparse
import json
from io import BytesIO
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from skimage import data
from skimage.transform import resize

from eqnets import io, nn
from eqnets.report.style import new_figure
from experiments.lie_common import DOES_NOT, REAPPEARS

RESULTS = Path(__file__).parent / "results" / "lps_illustration.png"


def photograph(size: int) -> jax.Array:
    """scikit-image's astronaut, ``[1, size, size, 3]`` in [0, 1]."""
    image = resize(data.astronaut(), (size, size), anti_aliasing=True)
    return jnp.asarray(image, jnp.float32)[None]


def pictures(x: jax.Array) -> dict[str, jax.Array]:
    """The image through every sampling."""
    lpd = nn.LearnablePolyphaseDown(3, hidden=8, rngs=nnx.Rngs(0))
    aps = nn.AdaptivePolyphaseDown()
    y, weights = lpd(x)
    return {
        "image": x,
        "stride 2": x[:, ::2, ::2],
        "APS": aps(x)[0],
        "LPD": y,
        "LPD, LPU + Tri-3": nn.PolyphaseUp(antialias="tri3")(y, weights),
    }


def difference(name: str, y: np.ndarray, moved: np.ndarray, shift: int) -> float:
    """The smallest largest difference over the shifts that equivariance allows."""
    full = name in ("image", "LPD, LPU + Tri-3")
    allowed = [shift] if full else [shift // 2, -(-shift // 2)]
    rolls = [np.roll(y, (a, b), (1, 2)) for a in allowed for b in allowed]
    return float(min(np.abs(moved - roll).max() for roll in rolls))


def draw(
    before: dict[str, np.ndarray], after: dict[str, np.ndarray], gaps: dict[str, float]
) -> bytes:
    """The pictures in two rows, each column under its name and its change."""
    figure = new_figure(3 * len(gaps), 6.4)
    figure.patch.set_alpha(1.0)
    columns = figure.subplots(2, len(gaps)).T
    for column, (name, gap) in zip(columns, gaps.items(), strict=True):
        column[0].set_title(f"{name}\nchange {gap:.2g}")
        for axes, image in zip(column, (before[name], after[name]), strict=True):
            axes.imshow(np.clip(image[0], 0, 1), interpolation="nearest")
            axes.axis("off")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def verdicts(gaps: dict[str, float]) -> dict[str, str]:
    """Nothing moves but what the stride samples, which does."""
    sampled = gaps["stride 2"]
    others = max(gap for name, gap in gaps.items() if name != "stride 2")
    holds = others == 0 < sampled
    return {
        "selection and its inverse move with the image": (
            REAPPEARS if holds else DOES_NOT
        )
    }


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--shift", type=int, default=1)
    options = parser.parse_args()
    run, x = jax.jit(pictures), photograph(options.size)
    rolled = jnp.roll(x, (options.shift,) * 2, (1, 2))
    before, after = (jax.tree.map(np.asarray, run(image)) for image in (x, rolled))
    gaps = {
        name: difference(name, before[name], after[name], options.shift)
        for name in ("image", "stride 2", "APS", "LPD", "LPD, LPU + Tri-3")
    }
    result = {
        "command": "python -m experiments.lps_illustration",
        "size": options.size,
        "shift": options.shift,
        "largest_change": gaps,
    }
    result["verdicts"] = verdicts(gaps)
    print(json.dumps(result, indent=1))
    io.atomic_write_bytes(options.out, draw(before, after, gaps))
    path = options.out.with_suffix(".json")
    io.atomic_write_text(path, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
