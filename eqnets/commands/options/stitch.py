"""The options of ``eqnets stitch``."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import UsageError
from .base import Reporting, check_model

#: Where EfficientNet-Lite is cut unless the command line says otherwise.
LAYERS = ("blocks.6", "blocks.9", "blocks.10")


@dataclasses.dataclass(frozen=True)
class Stitch(Reporting):
    """Find which layers of one network hold what the layers of another do.

    Runs the front of one network, the donor, into the rest of another, the receiver
    (--model), through filters fitted by least squares. Prints the error of every such
    stitch and the variance that it leaves unexplained, never without the controls: the
    donor's features as they are, a donor without its training, noise that knows the
    label, and noise. Writes OUT/index.html and OUT/results.json, both or none. Every
    second image fits the filters, the others are measured on.

    `eqnets stitch --model nets.py:big --donor nets.py:small --images data.npz --layers
    c3 c5 --donor-layers c2 c4`, or a folder of images with `--labels labels.csv`. A
    network of your own is a Python function without arguments that returns it, as for
    `eqnets measure`. Both see the same images.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    donor: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """The network whose front is used; the receiver itself if left out."""
    donor_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to load instead of the donor's own."""
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH ...")] = LAYERS
    """Layers of the receiver to cut behind, such as blocks.3."""
    donor_layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH ...")] = ()
    """Layers of the donor; those of the receiver if left out."""
    untrained: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """The donor without its training, for a network whose weights cannot be found and
    drawn anew: one that is neither Flax NNX nor bound Linen."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Folder of images, or an .npz with x [n, H, W, C] and perhaps y [n]: floats, taken
    as they are. The photographs that scikit-image ships if left out."""
    labels: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Lines `file name,class number`; what the receiver itself says if left out."""
    crops: int | None = None
    """Random crops of each photograph, as more images; 4 of those of scikit-image, and
    1, the photograph as it is, of others, if left out."""
    kernel: int = 1
    """Side of the filters; odd."""
    constraint: str | None = None
    """permutation, orthogonal, low_rank:RANK, or sparse:CHANNELS; any if left out."""
    steps: int = 0
    """Steps of fine-tuning the filters on the labels, behind the closed form."""
    seeds: int = 1
    """Repetitions with other untrained donors, noise and fine-tuning."""
    seed: int = 0
    """Seed of all that is random, from 0 to 2^32 - 1."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder that keeps compiled programs between runs; eqnets/compiled in the user's
    cache directory if left out."""

    def check(self) -> None:
        """Find what is wrong with the options alone.

        Raises:
            UsageError: something is.
        """
        super().check()
        if self.donor is not None:
            check_model(self.donor, self.donor_weights)
        elif self.donor_weights is not None:
            raise UsageError("--donor-weights needs a --donor to put them in")
        if self.untrained is not None:
            check_model(self.untrained, None)
        for option, layers in (("layers", self.layers), ("donor-layers", self.cut_at)):
            if not layers or len(set(layers)) < len(layers):
                raise UsageError(f"--{option} needs at least one layer, and each once")
        self.check_seed(self.seed)
        self.check_positive("crops", "kernel", "seeds")
        if self.kernel % 2 == 0 or self.steps < 0:
            raise UsageError(
                f"--kernel is odd and --steps not negative; got {self.kernel}, "
                f"{self.steps}"
            )
        kind, _ = parse_constraint(self.constraint)
        if kind not in (None, "sparse") and self.kernel > 1:
            raise UsageError(f"--constraint {kind} is for --kernel 1")

    @property
    def cut_at(self) -> tuple[str, ...]:
        """The donor's layers."""
        return self.donor_layers or self.layers


def parse_constraint(text: str | None) -> tuple[str | None, int | None]:
    """A constraint's name and its number, None for those without.

    >>> parse_constraint("sparse:5"), parse_constraint("orthogonal")
    (('sparse', 5), ('orthogonal', None))
    """
    if text in (None, "permutation", "orthogonal"):
        return text, None
    found = re.fullmatch(r"(low_rank|sparse):(\d+)", text)
    if not found or int(found[2]) < 1:
        raise UsageError(
            f"unknown constraint {text!r}; known: permutation, orthogonal, "
            "low_rank:RANK, sparse:CHANNELS (at least 1)"
        )
    return found[1], int(found[2])
