import dataclasses
import json
import math

import numpy as np
import pytest

from eqnets import report


def assert_same(a, b):
    """Equality through dataclasses, mappings, sequences and arrays; nan equals nan."""
    if dataclasses.is_dataclass(a):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, float) and math.isnan(a):
        assert math.isnan(b)
    elif isinstance(a, tuple):
        assert type(b) is tuple
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("names", [("one",), ("a", "b", "c"), tuple("abcdefg")])
def test_json_round_trip_is_exact(make, names):
    m = make(names)
    again = report.Measurement.from_json(m.to_json())
    assert_same(m, again)
    assert again.to_json() == m.to_json()


def test_json_round_trip_without_crop_and_maps(make):
    m = make()
    m = dataclasses.replace(
        m,
        crop=None,
        crop_reason="a reason",
        curves={},
        pictures=dataclasses.replace(m.pictures, maps={}),
    )
    assert_same(m, report.Measurement.from_json(m.to_json()))


def test_json_is_strict_and_readable(make):
    tree = json.loads(
        make(("one",)).to_json(), parse_constant=lambda text: pytest.fail(text)
    )
    assert tree["lee"]["rotation"]["stderr"] is None
    assert tree["lee"]["rotation"]["per_image"] == [tree["lee"]["rotation"]["mean"]]
    assert tree["lee"]["rotation"]["stencil"] == "fourier_even"
    assert tree["lee"]["brightness"]["stencil"] is None
    assert len(tree["curves"]["rotation"]["t"]) == 9


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_lee_that_is_not_finite_is_not_written(make, value):
    m = make()
    m.lee["rotation"] = dataclasses.replace(m.lee["rotation"], mean=value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        m.to_json()


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "another-3"}'])
def test_another_format_is_refused(text):
    with pytest.raises(ValueError, match="eqnets-measurement-1"):
        report.Measurement.from_json(text)


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (1, 3)])
@pytest.mark.parametrize("block", [1, 2, 3, 16])
def test_block_sums_keep_the_total(shape, block):
    maps = np.random.default_rng(0).normal(size=(2, *shape))
    sums = report.block_sums(maps, block=block)
    assert sums.shape == (2, -(-shape[0] // block), -(-shape[1] // block))
    np.testing.assert_allclose(sums.sum((1, 2)), maps.sum((1, 2)), atol=1e-12)
    corner = maps[:, :block, :block].sum((1, 2))
    np.testing.assert_allclose(sums[:, 0, 0], corner, atol=1e-12)


def test_block_sums_need_a_block():
    with pytest.raises(ValueError, match="at least 1 pixel"):
        report.block_sums(np.ones((1, 2, 2)), block=0)


def test_pixels_invert_the_rescaling():
    raw = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype(np.uint8)
    raw[0, 0, 0] = 0, 255, 7
    pixels, limits = report.to_pixels((raw.astype(np.float32) - 127) / 128)
    np.testing.assert_array_equal(pixels, raw)
    assert limits == (-127 / 128, 1.0)


def test_pixels_of_a_constant_image():
    pixels, limits = report.to_pixels(np.full((1, 2, 2, 1), 3.0))
    assert limits == (3.0, 3.0)
    assert not pixels.any()
