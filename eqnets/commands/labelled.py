"""Images with labels, as a command line names them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from eqnets import io
from eqnets.io.paths import existing_file

from .errors import CommandError
from .network import Network

#: A random crop shows at least so much of the shorter side.
LEAST = 0.6


class Labelled(NamedTuple):
    """What a network is given.

    Attributes:
        x: inputs, ``[n, H, W, C]``.
        labels: class numbers, ``[n]``; None where none are given.
        source: the number of the photograph that each input is made of, ``[n]``.
    """

    x: Float[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, " n"] | None
    source: Int[np.ndarray, " n"]


def read(
    images: Path | None, labels: Path | None, net: Network, *, crops: int, seed: int
) -> Labelled:
    """Images and labels from files, as the network takes them.

    Args:
        images: a folder, an .npz file, or None for the sample photographs.
        labels: lines ``file name,class number``; or None.
        net: the network, which may bring a preprocessing.
        crops: random crops of each photograph; 1 for the photograph as it is.
        seed: of the crops.

    Raises:
        CommandError: the files do not hold what they should.
    """
    if images is not None and images.suffix == ".npz":
        if labels is not None:
            raise CommandError(
                f"--labels names the images of a folder; put the labels into {images} "
                "as an array y [n] of integers"
            )
        return _arrays(images)
    found = io.load_images(images) if images else io.sample_photographs()
    names, photographs = found
    rng, inputs = np.random.default_rng(seed), []
    for photograph in photographs:
        views = [photograph] if crops == 1 else _crops(photograph, crops, rng)
        inputs += [net.input(view) for view in views]
    if len({x.shape for x in inputs}) > 1:
        raise CommandError("the preprocessing gives inputs of different shapes")
    classes = None if labels is None else _classes(labels, names).repeat(crops)
    return Labelled(np.stack(inputs), classes, np.arange(len(names)).repeat(crops))


def _arrays(path: Path) -> Labelled:
    with np.load(existing_file(path), allow_pickle=False) as file:
        found = {name: file[name] for name in ("x", "y") if name in file.files}
    x, y = found.get("x"), found.get("y")
    if x is None or x.ndim != 4 or not np.issubdtype(x.dtype, np.floating):
        what = "no x" if x is None else f"x of {x.dtype} {list(x.shape)}"
        raise CommandError(
            f"{path} has to hold images x [n, H, W, C] of floats, as the network takes "
            f"them, and perhaps labels y [n]; it holds {what}"
        )
    whole = y is None or (y.shape == x.shape[:1] and np.issubdtype(y.dtype, np.integer))
    if not whole:
        raise CommandError(
            f"y in {path} has to be {len(x)} integers, one for each image; it is "
            f"{y.dtype} {list(y.shape)}"
        )
    return Labelled(x.astype(np.float32), y, np.arange(len(x)))


def _classes(path: Path, names: Sequence[str]) -> Int[np.ndarray, " n"]:
    """The class number of every file name."""
    found = {}
    with existing_file(path).open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            if len(row) != 2 or not row[1].strip().isdecimal():
                raise CommandError(
                    f"line {len(found) + 1} of {path} has to be 'file name,class "
                    f"number'; it is {','.join(row)!r}"
                )
            found[row[0].strip()] = int(row[1])
    missing = [name for name in names if name not in found]
    if missing:
        raise CommandError(
            f"{path} has no label for {missing[0]!r}"
            + (f" and {len(missing) - 1} others" if missing[1:] else "")
        )
    return np.array([found[name] for name in names])


def _crops(image: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random squares, of at least `LEAST` of the shorter side."""
    h, w = image.shape[:2]
    made = []
    for _ in range(count):
        side = int(rng.uniform(LEAST, 1.0) * min(h, w))
        top, left = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
        made.append(image[top : top + side, left : left + side])
    return made
