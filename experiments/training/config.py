"""What a training run is: one frozen record, every field of which can be overridden."""

import dataclasses
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Literal

from experiments.training.architectures import Architecture
from experiments.training.datasets import Dataset
from experiments.training.optimisers import Optimiser, Temperature

AUGMENTATIONS = ("flip", "crop", "shift", "rotate90")


@dataclasses.dataclass(frozen=True)
class Config:
    """One run, reproducible from this record alone.

    Attributes:
        data: what is learned.
        model: the network.
        optimiser: how the parameters move.
        temperature: of the Gumbel softmax of learned selections.
        epochs: passes over the training examples; the rest of a last, partial batch is
            left out of each.
        batch: examples in a step, over all devices and processes.
        accumulate: parts that a batch is worked through in, one after the other.
        augment: random transformations, on the device: ``"flip"``, ``"crop"`` (of the
            image framed by an eighth), ``"shift"`` (circular), ``"rotate90"``.
        lie_weight: of the squared Lie derivative of the class probabilities, which is
            added to the loss (Gruver et al., 2022, eq. 8); 0 leaves it out.
        lie_action: the transformation that it is taken along.
        weights: a file of weights to start from, such as the ``weights.safetensors``
            that another run ended with; None starts from random ones.
        precision: of the computation; parameters are float32.
        remat: keep no intermediate values for the backward pass: less memory, a
            forward pass more.
        seed: of the parameters, the order of the examples and every random draw.
        log_every: steps between lines of the log.
        evaluate_every: epochs between evaluations.
        measured: test images on which equivariance is measured; 0 leaves it out.
        checkpoint_every: steps between checkpoints.
        keep: checkpoints kept.
        threads: that read and decode examples; for sets that do not fit in memory.
        model_axis: devices that share each large kernel, by its outputs; the batch is
            split over groups of so many.
    """

    data: Dataset
    model: Architecture
    optimiser: Optimiser = dataclasses.field(default_factory=Optimiser)
    temperature: Temperature = dataclasses.field(default_factory=Temperature)
    epochs: int = 10
    batch: int = 128
    accumulate: int = 1
    augment: tuple[Literal["flip", "crop", "shift", "rotate90"], ...] = ()
    lie_weight: float = 0.0
    lie_action: Literal["rotation", "translation_x", "scaling"] = "rotation"
    weights: str | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    seed: int = 0
    log_every: int = 20
    evaluate_every: int = 1
    measured: int = 64
    checkpoint_every: int = 500
    keep: int = 2
    threads: int = 2
    model_axis: int = 1

    def __post_init__(self):
        positive = ("epochs", "batch", "accumulate", "log_every", "evaluate_every")
        for name in (*positive, "checkpoint_every", "keep", "threads", "model_axis"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.batch % self.accumulate:
            raise ValueError(
                f"a batch of {self.batch} does not split into accumulate = "
                f"{self.accumulate} equal parts: make batch a multiple of it"
            )
        if unknown := set(self.augment) - set(AUGMENTATIONS):
            raise ValueError(
                f"augment has {sorted(unknown)}; known are {', '.join(AUGMENTATIONS)}"
            )

        if self.lie_weight < 0:
            raise ValueError(f"lie_weight must be at least 0, got {self.lie_weight}")
        if self.lie_weight and self.data.spec().kind != "classification":
            raise ValueError(
                "lie_weight is for classifiers, whose probabilities it keeps still: "
                "set it to 0"
            )

    def record(self) -> dict:
        """The fields as plain values, with the kinds of the data and the model."""
        return json.loads(json.dumps(_plain(self)))


def _plain(value):
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__} | {
            n: _plain(v) for n, v in fields.items()
        }
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def load(name: str) -> Config:
    """The ``CONFIG`` of a file, or of a module of ``experiments.configs``.

    Raises:
        ValueError: there is no such config, or the file defines none.
    """
    here = Path(__file__).parent.parent / "configs"
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"config: there is no file {name}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        known = sorted(p.stem for p in here.glob("*.py") if p.stem != "__init__")
        if name not in known:
            raise ValueError(
                f"config: there is no {name!r}; there are {', '.join(known)}, or give "
                "the path of a .py file that defines CONFIG"
            )
        module = importlib.import_module(f"experiments.configs.{name}")
    config = getattr(module, "CONFIG", None)
    if not isinstance(config, Config):
        raise ValueError(f"config: {name} defines no CONFIG = Config(...)")
    return config
