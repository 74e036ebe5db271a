"""``eqnets layerwise``: its options, and the order in which things happen."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .errors import UsageError, unknown
from .measure import ACTIONS, SEEDS, check_model
from .progress import Stages

#: What may count as a layer, besides a number of path components.
DEPTHS = ("operation", "module", "block")


@dataclasses.dataclass(frozen=True)
class Layerwise:
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

    model: str = "efficientnet_lite0"
    """A registered name, one of timm's (with --weights), package.module:function, or
    file.py:function."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to load instead of the model's own: safetensors, or a torch file."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of images; the photographs that scikit-image ships if left out."""
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
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("report")
    """Where the report is written."""
    seed: int = 0
    """Seed of the random probes, from 0 to 2^32 - 1."""
    size: int = 224
    """Side of the input, for a network that brings no preprocessing."""
    batch_size: int = 1
    """Images at a time; more are faster on an accelerator."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder that keeps compiled programs between runs; eqnets/compiled in the user's
    cache directory if left out."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, command: str) -> int:
        """Attribute, write the report, print the tables.

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

            from . import attributing, compiling, job, output

        output.check_writable(self.out)
        with compiling.kept(self.cache) as cost:
            work = job.prepare(self, attributing.built_action(self), stages)
            top = job.classify(work, stages)
            r = attributing.attribute(work, top, stages, cost, command)
        with stages.stage("writing the report"):
            files = {"index.html": report.layer_page(r), "results.json": r.to_json()}
            output.write_together(self.out, files)
        print(report.layer_lines(r), report.layer_table(r), sep="\n\n", flush=True)
        print(f"report: {self.out / 'index.html'}", file=sys.stderr)
        return 0

    def check(self) -> None:
        """Find what is wrong with the options alone, before anything slow happens.

        Raises:
            UsageError: something is.
        """
        check_model(self.model, self.weights)
        if self.action not in ACTIONS:
            raise unknown("action", self.action, ACTIONS)
        number = self.depth.isdecimal() and int(self.depth) >= 1
        if self.depth not in DEPTHS and not number:
            error = unknown("depth", self.depth, DEPTHS)
            raise UsageError(f"{error}, or a number of path components, at least 1")
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"--seed goes from 0 to {SEEDS - 1}; got {self.seed}")
        for option in ("probes", "size", "batch_size"):
            value = getattr(self, option)
            if value is not None and value < 1:
                flag = "--" + option.replace("_", "-")
                raise UsageError(f"{flag} is at least 1; got {value}")
