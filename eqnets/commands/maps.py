"""``eqnets maps``: its options, and the order in which things happen."""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Annotated

import tyro

from .errors import UsageError, unknown
from .measure import PRETRAINED
from .progress import Stages

#: Where EfficientNet-Lite is cut unless the command line says otherwise.
LAYERS = ("stem", "blocks.2", "blocks.4", "blocks.8", "blocks.15", "head")


@dataclasses.dataclass(frozen=True)
class Maps:
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
    model: str = "efficientnet_lite0"
    """A registered name, package.module:function, or file.py:function."""
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH ...")] = LAYERS
    """Layers to cut behind, such as blocks.3."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to load instead of the model's own: safetensors, or a torch file."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of images; the photographs that scikit-image ships if left out."""
    m: int = 1
    """Side of the filters; with few images 1, or there is too much to fit."""
    lam: float = 1e-3
    """Weight of |F|^2 per site in the regression."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("report")
    """Where the report is written."""
    size: int = 224
    """Side of the input, for a network that brings no preprocessing."""
    batch_size: int = 8
    """Images at a time; lower it if memory runs out."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, command: str) -> int:
        """Fit, measure, write the report, print the table.

        Args:
            command: the command line, for the report.

        Returns:
            The exit code 0.

        Raises:
            CommandError: the command cannot be carried out.
        """
        self.check()
        stages = Stages()
        with stages.stage("starting"):
            from eqnets import report

            from . import fitting, output

        output.check_writable(self.out)
        m = fitting.measure_maps(self, stages, command)
        with stages.stage("writing the report"):
            files = {"index.html": report.maps_page(m), "results.json": m.to_json()}
            output.write_together(self.out, files)
        print(report.maps_table(m), flush=True)
        print(f"report: {self.out / 'index.html'}", file=sys.stderr)
        return 0

    def check(self) -> None:
        """Find what is wrong with the options alone.

        Raises:
            UsageError: something is.
        """
        parse_transform(self.transform)
        if ":" not in self.model and self.model not in PRETRAINED:
            error = unknown("model", self.model, PRETRAINED)
            hint = "one of your own is package.module:function or file.py:function"
            raise UsageError(f"{error}; {hint}")
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise UsageError("--layers needs at least one layer, and each once")
        if self.lam < 0:
            raise UsageError(f"--lam is not negative; got {self.lam}")
        for option in ("m", "size", "batch_size"):
            if getattr(self, option) < 1:
                flag = "--" + option.replace("_", "-")
                raise UsageError(f"{flag} is at least 1; got {getattr(self, option)}")


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
