"""Data sets that a config can name: small ones in memory, large ones by TFDS."""

import abc
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from experiments import fashion_mnist, stamps
from experiments.symmetric_tasks import TASKS

Kind = Literal["classification", "segmentation", "regression"]
Example = dict[str, np.ndarray]
IGNORED = 255  # the label of pixels that count for nothing
_TRAIN, _TEST = 1, 2  # streams of random draws


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a network must take and give.

    Attributes:
        kind: decides the loss and the score.
        shape: of one input; images are ``(H, W, 3)``.
        outputs: classes, or numbers regressed.
        mean: subtracted from images in [0, 1], by channel.
        std: what they are then divided by.
        task: of ``experiments.symmetric_tasks``, where there is one.
    """

    kind: Kind
    shape: tuple[int, ...]
    outputs: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    task: Any = None


class Source(Protocol):
    """Examples by position; ``in_memory`` says that reading many at once is cheap."""

    in_memory: bool

    def __len__(self) -> int: ...

    def read(self, positions: np.ndarray, epoch: int) -> Example:
        """The examples at these positions, stacked: ``x`` and ``y``."""


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A set that lies in memory; uint8 images stay so until they are on the device."""

    x: np.ndarray
    y: np.ndarray
    in_memory = True

    def __len__(self) -> int:
        return len(self.x)

    def read(self, positions: np.ndarray, epoch: int) -> Example:
        """By fancy indexing; every epoch reads the same."""
        return {"x": self.x[positions], "y": self.y[positions]}


@dataclasses.dataclass(frozen=True)
class Records:
    """A set that is read record by record.

    Attributes:
        records: any random-access sequence, such as ``tfds.data_source``.
        decode: ``(record, rng) -> {"x": ..., "y": ...}`` of fixed shapes.
        seed: with the epoch and the position, of the ``rng`` that ``decode`` gets.
    """

    records: Any
    decode: Callable[[Any, np.random.Generator], Example]
    seed: int = 0
    in_memory = False

    def __len__(self) -> int:
        return len(self.records)

    def read(self, positions: np.ndarray, epoch: int) -> Example:
        """One after the other; a crop differs from epoch to epoch."""
        found = []
        for at in positions:
            rng = np.random.default_rng([self.seed, epoch, int(at)])
            found.append(self.decode(self.records[int(at)], rng))
        return {name: np.stack([e[name] for e in found]) for name in found[0]}


@dataclasses.dataclass(frozen=True)
class Dataset(abc.ABC):
    """What a config's ``data`` is: a specification and two splits."""

    @abc.abstractmethod
    def spec(self) -> Spec:
        """Shapes and kind, without reading the data."""

    @abc.abstractmethod
    def train(self, seed: int) -> Source:
        """The training examples."""

    @abc.abstractmethod
    def test(self, seed: int) -> Source:
        """The test examples."""


@dataclasses.dataclass(frozen=True)
class FashionMNIST(Dataset):
    """Fashion-MNIST of Debian's package, framed to 32 x 32.

    Attributes:
        images: training images, of 60,000.
        test_images: of 10,000.
        rotated: each image turned by a random multiple of 90 degrees, once for all.
        folder: of the ``.gz`` files.
    """

    images: int = 60_000
    test_images: int = 10_000
    rotated: bool = False
    folder: Path = fashion_mnist.DATA

    def spec(self) -> Spec:
        """Ten classes of 32 x 32 pixels."""
        return Spec("classification", (32, 32, 3), 10, (0.219,), (0.339,))

    def train(self, seed: int) -> Source:
        """The first ``images`` of the training set."""
        return self._split("train", self.images, [seed, _TRAIN])

    def test(self, seed: int) -> Source:
        """The first ``test_images`` of the test set."""
        return self._split("test", self.test_images, [seed, _TEST])

    def _split(self, name: str, count: int, seed: list[int]) -> Arrays:
        x, y = fashion_mnist.load_uint8(name, count, folder=self.folder)
        if self.rotated:
            turns = np.random.default_rng(seed).integers(4, size=len(x))
            x = np.stack([np.rot90(i, k) for i, k in zip(x, turns, strict=True)])
        return Arrays(x, y)


@dataclasses.dataclass(frozen=True)
class TuxPaint(Dataset):
    """Scenes of ``experiments.stamps``: drawn objects on photographs, with masks.

    Attributes:
        scenes: for training.
        test_scenes: the same kinds of objects on other photographs.
        size: side of a scene, in pixels.
        folder: of the stamps.
    """

    scenes: int = 1600
    test_scenes: int = 200
    size: int = 96
    folder: Path = stamps.DATA

    def spec(self) -> Spec:
        """Four classes of objects and the background."""
        shape = (self.size, self.size, 3)
        return Spec("segmentation", shape, len(stamps.CLASSES), (0.5,), (0.25,))

    def train(self, seed: int) -> Source:
        """Drawn from the seed."""
        return self._scenes("train", self.scenes, [seed, _TRAIN])

    def test(self, seed: int) -> Source:
        """Drawn from another."""
        return self._scenes("test", self.test_scenes, [seed, _TEST])

    def _scenes(self, split: str, count: int, seed: list[int]) -> Arrays:
        sources = stamps.load(split, self.size, folder=self.folder)
        x, y = stamps.scenes(sources, count, seed, size=self.size)
        return Arrays(np.uint8(255 * x + 0.5), y)


@dataclasses.dataclass(frozen=True)
class SymmetricTask(Dataset):
    """A regression task of ``experiments.symmetric_tasks``.

    Attributes:
        name: ``"O5"``, ``"Inertia"`` or ``"Lorentz"``.
        examples: for training.
        test_examples: for the score.
    """

    name: Literal["O5", "Inertia", "Lorentz"] = "O5"
    examples: int = 1000
    test_examples: int = 5000

    def spec(self) -> Spec:
        """The sizes of the task's representations."""
        task = TASKS[self.name]
        x, y = task.draw(np.random.default_rng(0), 1)
        return Spec("regression", x.shape[1:], y.shape[1], task=task)

    def train(self, seed: int) -> Source:
        """Drawn from the seed."""
        return self._draw(self.examples, [seed, _TRAIN])

    def test(self, seed: int) -> Source:
        """Drawn from another."""
        return self._draw(self.test_examples, [seed, _TEST])

    def _draw(self, count: int, seed: list[int]) -> Arrays:
        x, y = TASKS[self.name].draw(np.random.default_rng(seed), count)
        return Arrays(x.astype(np.float32), y.astype(np.float32))
