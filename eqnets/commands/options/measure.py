"""The options of ``eqnets measure``."""

import dataclasses
from typing import Annotated, Literal

import tyro

from ..errors import UsageError, unknown
from .base import Reporting

#: The built-in actions, in the order of the report.
ACTIONS = (
    "translation_x",
    "translation_y",
    "rotation",
    "scaling",
    "shear_x",
    "shear_y",
    "stretch_x",
    "stretch_y",
    "hyperbolic_rotation",
    "brightness",
)


@dataclasses.dataclass(frozen=True)
class Measure(Reporting):
    """Measure how far a network is from equivariant, and write a report.

    Prints what the network takes each photograph for, then its local equivariance
    error (LEE) under every action, next to its consistency under shifts. Writes
    OUT/index.html and OUT/results.json, both or none.

    A network of your own is a Python function without arguments that returns it:
    `--model my_models.py:small_resnet` or `--model my.package:small_resnet`. It may be
    any JAX function or module from images [B, H, W, C] to logits [B, K], alone or as a
    tuple (network, preprocess, class_names).

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    actions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ACTIONS
    """The actions to measure."""
    interpolation: Literal["fourier", "cubic", "bilinear"] | None = None
    """How images are interpolated; fourier, or what the stencil needs, if left out."""
    boundary: Literal["reflect", "wrap", "zeros"] | None = None
    """What lies beyond the edge; reflect, or what the stencil needs, if left out."""
    stencil: (
        Literal["fourier", "fourier_even", "central", "cubic", "reference"] | None
    ) = None
    """The derivative on pixels; the one of the interpolation if left out. Values of
    different stencils cannot be compared."""
    readout: Literal["probs", "logits", "top1"] = "probs"
    """What of the network is measured: class probabilities, logits, or the probability
    of the likeliest class."""
    norm: Literal["squared", "mean_abs"] = "squared"
    """LEE as the mean of |Lf|^2 over images (Gruver et al. 2022, eq. 4), or as the mean
    of |Lf_k| over images and outputs (their code)."""
    seed: int = 0
    """Seed of the random shifts, from 0 to 2^32 - 1."""
    pairs: int = 5
    """Pairs of random shifts of each image, for the shift consistencies."""
    shown: int = 8
    """How many photographs the figures show; all are measured."""

    def check(self) -> None:
        """Find what is wrong with the options alone, before anything slow happens.

        Raises:
            UsageError: something is.
        """
        super().check()
        if not self.actions:
            raise UsageError(f"--actions needs at least one of {', '.join(ACTIONS)}")
        for name in self.actions:
            if name not in ACTIONS:
                raise unknown("action", name, ACTIONS)
        if len(set(self.actions)) < len(self.actions):
            raise UsageError("--actions names an action twice")
        self.check_seed(self.seed)
        self.check_positive("pairs", "shown")
