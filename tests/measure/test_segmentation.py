"""Consistency of dense predictions and mean intersection over union."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets.measure.segmentation import mean_iou, segmentation_consistency

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (3, 10, 8, 2))


def pointwise(x):
    return (x[..., 0] > x[..., 1]).astype(jnp.int32)


def by_place(x):
    rows = jnp.arange(x.shape[1])[:, None] // 2 + jnp.zeros(x.shape[2], int)
    return jnp.broadcast_to(rows, x.shape[:3]).astype(jnp.int32)


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("against", ["pair", "unshifted"])
def test_pointwise_predictions_are_consistent_and_fixed_ones_are_not(circular, against):
    options = {"max_shift": 5, "pairs": 3, "circular": circular, "against": against}
    assert segmentation_consistency(pointwise, X, KEY, **options) == 1
    assert segmentation_consistency(by_place, X, KEY, **options) < 0.9


def test_against_an_independent_loop():
    options = {"max_shift": 3, "pairs": 2, "circular": False, "against": "unshifted"}

    def predict(x):
        return (jnp.cumsum(x[..., 0], 1) > 0).astype(jnp.int32)

    expected = []
    for key in jax.random.split(KEY, 2):
        shifts = np.asarray(jax.random.randint(key, (2, 3, 2), -3, 4))[0]
        for image, (dy, dx) in zip(np.asarray(X), shifts, strict=True):
            moved = np.zeros_like(image)
            for i, j in np.ndindex(10, 8):
                if 0 <= i + dy < 10 and 0 <= j + dx < 8:
                    moved[i + dy, j + dx] = image[i, j]
            seen, still = predict(jnp.array(moved[None]))[0], predict(image[None])[0]
            same = [
                seen[i + dy, j + dx] == still[i, j]
                for i, j in np.ndindex(10, 8)
                if 0 <= i + dy < 10 and 0 <= j + dx < 8
            ]
            expected.append(np.mean(same))
    value = segmentation_consistency(predict, X, KEY, **options)
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-6)


def test_ignored_labels_are_those_that_both_predictions_give():
    constant = lambda x: jnp.zeros(x.shape[:3], jnp.int32)
    value = segmentation_consistency(constant, X, KEY, max_shift=2, pairs=1, ignore=0)
    assert np.isnan(value)


def test_mean_iou_against_sets():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 4, (2, 200))
    truth[::9] = 255
    expected = []
    for k in range(4):
        a = {i for i in range(200) if truth[i] == k}
        b = {i for i in range(200) if guess[i] == k and truth[i] != 255}
        expected.append(len(a & b) / len(a | b))
    np.testing.assert_allclose(mean_iou(truth, guess, 6), np.mean(expected), rtol=1e-6)
    assert np.isnan(mean_iou(np.array([255]), np.array([0]), 2))


def test_errors():
    with pytest.raises(ValueError, match="against"):
        segmentation_consistency(
            pointwise, X, KEY, max_shift=1, pairs=1, against="both"
        )
    with pytest.raises(ValueError, match="max_shift"):
        segmentation_consistency(
            pointwise, X, KEY, max_shift=8, pairs=1, circular=False
        )
    with pytest.raises(ValueError, match="integer labels"):
        segmentation_consistency(lambda x: x, X, KEY, max_shift=1, pairs=1)
    with pytest.raises(ValueError, match="shapes differ"):
        mean_iou(np.zeros(3, int), np.zeros(4, int), 2)
    with pytest.raises(ValueError, match="predictions must be"):
        mean_iou(np.zeros(3, int), np.full(3, 7), 2)
