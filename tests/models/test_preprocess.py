import sys

import numpy as np
import pytest

from eqnets import models

PREPROCESS = models.Preprocess(size=16, resize=20, mean=127.0, scale=128.0)


def ramp(height, width):
    """Colours that say where a pixel was: rows in red, columns in green."""
    y, x = np.mgrid[:height, :width]
    blue = np.full_like(x, 200)
    rows, columns = 255 * (y + 0.5) / height, 255 * (x + 0.5) / width
    return np.stack([rows, columns, blue], -1).astype(np.uint8)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (20, 20), (33, 71), (10, 15)])
def test_the_crop_is_the_centre_of_the_resized_image(shape):
    y = PREPROCESS.crop(ramp(*shape))
    assert y.shape == (16, 16, 3)
    assert y.dtype == np.uint8
    assert (y[..., 2] == 200).all()
    # Rows and columns run through the middle 16 of 20 or more pixels.
    long = [round(20 * n / min(shape)) for n in shape]
    for axis, n in enumerate(long):
        first = (n - 16 + 1) // 2
        expected = 255 * (first + np.arange(16) + 0.5) / n
        line = y[:, 8, 0] if axis == 0 else y[8, :, 1]
        np.testing.assert_allclose(line, expected, atol=4)


def test_values_and_batches():
    image = ramp(20, 20)
    y = PREPROCESS(image)
    assert y.dtype == np.float32
    expected = (image[2:18, 2:18].astype(float) - 127) / 128
    np.testing.assert_allclose(y, expected, atol=1e-7)
    for batch in ([image, image], np.stack([image, image]), (image, image)):
        np.testing.assert_array_equal(PREPROCESS(batch), np.stack([y, y]))
    assert PREPROCESS([image, ramp(50, 30)]).shape == (2, 16, 16, 3)


def test_wrong_images_are_refused_in_plain_words():
    # Below the type checker of the tests: what a user without it sees.
    from eqnets.models.preprocess import _check

    with pytest.raises(TypeError, match=r"uint8 .* got float32"):
        _check(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(TypeError, match="got str"):
        _check("photo.png")
    for shape in ((4, 4), (4, 4, 4), (0, 4, 3)):
        with pytest.raises(ValueError, match="expected an image"):
            _check(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="no image"):
        PREPROCESS([])


def test_missing_pillow_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"eqnets\[demo\]"):
        PREPROCESS(ramp(20, 20))
