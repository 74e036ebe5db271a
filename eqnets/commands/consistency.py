"""``eqnets consistency``: its options, and the order in which things happen."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from .errors import UsageError
from .measure import check_model
from .progress import Stages


@dataclasses.dataclass(frozen=True)
class Consistency:
    """Shift images circularly by every shift and see which labels change.

    Prints the worst cases, writes OUT/index.html with the heat map of disagreement by
    shift, and OUT/results.json, both or none. The labels of the image as it is are what
    the others are compared with.

    `eqnets consistency --max-shift 16 --step 2`, `eqnets consistency --all-shifts`

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    model: str = "efficientnet_lite0"
    """A registered name, one of timm's (with --weights), package.module:function, or
    file.py:function."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to load instead of the model's own: safetensors, or a torch file."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of images; the photographs that scikit-image ships if left out."""
    max_shift: int = 6
    """The largest shift of either axis, in pixels, both ways."""
    step: int = 2
    """Pixels between the shifts that are tried."""
    all_shifts: bool = False
    """Try every shift of the image instead; takes long on large images."""
    worst: int = 5
    """How many of the worst cases are shown."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("report")
    """Where the report is written."""
    size: int = 224
    """Side of the input, for a network that brings no preprocessing."""
    batch_size: int = 8
    """Images at a time; lower it if memory runs out."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, command: str) -> int:
        """Shift, compare, write the report, print the worst cases.

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

            from . import job, output, shifting

        output.check_writable(self.out)
        work = job.prepare(self, {}, stages)
        m = shifting.measure_shifts(self, work, stages, command)
        with stages.stage("writing the report"):
            files = {"index.html": report.shifts_page(m), "results.json": m.to_json()}
            output.write_together(self.out, files)
        print(report.shifts_table(m), report.shifts_lines(m), sep="\n\n", flush=True)
        print(f"report: {self.out / 'index.html'}", file=sys.stderr)
        return 0

    def check(self) -> None:
        """Find what is wrong with the options alone.

        Raises:
            UsageError: something is.
        """
        check_model(self.model, self.weights)
        for option in ("max_shift", "step", "worst", "size", "batch_size"):
            if getattr(self, option) < 1:
                flag = "--" + option.replace("_", "-")
                raise UsageError(f"{flag} is at least 1; got {getattr(self, option)}")
        if not self.all_shifts and self.step > self.max_shift:
            raise UsageError(
                f"--step {self.step} is beyond --max-shift {self.max_shift}: there is "
                "nothing to try"
            )
