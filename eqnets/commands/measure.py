"""``eqnets measure``: its options, and the order in which things happen."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .errors import UsageError, unknown
from .progress import Stages

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
#: The networks with trained weights, by the names of `models.load_pretrained`.
PRETRAINED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
SEEDS = 2**32


@dataclasses.dataclass(frozen=True)
class Measure:
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

    model: str = "efficientnet_lite0"
    """A registered name, one of timm's (with --weights), package.module:function, or
    file.py:function."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to load instead of the model's own: safetensors, or a torch file."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of images; the photographs that scikit-image ships if left out."""
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
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("report")
    """Where the report is written."""
    seed: int = 0
    """Seed of the random shifts, from 0 to 2^32 - 1."""
    pairs: int = 5
    """Pairs of random shifts of each image, for the shift consistencies."""
    shown: int = 8
    """How many photographs the figures show; all are measured."""
    size: int = 224
    """Side of the input, for a network that brings no preprocessing."""
    batch_size: int = 8
    """Images at a time; lower it if memory runs out."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, command: str) -> int:
        """Measure, write the report, print the tables.

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
            # The first import of JAX: seconds that `--help` and typos do not wait for.
            from eqnets import report

            from . import job, measuring, output

        output.check_writable(self.out)
        work = job.prepare(self, measuring.built_actions(self), stages)
        top = job.classify(work, stages)
        print(report.top_table(work.images, top), end="\n\n", flush=True)
        m = measuring.measure_all(work, top, stages, command)
        with stages.stage("writing the report"):
            files = {"index.html": report.page(m), "results.json": m.to_json()}
            output.write_together(self.out, files)
        print(report.lee_table(m), report.lee_lines(m), sep="\n\n", flush=True)
        print(f"report: {self.out / 'index.html'}", file=sys.stderr)
        return 0

    def check(self) -> None:
        """Find what is wrong with the options alone, before anything slow happens.

        Raises:
            UsageError: something is.
        """
        if not self.actions:
            raise UsageError(f"--actions needs at least one of {', '.join(ACTIONS)}")
        check_model(self.model, self.weights)
        for name in self.actions:
            if name not in ACTIONS:
                raise unknown("action", name, ACTIONS)
        if len(set(self.actions)) < len(self.actions):
            raise UsageError("--actions names an action twice")
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"--seed goes from 0 to {SEEDS - 1}; got {self.seed}")
        for option in ("pairs", "shown", "size", "batch_size"):
            if getattr(self, option) < 1:
                flag = "--" + option.replace("_", "-")
                raise UsageError(f"{flag} is at least 1; got {getattr(self, option)}")


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
