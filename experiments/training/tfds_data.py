"""Images of tensorflow-datasets and of PASCAL VOC's own folders, without TensorFlow.

Every image is cropped and resized to one size on the host, since sizes differ; flips
and shifts are the device's. TFDS's ``voc`` has boxes and no masks, so that semantic
segmentation reads the folders that the challenge distributes.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.training.datasets import (
    IGNORED,
    Dataset,
    Example,
    Records,
    Source,
    Spec,
)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Tfds(Dataset):
    """A data set of tensorflow-datasets, read as a random-access ``data_source``.

    Attributes:
        name: TFDS's name, such as ``"cifar10"`` or ``"imagenet2012"``.
        outputs: the number of classes.
        size: side to which images are resized.
        target: the feature that is predicted: ``"label"``, or a mask.
        kind: ``"classification"`` or ``"segmentation"``.
        crop: ``"none"``; or ``"area"``, a random part of 8 to 100 % of the area in
            training, and the central 7/8 in testing.
        first_label: subtracted from masks, whose classes may start at 1.
        train_split: TFDS's name of it, slices allowed.
        test_split: the same.
        mean: by channel, of images in [0, 1].
        std: the same.
        folder: TFDS's data folder, or None for its default.
    """

    name: str
    outputs: int
    size: int
    target: str = "label"
    kind: Literal["classification", "segmentation"] = "classification"
    crop: Literal["none", "area"] = "none"
    first_label: int = 0
    train_split: str = "train"
    test_split: str = "test"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    folder: str | None = None

    def spec(self) -> Spec:
        """Images of ``size`` x ``size``."""
        shape = (self.size, self.size, 3)
        return Spec(self.kind, shape, self.outputs, self.mean, self.std)

    def train(self, seed: int) -> Source:
        """Random crops, if asked for."""
        return Records(self._records(self.train_split), self._decode_train, seed)

    def test(self, seed: int) -> Source:
        """Central crops, if crops were asked for."""
        return Records(self._records(self.test_split), self._decode_test, seed)

    def _records(self, split: str):
        import tensorflow_datasets as tfds

        try:
            return tfds.data_source(
                self.name, split=split, data_dir=self.folder, download=False
            )
        except (
            tfds.core.DatasetNotFoundError,
            NotImplementedError,  # prepared in a format without random access
            AssertionError,
            KeyError,
            OSError,
        ) as error:
            where = "" if self.folder is None else f" --data_dir {self.folder}"
            raise FileNotFoundError(
                f"the data set {self.name!r} (split {split!r}) is not there as "
                f"array_record: {_first_line(error)}. Get it with `tfds build "
                f"{self.name} --file_format=array_record{where}`"
            ) from error

    def _decode_train(self, record: dict, rng: np.random.Generator) -> Example:
        box = random_area(record["image"].shape, rng) if self.crop == "area" else None
        return self._example(record, box)

    def _decode_test(self, record: dict, rng: np.random.Generator) -> Example:
        box = central(record["image"].shape) if self.crop == "area" else None
        return self._example(record, box)

    def _example(self, record: dict, box: Box | None) -> Example:
        x = resized(record["image"], self.size, box)
        y = record[self.target]
        if self.kind == "classification":
            return {"x": x, "y": np.int32(y)}
        mask = resized(np.asarray(y), self.size, box, smooth=False)
        return {"x": x, "y": relabelled(mask, self.first_label, self.outputs)}


@dataclasses.dataclass(frozen=True)
class VOC(Dataset):
    """PASCAL VOC 2012 segmentation, from the challenge's folders.

    Attributes:
        folder: the one that holds ``JPEGImages`` and ``SegmentationClass``.
        size: side of the square crops; 513 as published, made a multiple of the
            network's stride by ``down`` networks (512).
        train_list: a file of ``ImageSets/Segmentation``.
        test_list: the same.
    """

    folder: Path = Path("VOCdevkit/VOC2012")
    size: int = 512
    train_list: str = "train"
    test_list: str = "val"

    def spec(self) -> Spec:
        """Twenty objects and the background."""
        shape = (self.size, self.size, 3)
        return Spec("segmentation", shape, 21, IMAGENET_MEAN, IMAGENET_STD)

    def train(self, seed: int) -> Source:
        """Random scales of .5 to 2 and random windows, as published."""
        return Records(self._pairs(self.train_list), self._decode_train, seed)

    def test(self, seed: int) -> Source:
        """The whole image, its longer side on ``size``."""
        return Records(self._pairs(self.test_list), self._decode_test, seed)

    def _pairs(self, name: str) -> list[tuple[Path, Path]]:
        names = self.folder / "ImageSets" / "Segmentation" / f"{name}.txt"
        if not names.is_file():
            raise FileNotFoundError(
                f"PASCAL VOC is not at {self.folder}: there is no {names.name} in "
                "ImageSets/Segmentation. Unpack VOCtrainval_11-May-2012.tar of the "
                "challenge's site and give --data.folder VOCdevkit/VOC2012"
            )
        return [
            (
                self.folder / "JPEGImages" / f"{line}.jpg",
                self.folder / "SegmentationClass" / f"{line}.png",
            )
            for line in names.read_text().split()
        ]

    def _decode_train(self, pair: tuple, rng: np.random.Generator) -> Example:
        image, mask = _opened(pair)
        scale = rng.uniform(0.5, 2.0)
        corner = rng.random(2)
        return self._window(image, mask, self.size / scale, corner)

    def _decode_test(self, pair: tuple, rng: np.random.Generator) -> Example:
        image, mask = _opened(pair)
        return self._window(image, mask, max(image.size), np.zeros(2))

    def _window(self, image, mask, side: float, corner: np.ndarray) -> Example:
        """A square window; what it shows beyond the image is black and ignored."""
        room = np.array(image.size) - side
        left, top = np.where(room > 0, corner * room, 0)
        box = (round(left), round(top), round(left + side), round(top + side))
        size = (self.size, self.size)
        outside = _framed(mask, box, IGNORED)
        return {
            "x": np.asarray(_framed(image, box, 0).resize(size, 2)),
            "y": np.asarray(outside.resize(size, 0)).astype(np.int32),
        }


def _opened(pair: tuple[Path, Path]):
    from PIL import Image

    image, mask = Image.open(pair[0]).convert("RGB"), Image.open(pair[1])
    return image, mask if mask.mode in ("P", "L") else mask.convert("L")


def _framed(image, box: tuple[int, ...], fill: int):
    """The part of an image in a box that may reach beyond it."""
    from PIL import Image

    mode = "RGB" if image.mode == "RGB" else "L"
    pixels = Image.fromarray(np.asarray(image)) if mode == "L" else image
    colour = (fill,) * 3 if mode == "RGB" else fill
    canvas = Image.new(mode, (box[2] - box[0], box[3] - box[1]), colour)
    canvas.paste(pixels, (-box[0], -box[1]))
    return canvas


def resized(
    image: np.ndarray, size: int, box: Box | None, *, smooth: bool = True
) -> np.ndarray:
    """A part of an image, its box in fractions, on ``size`` x ``size`` pixels.

    Colour images come as ``[H, W, 3]``, masks as ``[H, W]``.
    """
    from PIL import Image

    pixels = np.asarray(image)
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    whole = Image.fromarray(pixels)
    if smooth:
        whole = whole.convert("RGB")
    w, h = whole.size
    part = None if box is None else (box[0] * w, box[1] * h, box[2] * w, box[3] * h)
    return np.asarray(whole.resize((size, size), 2 if smooth else 0, box=part))


def random_area(shape: tuple[int, ...], rng: np.random.Generator) -> Box:
    """A random part of 8 to 100 % of the area, 3:4 to 4:3, in fractions."""
    h, w = shape[:2]
    for _ in range(10):
        area = h * w * rng.uniform(0.08, 1.0)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        a, b = np.sqrt(area * aspect) / w, np.sqrt(area / aspect) / h
        if a <= 1 and b <= 1:
            left, top = rng.uniform(0, 1 - a), rng.uniform(0, 1 - b)
            return left, top, left + a, top + b
    return central(shape)


def central(shape: tuple[int, ...], fraction: float = 7 / 8) -> Box:
    """The central square of ``fraction`` of the shorter side, in fractions."""
    h, w = shape[:2]
    a, b = fraction * min(h, w) / w / 2, fraction * min(h, w) / h / 2
    return 0.5 - a, 0.5 - b, 0.5 + a, 0.5 + b


def relabelled(mask: np.ndarray, first: int, classes: int) -> np.ndarray:
    """Classes from 0 on; anything else is ignored."""
    labels = mask.astype(np.int32) - first
    return np.where((labels >= 0) & (labels < classes), labels, IGNORED)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
