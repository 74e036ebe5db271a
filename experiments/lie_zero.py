"""L f = 0 on all generators exactly when the finite error is 0 (appendix B.1).

    python -m experiments.lie_zero   # a minute

Functions of periodic 9 x 9 images, in double precision, under trigonometric
translations along x and y (and one under brightness). Built from the group: linear
convolution and mean; power spectrum; ReLU between two convolutions at a resolution that
aliases, with circular and with zero padding; a stride. Built from the algebra: x' Q x
with a random Q of the null space of D' Q + Q D for both generators D; the same with the
generator along x alone. Statistics, largest over 8 random images (seed 0): |L f| over
|f| for each generator; |f(rho(t) x) - f(x)| over |f| for 16 times t to half the image
along each axis, and for all whole-pixel shifts alone.

Rule, stated beforehand: a number is zero below 1e-9; the equivalence reappears if for
every function the derivatives are zero for all generators exactly where the error at
all times is. A function of which whole-pixel shifts are free and L f is not 0 shows
that the discrete group does not do instead.
"""

import functools

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import scipy.linalg

from eqnets import actions, measure

from .lie_common import DOES_NOT, REAPPEARS
from .maps_common import save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_zero"
SIDE, IMAGES, SEED, ZERO = 9, 8, 0, 1e-9
TIMES = np.linspace(-0.5, 0.5, 17)[np.arange(17) != 8]
PERIODIC = {"interpolation": "fourier", "boundary": "wrap"}
MOVES = {axis: actions.translation(axis, **PERIODIC) for axis in "xy"}


def convolution(x, kernel, padding="wrap", stride=1):
    """A 3 x 3 convolution."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=padding)
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=numbers
    )


def quadratic(axes: str, rng) -> np.ndarray:
    """A random Q with D' Q + Q D = 0 for the generators along ``axes``."""
    n = SIDE
    # In waves, the eigenvectors of both D, the condition leaves the entries of equal k.
    base = scipy.linalg.dft(n, scale="sqrtn")
    plane = np.kron(base, base)
    k = np.fft.fftfreq(n, 1 / n)
    wave = {"y": np.repeat(k, n), "x": np.tile(k, n)}
    alike = np.ones((n * n, n * n), bool)
    for axis in axes:
        alike &= wave[axis][:, None] == wave[axis][None]
    q = rng.normal(size=alike.shape) * alike
    q = (q + q.T) / 2
    return (plane.conj().T @ q @ plane).real


def functions() -> dict:
    """By name: the function of images, and how it was built."""
    rng = np.random.default_rng(SEED)
    a, b = (jnp.asarray(rng.normal(size=(3, 3, *s)) / 3) for s in ((1, 4), (4, 4)))
    forms = {axes: jnp.asarray(quadratic(axes, rng)) for axes in ("xy", "x")}

    def spectrum(x):
        return jnp.abs(jnp.fft.fft2(x, axes=(1, 2)))[:, :5, :5, 0].reshape(len(x), -1)

    def net(x, padding="wrap", stride=1):
        h = jax.nn.relu(convolution(x, a, padding))
        return convolution(h, b, padding, stride).mean((1, 2))

    def form(x, axes):
        flat = x.reshape(len(x), -1)
        return jnp.einsum("bi,ij,bj->b", flat, forms[axes], flat)[:, None]

    return {
        "linear convolution, mean": lambda x: convolution(x, a).mean((1, 2)),
        "power spectrum": spectrum,
        "ReLU, circular": net,
        "ReLU, zero padding": functools.partial(net, padding="constant"),
        "ReLU, stride 3": functools.partial(net, stride=3),
        "x' Q x, Q of both generators": functools.partial(form, axes="xy"),
        "x' Q x, Q of the one along x": functools.partial(form, axes="x"),
    }


def relative(difference, start) -> float:
    """The largest norm of a difference over that of the output."""
    gap = np.linalg.norm(np.asarray(difference), axis=-1)
    return float(np.max(gap / np.linalg.norm(np.asarray(start), axis=-1)))


def measured(f, x) -> dict[str, float]:
    """|L f| by generator, and the errors of finite translations."""
    f, start = jax.jit(f), f(x)
    row = {
        f"L_{axis}": relative(measure.lie_derivative(f, move)(x), start)
        for axis, move in MOVES.items()
    }
    row["finite"] = max(
        relative(f(move(x, t)) - start, start) for move in MOVES.values() for t in TIMES
    )
    row["whole pixels"] = max(
        relative(f(jnp.roll(x, s, axis)) - start, start)
        for axis in (1, 2)
        for s in range(1, SIDE)
    )
    return row


def main() -> None:
    """Measure, draw, and say whether the two agree."""
    jax.config.update("jax_enable_x64", True)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(IMAGES, SIDE, SIDE, 1)))
    rows = {name: measured(f, x) for name, f in functions().items()}
    bright = actions.brightness()
    unit = jax.jit(lambda x: x[:, 0, :, 0] / jnp.sqrt((x**2).sum((1, 2, 3)))[:, None])
    start = unit(x)
    rows["x / |x|, brightness"] = {
        "L_brightness": relative(measure.lie_derivative(unit, bright)(x), start),
        "finite": max(relative(unit(bright(x, t)) - start, start) for t in TIMES),
    }
    agree = {
        name: all(v < ZERO for k, v in row.items() if k.startswith("L_"))
        == (row["finite"] < ZERO)
        for name, row in rows.items()
    }
    discrete = [
        name
        for name, row in rows.items()
        if row.get("whole pixels", 1) < ZERO < max(row.get("L_x", 0), row.get("L_y", 0))
    ]
    verdicts = {
        "L f = 0 on all generators exactly when the finite error is 0": REAPPEARS
        if all(agree.values())
        else DOES_NOT,
        "whole pixels may be free where L f is not 0": REAPPEARS
        if discrete
        else DOES_NOT,
    }
    save(
        NAME,
        {
            "command": "python -m experiments.lie_zero",
            "settings": {"side": SIDE, "images": IMAGES, "seed": SEED, "zero": ZERO},
            "functions": rows,
            "agree": agree,
            "free_at_whole_pixels_alone": discrete,
            "verdicts": verdicts,
        },
    )
    figure, axis = plt.subplots(figsize=(7, 3.5))
    for kind in ("L_x", "L_y", "finite", "whole pixels"):
        values = [max(row.get(kind, np.nan), 1e-17) for row in rows.values()]
        axis.scatter(values, range(len(rows)), label=kind, s=22, alpha=0.7)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    axis.set(xscale="log", xlabel="relative to |f|")
    axis.axvline(ZERO, color="grey", lw=0.8)
    axis.legend(fontsize=7)
    figure.tight_layout()
    save_figure(NAME, figure)
    for finding, said in verdicts.items():
        print(f"{said:<12} {finding}")


if __name__ == "__main__":
    main()
