"""The options that the commands which look at a network have in common."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import UsageError, unknown

#: The networks with trained weights, by the names of `models.load_pretrained`.
PRETRAINED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
SEEDS = 2**32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reporting:
    """A command that measures a network on images and writes a report."""

    model: str = "efficientnet_lite0"
    """A registered name, one of timm's (with --weights), package.module:function, or
    file.py:function."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to load instead of the model's own: safetensors, or a torch file."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of images; the photographs that scikit-image ships if left out."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("report")
    """Where the report is written."""
    size: int = 224
    """Side of the input, for a network that brings no preprocessing."""
    batch_size: int = 8
    """Images at a time; lower it if memory runs out."""
    debug: bool = False
    """Show the traceback of an error."""

    def check(self) -> None:
        """Find what is wrong with the options alone, before anything slow happens.

        Raises:
            UsageError: something is.
        """
        check_model(self.model, self.weights)
        self.check_positive("size", "batch_size")

    def check_positive(self, *options: str) -> None:
        """Make sure that options are at least 1, or left out.

        Raises:
            UsageError: one is not.
        """
        for option in options:
            value = getattr(self, option)
            if value is not None and value < 1:
                flag = "--" + option.replace("_", "-")
                raise UsageError(f"{flag} is at least 1; got {value}")

    def check_seed(self, seed: int) -> None:
        """Make sure that a seed is one.

        Raises:
            UsageError: it is not.
        """
        if not 0 <= seed < SEEDS:
            raise UsageError(f"--seed goes from 0 to {SEEDS - 1}; got {seed}")

    def settings(self, *elsewhere: str) -> dict[str, Any]:
        """The options for the report, filled in where they were left out.

        Args:
            *elsewhere: names of options that the report does not list.
        """
        kept = dataclasses.asdict(self)
        for name in ("debug", "out", *elsewhere):
            del kept[name]
        kept["weights"] = kept["weights"] or "the model's own"
        kept["images"] = kept["images"] or "the photographs of scikit-image"
        return {
            name: value if isinstance(value, int | float | tuple | None) else str(value)
            for name, value in kept.items()
        }


def check_model(name: str, weights: Path | None) -> None:
    """Find out whether a model's name can be one, before anything slow happens.

    A name with weights may be one of timm's, which is looked at when the network is
    made.

    Raises:
        UsageError: it cannot.
    """
    if ":" not in name and name not in PRETRAINED and weights is None:
        error = unknown("model", name, PRETRAINED)
        hint = (
            "one of timm's, such as resnet50, needs --weights FILE; one of your own is "
            "package.module:function or file.py:function"
        )
        raise UsageError(f"{error}; {hint}")
