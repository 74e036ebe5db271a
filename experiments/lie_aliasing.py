"""Translation LEE is aliasing (Gruver et al. 2022, appendix C.2, eq. 9).

    python -m experiments.lie_aliasing   # seconds

Statistic: the largest relative difference, in double precision, of a formula from the
Lie derivative of decimation, over the random signals or the photographs of a case.
Formulas: `measure.aliasing_lee` (exact), eq. 9 with H normalised to the samples that
are left, and eq. 9 to the letter (H unitary on all samples, so larger by the stride).
Seed: 0. Rules, stated beforehand: a formula holds in a case if the difference is below
1e-10; the theorem reappears if the exact form holds in every case, and the printed one
reappears if it does. The second finding, that the error comes from frequencies that
fold down: with everything above the new Nyquist frequency removed from photographs the
error is below 1e-10 of what it was before, at every stride.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from eqnets import actions, measure

from .lie_common import DOES_NOT, REAPPEARS, squares
from .maps_common import save, save_figure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "lie_aliasing"
HOLDS = 1e-10
SIGNALS = 20
# Size, stride, and the frequencies that are removed.
CASES_1D = {
    "s = 2, M' even, all frequencies": (16, 2, ()),
    "s = 2, M' even, none at M'/2": (16, 2, (4,)),
    "s = 2, M' even, none at M/2": (16, 2, (8,)),
    "s = 2, M' even, none at M'/2 and M/2": (16, 2, (4, 8)),
    "s = 2, M' odd, all frequencies": (18, 2, ()),
    "s = 2, M' odd, none at M/2": (18, 2, (9,)),
    "s = 3, M odd, all frequencies": (27, 3, ()),
    "s = 4, none at M'/2 and M/2": (32, 4, (4, 16)),
}
# Strides (y, x) and velocities (x, y) of photographs of 66 pixels.
CASES_2D = {
    "one axis at s = 2, moving along it": ((1, 2), (1.0, 0.0)),
    "both axes at s = 2, moving along one": ((2, 2), (1.0, 0.0)),
    "both axes at s = 2, moving diagonally": ((2, 2), (1.0, 1.0)),
    "both axes at s = 3, moving diagonally": ((3, 3), (1.0, -0.5)),
}
SIDE, PHOTOGRAPHS = 66, 16
STRIDES = (2, 3)


def derivative(x, strides, velocity):
    """|L_v A x|^2 of each image by two generators around a slice."""
    options = {"interpolation": "fourier", "boundary": "wrap"}
    moves = [actions.translation(a, **options).tangent for a in "xy"]

    def v(x):
        return sum(c * move(x) for c, move in zip(velocity, moves, strict=True))

    def down(x):
        return x[:, :: strides[0], :: strides[1]]

    return ((down(v(x)) - v(down(x))) ** 2).sum((1, 2, 3))


def compared(x, strides, velocity) -> dict[str, float]:
    """The relative difference of each formula from the derivative, its largest."""
    truth = derivative(x, strides, velocity)
    exact = measure.aliasing_lee(x, strides, velocity)
    printed = measure.printed_aliasing_lee(x, strides, velocity)
    literal = printed * strides[0] * strides[1]
    found = {"exact": exact, "printed": printed, "to the letter": literal}
    return {k: float(jnp.max(jnp.abs(v / truth - 1))) for k, v in found.items()}


def without(x: np.ndarray, axis: int, drop) -> np.ndarray:
    """``x`` without the frequencies along an axis for which ``drop(|f|)``."""
    f = np.abs(np.fft.fftfreq(x.shape[axis], 1 / x.shape[axis]))
    shape = [1] * x.ndim
    shape[axis] = -1
    return np.fft.ifft(
        np.fft.fft(x, axis=axis) * ~drop(f).reshape(shape), axis=axis
    ).real


def cut_off(x: np.ndarray, stride: int) -> tuple[list[float], list[float]]:
    """Fractions of the old Nyquist frequency, and the error with less than that."""
    nyquist = x.shape[1] / 2
    fractions = np.linspace(0.1, 1.05, 39)
    found = []
    for fraction in fractions:
        low = x
        for axis in (1, 2):
            low = without(low, axis, lambda f, c=fraction * nyquist: f >= c)
        lee = measure.aliasing_lee(jnp.asarray(low), stride, (1.0, 0.0))
        found.append(float(lee.mean()))
    return fractions.tolist(), found


def main() -> None:
    """Compare, draw, and say where the formulas hold."""
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    cases = {}
    for name, (size, stride, gone) in CASES_1D.items():
        x = rng.normal(size=(SIGNALS, 1, size, 1))
        x = without(x, 2, lambda f, gone=gone: np.isin(f, gone))
        cases[f"1-D: {name}"] = compared(jnp.asarray(x), (1, stride), (1.0, 0.0))
    photographs = squares(PHOTOGRAPHS, SIDE).astype(np.float64)
    for name, (strides, velocity) in CASES_2D.items():
        x = jnp.asarray(photographs)
        cases[f"photographs: {name}"] = compared(x, strides, velocity)
    curves = {s: cut_off(photographs, s) for s in STRIDES}
    rest = {}
    for s, (fractions, values) in curves.items():
        below = [v for f, v in zip(fractions, values, strict=True) if f < 1 / s]
        rest[s] = max(below) / values[-1]
    holds = {k: [n for n, v in row.items() if v < HOLDS] for k, row in cases.items()}
    verdicts = {
        "the error of decimation is the energy that folds (exact form)": REAPPEARS
        if all("exact" in names for names in holds.values())
        else DOES_NOT,
        "eq. 9 as printed, H normalised to M' samples": REAPPEARS
        if all("printed" in names for names in holds.values())
        else DOES_NOT,
        "eq. 9 to the letter, H unitary on M samples": REAPPEARS
        if all("to the letter" in names for names in holds.values())
        else DOES_NOT,
        "nothing above the new Nyquist frequency, no error": REAPPEARS
        if max(rest.values()) < HOLDS
        else DOES_NOT,
    }
    save(
        NAME,
        {
            "command": "python -m experiments.lie_aliasing",
            "settings": {"seed": 0, "signals": SIGNALS, "side": SIDE, "holds": HOLDS},
            "relative_difference": cases,
            "holds": holds,
            "left_below_new_nyquist": rest,
            "verdicts": verdicts,
        },
    )
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    rows = np.arange(len(cases))
    for i, kind in enumerate(("exact", "printed", "to the letter")):
        values = [max(row[kind], 1e-17) for row in cases.values()]
        axes[0].scatter(values, rows + (i - 1) * 0.2, label=kind, s=18)
    axes[0].set_yticks(rows, cases, fontsize=7)
    axes[0].set_xscale("log")
    axes[0].axvline(HOLDS, color="grey", lw=0.8)
    axes[0].set_xlabel("relative difference from the Lie derivative")
    axes[0].legend(fontsize=7)
    for s, (fractions, values) in curves.items():
        axes[1].semilogy(fractions, np.maximum(values, 1e-30), label=f"stride {s}")
        axes[1].axvline(1 / s, color="grey", lw=0.8)
    axes[1].set_xlabel("highest frequency / Nyquist frequency")
    axes[1].set_ylabel("|L A x|^2 of photographs")
    axes[1].legend()
    figure.tight_layout()
    save_figure(NAME, figure)
    for finding, said in verdicts.items():
        print(f"{said:<12} {finding}")


if __name__ == "__main__":
    main()
