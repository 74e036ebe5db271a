"""The options of ``eqnets layerwise``."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import UsageError, unknown
from .base import Reporting
from .measure import ACTIONS

#: What may count as a layer, besides a number of path components.
DEPTHS = ("operation", "module", "block")


@dataclasses.dataclass(frozen=True)
class Layerwise(Reporting):
    """Find which layers break equivariance, exactly, and write a report.

    Splits the Lie derivative of a network under one action over its layers: every layer
    gets what it adds to the error at the output, and all of them sum to the error of
    the network. Prints the share of each kind of layer and the largest layers. Writes
    OUT/index.html and OUT/results.json, both or none.

    A network of your own is a Python function without arguments that returns it, as for
    `eqnets measure`; a Flax NNX or bound Linen module lends its layers their paths,
    other functions their jax.named_scope.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    action: Annotated[str, tyro.conf.arg(metavar="NAME")] = "translation_x"
    """How the input moves."""
    stencil: (
        Literal["fourier", "fourier_even", "central", "cubic", "reference"] | None
    ) = None
    """The derivative on pixels; fourier_even if left out."""
    depth: Annotated[str, tyro.conf.arg(metavar="DEPTH")] = "module"
    """What is a layer: operation, module, block, or how many components of a path."""
    readout: Literal["probs", "logits", "top1"] = "probs"
    """What of the network is measured: class probabilities, logits, or the probability
    of the likeliest class (faster for large networks: one number, so reverse mode)."""
    subnetworks: bool = False
    """Also measure the network cut off behind each layer (two images or more)."""
    probes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Also estimate the contributions to the first image by N random probes, and show
    how the estimate approaches the exact value."""
    seed: int = 0
    """Seed of the random probes, from 0 to 2^32 - 1."""
    batch_size: int = 1
    """Images at a time; more are faster on an accelerator."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder that keeps compiled programs between runs; eqnets/compiled in the user's
    cache directory if left out."""

    def check(self) -> None:
        """Find what is wrong with the options alone, before anything slow happens.

        Raises:
            UsageError: something is.
        """
        super().check()
        if self.action not in ACTIONS:
            raise unknown("action", self.action, ACTIONS)
        number = self.depth.isdecimal() and int(self.depth) >= 1
        if self.depth not in DEPTHS and not number:
            error = unknown("depth", self.depth, DEPTHS)
            raise UsageError(f"{error}, or a number of path components, at least 1")
        self.check_seed(self.seed)
        self.check_positive("probes")
