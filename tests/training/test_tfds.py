"""Large data sets, by stand-ins that have their shapes."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.training import VOC, Optimiser, Run, Tfds
from experiments.training.architectures import Architecture
from experiments.training.config import load
from experiments.training.datasets import IGNORED
from experiments.training.tfds_data import random_area, resized

tfds = pytest.importorskip("tensorflow_datasets")


class Tiny(nnx.Module):
    """Strided patches; logits of an image, or of each pixel."""

    def __init__(self, outputs, pixels, rngs):
        self.pixels = pixels
        self.patches = nnx.Conv(3, 4, (8, 8), (8, 8), rngs=rngs)
        self.head = nnx.Linear(4, outputs, rngs=rngs)

    def __call__(self, x, *, key=None, temperature=1.0):
        y = self.head(jax.nn.relu(self.patches(x)))
        if self.pixels:
            return jax.image.resize(y, (*x.shape[:3], y.shape[-1]), "nearest")
        return y.mean((1, 2))


@dataclasses.dataclass(frozen=True)
class TinyModel(Architecture):
    def build(self, spec, rngs, dtype=None):
        return Tiny(spec.outputs, spec.kind == "segmentation", rngs)


def few_steps(config, **changes):
    small = {"batch": 4, "epochs": 1, "measured": 4, "model": TinyModel()}
    small["optimiser"] = Optimiser(rate=1e-3)
    return dataclasses.replace(config, **small | changes)


@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_the_published_recipes_train(name, tmp_path):
    config = few_steps(load(name))
    if name == "imagenet":
        config = dataclasses.replace(
            config, data=dataclasses.replace(config.data, size=96)
        )
    with tfds.testing.mock_data(num_examples=8):
        result = Run(config, tmp_path, report=lambda line: None).train()
    assert 0 <= result["accuracy"] <= 1
    assert 0 <= result["shift_consistency"] <= 1
    assert result["lee_translation_x"] > 0


def test_masks_of_tfds_train(tmp_path):
    data = Tfds(
        "oxford_iiit_pet",
        outputs=3,
        size=96,
        target="segmentation_mask",
        kind="segmentation",
        first_label=1,
        crop="area",
    )
    config = few_steps(dataclasses.replace(load("cifar10"), data=data))
    with tfds.testing.mock_data(num_examples=8):
        result = Run(config, tmp_path, report=lambda line: None).train()
        example = data.train(0).read(np.array([3]), 1)
        again = data.train(0).read(np.array([3]), 1)
        later = data.train(0).read(np.array([3]), 2)
    assert {"miou", "pixel_accuracy", "mASCC"} <= result.keys()
    assert set(np.unique(example["y"])) <= {0, 1, 2, IGNORED}
    np.testing.assert_array_equal(example["x"], again["x"])
    assert not np.array_equal(example["x"], later["x"])


@pytest.fixture
def devkit(tmp_path):
    """A PASCAL VOC folder of four images; the class is the brightness."""
    root = tmp_path / "VOC2012"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / part).mkdir(parents=True)
    palette = list(range(256)) * 3
    for i in range(4):
        mask = np.zeros((60 + i, 90), np.uint8)
        mask[10:40, 20:70] = i + 1
        mask[10, 20:70] = IGNORED
        picture = np.repeat((40 * mask)[..., None], 3, -1).astype(np.uint8)
        Image.fromarray(picture).save(root / "JPEGImages" / f"{i}.jpg")
        labels = Image.fromarray(mask, mode="P")
        labels.putpalette(palette)
        labels.save(root / "SegmentationClass" / f"{i}.png")
    for name, rows in (("train", "0\n1\n2\n3\n"), ("val", "2\n3\n")):
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(rows)
    return root


def test_voc_trains_from_its_folders(devkit, tmp_path):
    data = VOC(devkit, size=96)
    config = few_steps(dataclasses.replace(load("voc"), data=data), batch=2)
    result = Run(config, tmp_path / "run", report=lambda line: None).train()
    assert 0 <= result["miou"] <= 1
    whole = data.test(0).read(np.array([0]), 0)
    assert whole["x"].shape == (1, 96, 96, 3)
    # A 62 x 90 picture on 96 x 96: below row 62 * 96 / 90 there is nothing.
    assert (whole["y"][0, 68:] == IGNORED).all()
    assert set(np.unique(whole["y"][0, :60])) == {0, 3, IGNORED}
    inside = whole["y"][0] == 3
    assert whole["x"][0][inside].mean() > 90
    assert whole["x"][0][:10].mean() < 30


@pytest.mark.parametrize("format_", ["tfrecord", "array_record"])
def test_data_that_is_not_there_says_how_to_get_it(format_, tmp_path, monkeypatch):
    formats = tfds.core.file_adapters
    monkeypatch.setattr(formats, "DEFAULT_FILE_FORMAT", formats.FileFormat(format_))
    data = dataclasses.replace(load("cifar10").data, folder=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="tfds build cifar10 --file_format"):
        data.train(0)


def test_folders_without_voc_say_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="VOCtrainval_11-May-2012"):
        VOC(Path(tmp_path)).train(0)


def test_crops_cut_image_and_mask_alike():
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 3, (6, 8)), np.ones((10, 10))).astype(np.uint8)
    image = np.stack([mask * 80] * 3, -1)
    for _ in range(5):
        box = random_area(image.shape, rng)
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1
        x, y = resized(image, 32, box), resized(mask, 32, box, smooth=False)
        assert np.abs(x[..., 0] / 80 - y).mean() < 0.2
    np.testing.assert_array_equal(jnp.unique(y), np.unique(y))
