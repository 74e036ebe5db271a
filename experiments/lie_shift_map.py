"""The error by shift: only multiples of the stride are free.

    python -m experiments.lie_shift_map   # two minutes

ResNet-18 for small images (total stride 8, circular padding, a quarter of the usual
width) with random weights, on photographs of 32 pixels, and the same network with
learnable polyphase sampling. Statistic: for each network and each circular shift
(dy, dx) in 0..16 pixels, |f(shifted x) - f(x)| / |f(x)|, the mean over photographs;
three seeds of the weights. Rules, stated beforehand: multiples of the stride along both
axes are free if the largest error there is below 1e-4. Only they are free if for each
seed the smallest error at other shifts is above 100 times that largest. With polyphase
sampling all are free if the largest error over all shifts is below 1e-4.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from flax import nnx

from eqnets import functional, models

from .lie_common import DOES_NOT, REAPPEARS, squares
from .maps_common import load, save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_shift_map"
STRIDE, REACH, SIDE, PHOTOGRAPHS, SEEDS = 8, 16, 32, 4, (0, 1, 2)
NETS = {"strided": {"down": "strided"}, "lps": {"down": "lps", "hidden": 4}}
FREE = 1e-4


def errors(down: dict, seed: int, x) -> np.ndarray:
    """The mean relative error at each shift, [REACH + 1, REACH + 1]."""
    make = lambda: models.resnet(  # noqa: E731
        18, 10, stem="cifar", width=16, rngs=nnx.Rngs(seed), **down
    )
    f = functional.pure(functional.evaluation(make()))

    @jax.jit
    def row(params, state, dy):
        def at(dx):
            return f.apply(params, state, jnp.roll(x, (dy, dx), (1, 2)))

        return jax.lax.map(at, jnp.arange(REACH + 1))

    start = np.asarray(f.apply(f.params, f.state, x))
    found = np.stack(
        [np.asarray(row(f.params, f.state, dy)) for dy in range(REACH + 1)]
    )
    gap = np.linalg.norm(found - start, axis=-1) / np.linalg.norm(start, axis=-1)
    return gap.mean(-1)


def main() -> None:
    """Measure what is missing, draw, and say what reappears."""
    settings = {
        "side": SIDE,
        "reach": REACH,
        "seeds": SEEDS,
        "photographs": PHOTOGRAPHS,
    }
    found = load(NAME, settings)
    found["command"] = "python -m experiments.lie_shift_map"
    maps = found.setdefault("maps", {})
    x = jnp.asarray(squares(PHOTOGRAPHS, SIDE))
    for net, options in NETS.items():
        for seed in SEEDS:
            if f"{net} {seed}" not in maps:
                maps[f"{net} {seed}"] = errors(options, seed, x).tolist()
                save(NAME, found)
                print(net, seed, flush=True)
    grid = np.arange(REACH + 1) % STRIDE == 0
    free = grid[:, None] & grid
    rows = [np.asarray(maps[f"strided {s}"]) for s in SEEDS]
    most = [float(m[free].max()) for m in rows]
    least = [float(m[~free].min()) for m in rows]
    every = max(float(np.max(maps[f"lps {s}"])) for s in SEEDS)
    found["largest_at_multiples"], found["smallest_elsewhere"] = most, least
    found["largest_with_polyphase_sampling"] = every
    alone = all(b > 100 * max(a, 1e-7) for a, b in zip(most, least, strict=True))
    found["verdicts"] = {
        "multiples of the stride are free": REAPPEARS if max(most) < FREE else DOES_NOT,
        "other shifts are not": REAPPEARS if alone else DOES_NOT,
        "with polyphase sampling all shifts are free": REAPPEARS
        if every < FREE
        else DOES_NOT,
    }
    save(NAME, found)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    for axis, net in zip(axes, NETS, strict=True):
        mean = np.mean([maps[f"{net} {s}"] for s in SEEDS], 0)
        image = axis.imshow(np.log10(np.maximum(mean, 1e-8)), vmin=-8, vmax=0)
        axis.set(title=net, xlabel="shift right (pixels)", ylabel="shift down (pixels)")
    figure.colorbar(image, ax=axes, label="log10 of the relative error")
    save_figure(NAME, figure)
    for finding, said in found["verdicts"].items():
        print(f"{said:<12} {finding}")


if __name__ == "__main__":
    main()
