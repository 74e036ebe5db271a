"""What a command that looks at a network works on: its photographs, its network."""

import dataclasses
import functools
import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

import eqnets
from eqnets import io, report

from . import network
from .errors import CommandError
from .options import Reporting
from .progress import Stages

TOP = 5


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be measured, found and checked.

    Attributes:
        options: of the command line.
        network: the network, with its preprocessing.
        images: names of the photographs.
        photographs: uint8 [h, w, 3], of any sizes.
        actions: by name.
        shape: height, width and channels of the network's input.
        logits: the network, compiled once.
    """

    options: Reporting
    network: network.Network
    images: tuple[str, ...]
    photographs: list[UInt8[np.ndarray, "_ _ 3"]]
    actions: dict[str, Any]
    shape: tuple[int, int, int]
    logits: Callable[[Array], Float[Array, "b k"]]

    def batches(self, *, larger: bool = False) -> Iterator[Float[Array, "b h w c"]]:
        """The preprocessed photographs, a batch at a time."""
        step = self.options.batch_size
        for start in range(0, len(self.images), step):
            yield jnp.asarray(self._inputs(start, start + step, larger))

    def first(self, count: int) -> Float[Array, "b h w c"]:
        """The first preprocessed photographs."""
        return jnp.asarray(self._inputs(0, count, False))

    def _inputs(self, start: int, stop: int, larger: bool) -> np.ndarray:
        chosen = self.photographs[start:stop]
        made = [self.network.input(p, larger=larger) for p in chosen]
        for name, x in zip(self.images[start:stop], made, strict=True):
            if x.shape != made[0].shape:
                raise CommandError(
                    f"the preprocessing gives inputs of different shapes: "
                    f"{list(made[0].shape)} for {self.images[start]}, "
                    f"{list(x.shape)} for {name}; resize and crop to one"
                )
        return np.stack(made)


def prepare(options: Reporting, actions: dict[str, Any], stages: Stages) -> Job:
    """Find the photographs and the network.

    Raises:
        CommandError: one of them is not there or is not what it should be.
    """
    with stages.stage("reading the photographs"):
        images, photographs = _photographs(options.images)
    with stages.stage(f"loading {options.model}"):
        found = network.load(options.model, options.weights, size=options.size)
        shape = found.input(photographs[0]).shape
    logits = compiled(found, min(options.batch_size, len(images)))
    return Job(options, found, images, photographs, actions, shape, logits)


def classify(job: Job, stages: Stages) -> tuple[tuple[report.Guess, ...], ...]:
    """The likeliest classes of each photograph, likeliest first."""
    rows = []
    with stages.stage("classifying", len(job.images)) as advance:
        for x in job.batches():
            logits = job.logits(x)
            _check_logits(job, logits)
            rows += [_top(job, row) for row in np.asarray(jax.nn.softmax(logits))]
            advance(len(rows))
    return tuple(rows)


def _photographs(
    folder: Path | None,
) -> tuple[tuple[str, ...], list[UInt8[np.ndarray, "_ _ 3"]]]:
    if folder is None:
        names, photographs = io.sample_photographs()
    else:
        names, photographs = io.load_images(folder)
    return tuple(names), list(photographs)


def compiled(
    found: network.Network, batch: int
) -> Callable[[Array], Float[Array, "b k"]]:
    """Compile a network for batches of one size; smaller ones are filled up.

    Its arrays are arguments of the compiled function where it is a pytree.
    """
    if jax.tree_util.all_leaves([found.scores]):
        run = jax.jit(found.scores)
    else:
        run = functools.partial(jax.jit(lambda f, x: f(x)), found.scores)

    def logits(x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        missing = max(0, batch - len(x))
        filled = jnp.concatenate([x, jnp.repeat(x[-1:], missing, 0)])
        scores = run(filled)
        if jnp.ndim(scores) != 2 or len(scores) != len(filled):
            raise CommandError(
                f"a report needs a network that gives logits [B, K], here "
                f"[{len(filled)}, K]; {found.name} gives {list(jnp.shape(scores))}"
            )
        return scores[: len(x)]

    return logits


def _check_logits(job: Job, logits: Float[Array, "b k"]) -> None:
    name, names = job.network.name, job.network.class_names
    if names is not None and len(names) != logits.shape[1]:
        raise CommandError(
            f"{name} has {logits.shape[1]} outputs but {len(names)} class names"
        )
    if not jnp.isfinite(logits).all():
        raise CommandError(f"{name} gives logits that are not finite")


def _top(job: Job, probabilities: np.ndarray) -> tuple[report.Guess, ...]:
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    return tuple(
        report.Guess(job.network.label(int(i)), float(probabilities[i])) for i in order
    )


def versions() -> dict[str, str]:
    """The versions of the libraries, and the device."""
    device = jax.devices()[0]
    return {
        "eqnets": eqnets.__version__,
        "Python": platform.python_version(),
        "JAX": jax.__version__,
        "Flax": importlib.metadata.version("flax"),
        "NumPy": np.__version__,
        "device": device.device_kind,
    }
