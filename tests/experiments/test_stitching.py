"""The verdicts of the experiments on stitching, on numbers made up for them."""

import numpy as np
import pytest

from experiments import stitch_common, stitch_layers


def seeds(error):
    """Three networks with the same errors, of donors c1 ... c5."""
    pixels = np.full((5, 1), 0.9)
    one = {"error": np.concatenate([pixels, error], 1), "clean": 0.0}
    return [{"self": one}] * 3


def test_a_verdict_is_where_the_interval_is():
    said = stitch_common.judged(
        {"holds": [0.1, 0.2, 0.15], "fails": [-0.1, -0.2, -0.15], "open": [0.3, -0.1]}
    )
    assert said["verdicts"] == {
        "holds": "reappears",
        "fails": "does not",
        "open": "undecided at this size",
    }
    # Student's t of 2 degrees of freedom: 4.303; s / sqrt 3 = 0.02887.
    found = said["intervals"]["holds"]
    np.testing.assert_allclose(
        [found["low"], found["high"]], [0.0258, 0.2742], atol=1e-4
    )
    assert said["statistics"]["open"] == [0.3, -0.1]
    with pytest.raises(ValueError, match="one seed"):
        stitch_common.judged({"alone": [1.0]})


def test_errors_that_follow_the_resolution_are_seen_to():
    found = seeds(stitch_layers.RESOLUTION / 2)
    rho = stitch_layers.correlations(found)
    np.testing.assert_allclose(rho["resolution"], 1)
    assert max(rho["depth gap"]) < 1
    assert stitch_layers.RESOLUTION[0].tolist() == [0, 1, 2, 2, 2]


def test_errors_of_skips_are_told_from_those_of_repeats():
    upper = np.triu(np.ones((5, 5)), 1)
    claims = stitch_layers.claims(seeds(upper))
    worse = claims["deep layers cover shallow ones better than the reverse"]
    np.testing.assert_allclose(worse, 1)
    np.testing.assert_allclose(
        claims["a layer stitched to itself loses at most 3 points"], 0.03
    )
    np.testing.assert_allclose(
        claims["stitched to the pixels every layer errs in more than half"], 0.4
    )


def test_nothing_measured_is_null():
    assert stitch_common.plain(np.array([[0.25, np.nan]])) == [[0.25, None]]
    kept = stitch_common.over([{"a": {"b": [0.25, None]}}], "a", "b")
    np.testing.assert_array_equal(kept, [[0.25, np.nan]])
