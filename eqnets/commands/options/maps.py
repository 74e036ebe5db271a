"""The options of ``eqnets maps``."""

import dataclasses
import re
from typing import Annotated

import tyro

from ..errors import UsageError
from .base import Reporting

#: Where EfficientNet-Lite is cut unless the command line says otherwise.
LAYERS = ("stem", "blocks.2", "blocks.4", "blocks.8", "blocks.15", "head")


@dataclasses.dataclass(frozen=True)
class Maps(Reporting):
    """Find at which layer a network becomes invariant to a transformation.

    At each layer the transformation is undone in feature space: by moving the sites
    alone, and with channels mapped by least squares too. Prints how many labels change
    and how much of the features stays unexplained; writes OUT/index.html and
    OUT/results.json, both or none. Every second image fits the maps, the others count.

    `eqnets maps vflip --out report`, `eqnets maps rotate:90`, `eqnets maps scale:0.7`

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    transform: Annotated[str, tyro.conf.Positional]
    """hflip, vflip, rotate:DEGREES, or scale:FACTOR."""
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH ...")] = LAYERS
    """Layers to cut behind, such as blocks.3."""
    m: int = 1
    """Side of the filters; with few images 1, or there is too much to fit."""
    lam: float = 1e-3
    """Weight of |F|^2 per site in the regression."""

    def check(self) -> None:
        """Find what is wrong with the options alone.

        Raises:
            UsageError: something is.
        """
        super().check()
        parse_transform(self.transform)
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise UsageError("--layers needs at least one layer, and each once")
        if self.lam < 0:
            raise UsageError(f"--lam is not negative; got {self.lam}")
        self.check_positive("m")


def parse_transform(text: str) -> tuple[str, float | None]:
    """A transformation's name and its number, None for flips.

    >>> parse_transform("rotate:90"), parse_transform("hflip")
    (('rotate', 90.0), ('hflip', None))
    """
    if text in ("hflip", "vflip"):
        return text, None
    found = re.fullmatch(r"(rotate|scale):([-+]?\d*\.?\d+)", text)
    if not found or (found[1] == "scale" and float(found[2]) <= 0):
        raise UsageError(
            f"unknown transformation {text!r}; known: hflip, vflip, rotate:DEGREES, "
            "scale:FACTOR (above 0)"
        )
    return found[1], float(found[2])
