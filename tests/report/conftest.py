import math

import numpy as np
import pytest

from eqnets import report

ACTIONS = {
    "translation_x": ("fourier_even", "fraction of the width", 30.0, 0.05),
    "translation_y": ("fourier_even", "fraction of the height", 40.0, 0.05),
    "rotation": ("fourier_even", "radians", 3.0, 0.3),
    "scaling": ("fourier_even", "log scale", 2.0, 0.3),
    "shear_x": ("fourier_even", "slope", 2.5, 0.3),
    "brightness": (None, "relative brightness", 0.02, 0.3),
}


NAMES = ("chelsea", "coffee", "rocket", "moon")


def made(names=NAMES, side=56, shown=4, actions=tuple(ACTIONS)):
    """A made-up measurement of the given images, the same at every call."""
    random = np.random.default_rng(0)
    n, shown = len(names), min(shown, len(names))
    lee, curves = {}, {}
    for name in actions:
        stencil, units, scale, reach = ACTIONS[name]
        values = scale * random.gamma(2.0, 0.5, n)
        stderr = values.std(ddof=1) / n**0.5 if n > 1 else math.nan
        lee[name] = report.ActionError(
            float(values.mean()), float(stderr), values, stencil, units
        )
        t = np.linspace(-reach, reach, 9)
        slope = np.sqrt(values[:shown])
        curves[name] = report.Curve(t, np.tanh(np.abs(t)[:, None] * slope), slope)
    yy, xx = np.mgrid[:side, :side] / side
    x = np.stack(
        [np.stack([xx, yy, np.sin(9 * xx * (i + 1))], -1) for i in range(shown)]
    )
    pixels, limits = report.to_pixels(x)
    maps = {
        name: report.block_sums(
            random.normal(0.01, 1, (shown, side, side)) * xx, block=2
        ).astype(np.float32)
        for name in list(actions)[:2]
    }
    guesses = tuple(
        report.Guess(label, p)
        for label, p in [
            ("tiger cat", 0.405),
            ("Egyptian cat, an old one", 0.337),
            ("tabby", 0.174),
            ("a class with quite a long name indeed", 0.02),
            ("lynx", 0.01),
        ]
    )
    return report.Measurement(
        model="a_network",
        images=tuple(names),
        size=(side, side),
        readout="probs",
        norm="squared",
        lee=lee,
        top=(guesses,) * n,
        circular=report.Consistency(0.925, 8, 5, side),
        crop=report.Consistency(0.8125, 8, 5, side + 8, side),
        crop_reason="",
        curves=curves,
        pictures=report.Pictures(tuple(names[:shown]), pixels, limits, 2, maps),
        settings={
            "interpolation": "fourier",
            "stencil": None,
            "actions": list(actions),
        },
        versions={"eqnets": "0.1.0", "jax": "0.0"},
        command="eqnets measure --model a_network",
        seed=7,
        seconds={"LEE": 1.25, "maps": 0.5},
    )


@pytest.fixture
def measurement():
    return made()


@pytest.fixture(scope="session")
def make():
    return made
