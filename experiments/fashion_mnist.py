"""Fashion-MNIST from Debian's package ``dataset-fashion-mnist``."""

import gzip
from pathlib import Path

import numpy as np

DATA = Path("/usr/share/datasets/fashion-mnist")
_STEMS = {"train": "train", "test": "t10k"}


def load(
    split: str, limit: int | None = None, *, folder: Path = DATA
) -> tuple[np.ndarray, np.ndarray]:
    """The first ``limit`` images ``[N, 32, 32, 3]`` in [0, 1], and labels ``[N]``.

    Raises:
        FileNotFoundError: the files are not in ``folder``.
    """
    pixels, labels = load_uint8(split, limit, folder=folder)
    return (pixels / np.float32(255)).repeat(3, -1), labels


def load_uint8(
    split: str, limit: int | None = None, *, folder: Path = DATA
) -> tuple[np.ndarray, np.ndarray]:
    """The first ``limit`` images ``[N, 32, 32, 1]``, 0 to 255, and labels ``[N]``.

    The 28 x 28 images get a black frame of two pixels, so that a stride of 2 divides
    the size five times.

    Raises:
        FileNotFoundError: the files are not in ``folder``.
    """
    paths = [
        folder / f"{_STEMS[split]}-{kind}-ubyte.gz"
        for kind in ("images-idx3", "labels-idx1")
    ]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"there is no {missing[0]}: `apt-get install dataset-fashion-mnist`, or "
            "unpack the package and name the folder of its .gz files with --data"
        )
    images, labels = (gzip.decompress(path.read_bytes()) for path in paths)
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)[:limit]
    framed = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))[..., None]
    return framed, np.frombuffer(labels, np.uint8, offset=8)[:limit].astype(np.int32)
