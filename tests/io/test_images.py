import os
import sys

import numpy as np
import pytest
from PIL import Image

from eqnets import io

PICTURE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_folder_is_sorted_and_other_files_are_left_out(tmp_path):
    for i, name in enumerate(["b.png", "a.PNG", "c.bmp"]):
        Image.fromarray(PICTURE + np.uint8(i)).save(tmp_path / name.lower())
        os.rename(tmp_path / name.lower(), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    names, images = io.load_images(tmp_path)
    assert names == ["a.PNG", "b.png", "c.bmp"]
    for i, image in zip([1, 0, 2], images, strict=True):
        np.testing.assert_array_equal(image, PICTURE + np.uint8(i))


def test_every_mode_becomes_colour(tmp_path):
    grey = PICTURE[..., 0]
    stacked = np.repeat(grey[..., None], 3, -1)
    alpha = PICTURE[..., 1]
    share = alpha[..., None] / 255
    on_white = lambda x: x * share + 255 * (1 - share)
    cases = {
        "grey": (grey, stacked, 0),
        "grey16": (grey.astype(np.uint16) * 257, stacked, 0),
        "grey_alpha": (np.stack([grey, alpha], -1), on_white(stacked), 1),
        "colour": (PICTURE, PICTURE, 0),
        "colour_alpha": (np.dstack([PICTURE, alpha]), on_white(PICTURE), 1),
        "bits": (grey > 99, np.where(stacked > 99, 255, 0), 0),
    }
    for name, (array, expected, tolerance) in cases.items():
        image = io.load_image(save(tmp_path / f"{name}.png", array))
        assert image.dtype == np.uint8
        assert image.shape == (5, 7, 3)
        error = np.abs(image.astype(float) - expected)
        assert error.max() <= tolerance, name


def test_palettes_and_their_transparency(tmp_path):
    indexed = Image.fromarray(PICTURE).quantize(8)
    indexed.save(tmp_path / "p.png")
    expected = np.array(indexed.convert("RGB"))
    np.testing.assert_array_equal(io.load_image(tmp_path / "p.png"), expected)
    indexed.save(tmp_path / "t.png", transparency=0)
    expected[np.array(indexed) == 0] = 255
    np.testing.assert_array_equal(io.load_image(tmp_path / "t.png"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = save(tmp_path / "x.png", PICTURE, exif=exif)
    # The EXIF standard: where row 0 and column 0 of the stored pixels belong.
    turn = [
        lambda x: x,
        lambda x: x[:, ::-1],
        lambda x: x[::-1, ::-1],
        lambda x: x[::-1],
        lambda x: x.swapaxes(0, 1),
        lambda x: np.rot90(x, -1),
        lambda x: x[::-1, ::-1].swapaxes(0, 1),
        lambda x: np.rot90(x, 1),
    ][orientation - 1]
    np.testing.assert_array_equal(io.load_image(stored), turn(PICTURE))


def test_errors_name_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing"):
        io.load_images(tmp_path / "missing")
    with pytest.raises(ValueError, match=rf"no images in the folder '{tmp_path}'"):
        io.load_images(tmp_path)
    file = save(tmp_path / "x.png", PICTURE)
    with pytest.raises(NotADirectoryError, match="is a file; give the folder"):
        io.load_images(file)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        io.load_image(tmp_path)
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cannot read the image .*x\.png"):
        io.load_images(tmp_path)
    file.write_text("hello")
    with pytest.raises(ValueError, match=r"cannot read the image .*x\.png"):
        io.load_images(tmp_path)
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=r"x\.tif.*real numbers"):
        io.load_image(tmp_path / "x.tif")


def test_sample_photographs():
    names, images = io.sample_photographs()
    assert len(names) == len(images) == len(set(names)) >= 14
    assert names == sorted(names)
    assert {"astronaut", "chelsea", "coffee", "rocket", "motorcycle_left"} <= {*names}
    for image in images:
        assert image.dtype == np.uint8
        assert image.shape[-1] == 3
        assert image.std() > 2


def test_missing_packages_name_the_extra(tmp_path, monkeypatch):
    file = save(tmp_path / "x.png", PICTURE)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(ImportError, match=r"'PIL'.*pip install 'eqnets\[demo\]'"):
            io.load_image(file)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"scikit-image.*pip install 'eqnets\[demo"):
        io.sample_photographs()
