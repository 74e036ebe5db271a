"""Scenes with masks: drawn objects on photographs.

Objects are the stamps of Debian's package ``tuxpaint-stamps-default`` (GPL-2), grounds
the photographs of scikit-image. Scenes are drawn from a seed. Test scenes are other
scenes on other photographs; their objects are those of the training scenes, as the
package has too few of a kind to keep some back.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from eqnets import io

DATA = Path("/usr/share/tuxpaint/stamps")
CLASSES = ("background", "animals", "food", "plants", "vehicles")
LARGEST = 72  # the longer side of an object, in pixels
SMALLEST = 40


class Sources(NamedTuple):
    """What scenes are made of.

    Attributes:
        objects: for every class but the background, RGBA images in [0, 1].
        grounds: RGB photographs in [0, 1], the shorter side twice a scene's.
    """

    objects: tuple[list[np.ndarray], ...]
    grounds: list[np.ndarray]


def load(split: str, size: int = 96, *, folder: Path = DATA) -> Sources:
    """The objects, and the photographs of ``"train"`` or ``"test"`` (every fourth).

    Raises:
        FileNotFoundError: the stamps are not in ``folder``.
    """
    if not all((folder / name).is_dir() for name in CLASSES[1:]):
        raise FileNotFoundError(
            f"there are no stamps in {folder}: `apt-get install "
            "tuxpaint-stamps-default`, or unpack the package and name its folder "
            "of stamps with --data"
        )
    objects = tuple(
        [_stamp(path) for path in _files(folder / name)] for name in CLASSES[1:]
    )
    photographs = _share(io.sample_photographs()[1], split)
    return Sources(objects, [_ground(image, 2 * size) for image in photographs])


def scenes(
    sources: Sources, count: int, seed: int, *, size: int = 96, wrap: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Scenes ``[N, size, size, 3]`` in [0, 1] and labels ``[N, size, size]``.

    One to three objects lie on a part of a photograph; an object that crosses a border
    goes on at the opposite one, or with ``wrap=False`` is cut off there.
    """
    rng = np.random.default_rng(seed)
    x = np.empty((count, size, size, 3), np.float32)
    y = np.zeros((count, size, size), np.int32)
    for image, labels in zip(x, y, strict=True):
        ground = sources.grounds[rng.integers(len(sources.grounds))]
        top, left = (rng.integers(n - size + 1) for n in ground.shape[:2])
        image[:] = ground[top : top + size, left : left + size]
        for _ in range(rng.integers(1, 4)):
            label = int(rng.integers(1, len(CLASSES)))
            choice = sources.objects[label - 1]
            stamp = choice[rng.integers(len(choice))]
            _place(image, labels, stamp, label, rng, wrap)
    return x, y


def _place(
    image: np.ndarray,
    labels: np.ndarray,
    stamp: np.ndarray,
    label: int,
    rng: np.random.Generator,
    wrap: bool,
) -> None:
    from PIL import Image

    scale = rng.integers(SMALLEST, LARGEST + 1) / max(stamp.shape[:2])
    shape = [max(2, round(n * scale)) for n in stamp.shape[1::-1]]
    picture = Image.fromarray(np.uint8(255 * stamp + 0.5)).resize(shape)
    pixels = np.asarray(picture, np.float32) / 255
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    (rows, i), (columns, j) = (
        _places(rng.integers(n), length, n, wrap)
        for n, length in zip(image.shape[:2], pixels.shape[:2], strict=True)
    )
    pixels, place = pixels[np.ix_(i, j)], np.ix_(rows, columns)
    alpha = pixels[..., 3:]
    image[place] = (1 - alpha) * image[place] + alpha * pixels[..., :3]
    labels[place] = np.where(alpha[..., 0] > 0.5, label, labels[place])


def _places(
    at: int, length: int, size: int, wrap: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis, pixels of the scene and the stamp's pixels that lie there.

    A wrapping stamp begins at ``at``, another has its centre there.
    """
    own = np.arange(length)
    if wrap:
        return (at + own) % size, own
    places = at - length // 2 + own
    inside = (places >= 0) & (places < size)
    return places[inside], own[inside]


def _files(folder: Path) -> list[Path]:
    # Scenes mirror their objects themselves.
    every = sorted(folder.rglob("*.png"))
    return [p for p in every if not p.stem.endswith(("_mirror", "_flip"))]


def _share(items: list, split: str) -> list:
    test = {"train": False, "test": True}[split]
    return [item for i, item in enumerate(items) if (i % 4 == 3) == test]


def _stamp(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        picture = image.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    picture.thumbnail((LARGEST, LARGEST))
    return np.asarray(picture, np.float32) / 255


def _ground(image: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    scale = side / min(image.shape[:2])
    shape = [max(side, round(n * scale)) for n in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(shape), np.float32) / 255
