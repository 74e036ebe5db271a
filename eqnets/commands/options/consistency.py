"""The options of ``eqnets consistency``."""

import dataclasses

from ..errors import UsageError
from .base import Reporting


@dataclasses.dataclass(frozen=True)
class Consistency(Reporting):
    """Shift images circularly by every shift and see which labels change.

    Prints the worst cases, writes OUT/index.html with the heat map of disagreement by
    shift, and OUT/results.json, both or none. The labels of the image as it is are what
    the others are compared with.

    `eqnets consistency --max-shift 16 --step 2`, `eqnets consistency --all-shifts`

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    max_shift: int = 6
    """The largest shift of either axis, in pixels, both ways."""
    step: int = 2
    """Pixels between the shifts that are tried."""
    all_shifts: bool = False
    """Try every shift of the image instead; takes long on large images."""
    worst: int = 5
    """How many of the worst cases are shown."""

    def check(self) -> None:
        """Find what is wrong with the options alone.

        Raises:
            UsageError: something is.
        """
        super().check()
        self.check_positive("max_shift", "step", "worst")
        if not self.all_shifts and self.step > self.max_shift:
            raise UsageError(
                f"--step {self.step} is beyond --max-shift {self.max_shift}: there is "
                "nothing to try"
            )
