"""Pointwise nonlinearities alias: ReLU, GELU, swish (Gruver et al. 2022, 3 and A).

    python -m experiments.lie_nonlinearities   # a minute

The photographs are sampled at several resolutions (band-limited resampling of one
256-pixel square, so that each resolution shows the same scene), brought to mean 0 and
deviation 1, and moved by periodic trigonometric translation. Statistics, for each
photograph: |L sigma(h)| / |X sigma(h)|, the Lie derivative beside the speed of the
output; and |T_{-1/p} sigma(T_{1/p} h) - sigma(h)| / |sigma(h)| for shifts by 1/p of a
pixel. No random draws: the pairs are the 22 photographs.

Rules, stated beforehand: whole pixels are free if the largest error at p = 1 is below
1e-5. A smoother nonlinearity aliases less if the paired mean over photographs of
log(error of ReLU) - log(error of the other), at 64 pixels, has a 95 % interval above 0;
the same for GELU against swish. Errors fall with the resolution if the slope of
log error against log pixels, over photographs, has an interval below 0.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from eqnets import actions, measure

from .lie_common import DOES_NOT, REAPPEARS, interval, squares, verdict
from .maps_common import save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_nonlinearities"
SIGMAS = {"ReLU": jax.nn.relu, "GELU": jax.nn.gelu, "swish": jax.nn.swish}
SIDES = (16, 32, 64, 128)
PARTS = (1, 2, 3, 4, 8, 16)
SHOWN = 64
MOVE = actions.translation("x", interpolation="fourier", boundary="wrap")


def resampled(x: np.ndarray, side: int) -> np.ndarray:
    """The spectrum cut to the new Nyquist frequency; then mean 0, deviation 1."""
    n = x.shape[1]
    keep = np.fft.fftfreq(n, 1 / n)
    inside = np.abs(keep) < side / 2
    spectrum = np.fft.fft2(x, axes=(1, 2))[:, inside][:, :, inside]
    small = np.zeros((len(x), side, side, x.shape[3]), complex)
    places = keep[inside].astype(int) % side
    small[:, places[:, None], places] = spectrum
    y = np.fft.ifft2(small, axes=(1, 2)).real
    y = y - y.mean((1, 2, 3), keepdims=True)
    return (y / y.std((1, 2, 3), keepdims=True)).astype(np.float32)


def norm(x) -> np.ndarray:
    """The norm of each image."""
    return np.sqrt(np.sum(np.asarray(x, np.float64) ** 2, (1, 2, 3)))


def main() -> None:
    """Measure, draw, and say which findings reappear."""
    photographs = squares(22, 256)
    by_side, by_part = {}, {}
    for name, sigma in SIGMAS.items():
        for side in SIDES:
            h = jnp.asarray(resampled(photographs, side))
            lie = measure.lie_derivative(sigma, MOVE)(h)
            by_side[name, side] = norm(lie) / norm(MOVE.tangent(sigma(h)))
        h = jnp.asarray(resampled(photographs, SHOWN))
        start = sigma(h)
        for p in PARTS:
            t = 1 / p / SHOWN
            back = MOVE(sigma(MOVE(h, t)), -t)
            by_part[name, p] = norm(back - start) / norm(start)
    logs = {k: np.log(v) for k, v in by_side.items()}
    smoother = {
        f"{a} aliases more than {b}": interval(logs[a, SHOWN] - logs[b, SHOWN])
        for a, b in (("ReLU", "GELU"), ("ReLU", "swish"), ("GELU", "swish"))
    }
    pixels = np.log(SIDES)
    slopes = {}
    for name in SIGMAS:
        rows = np.stack([logs[name, s] for s in SIDES])
        slope = np.polyfit(pixels, rows, 1)[0]
        slopes[f"the error of {name} falls with the resolution"] = interval(-slope)
    whole = max(float(v.max()) for (_, p), v in by_part.items() if p == 1)
    verdicts = {
        "shifts by whole pixels are free": REAPPEARS if whole < 1e-5 else DOES_NOT
    }
    verdicts |= {k: verdict(v) for k, v in (smoother | slopes).items()}
    save(
        NAME,
        {
            "command": "python -m experiments.lie_nonlinearities",
            "settings": {"sides": SIDES, "parts": PARTS, "photographs": 22},
            "lie_over_speed": {f"{n} {s}": v.tolist() for (n, s), v in by_side.items()},
            "shift_error": {f"{n} 1/{p}": v.tolist() for (n, p), v in by_part.items()},
            "largest_at_whole_pixels": whole,
            "intervals": smoother | slopes,
            "verdicts": verdicts,
        },
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    for name in SIGMAS:
        for axis, keys, values in (
            (axes[0], SIDES, by_side),
            (axes[1], PARTS, by_part),
        ):
            rows = np.stack([values[name, k] for k in keys], 1)
            middle = np.exp(np.log(np.maximum(rows, 1e-9)).mean(0))
            axis.plot(keys, middle, marker="o", label=name)
    axes[0].set(xscale="log", yscale="log", xlabel="pixels", ylabel="|L| / |X|")
    axes[1].set(xlabel="p (shift by 1/p pixel)", ylabel="error / norm", yscale="log")
    axes[0].legend()
    figure.tight_layout()
    save_figure(NAME, figure)
    for finding, said in verdicts.items():
        print(f"{said:<24} {finding}")


if __name__ == "__main__":
    main()
