"""Consistency metrics, response curves, the group-sample error, the error map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from eqnets import actions, measure

KEY = jax.random.key(7)


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(0), (6, 12, 12, 1))


def corner(x):
    """The sign of one pixel: depends on every shift."""
    return (x[:, 0, 0, 0] > 0).astype(jnp.int32)


def total(x):
    """The same for every circular shift."""
    return (x.sum((1, 2, 3)) > 0).astype(jnp.int32)


class TestConsistency:
    def test_agreement(self):
        labels = np.array([[1, 2, 3, 4], [1, 2, 0, 4], [1, 0, 3, 4]])
        assert measure.agreement(labels) == 0.5
        assert measure.agreement(labels[:1]) == 1.0
        with pytest.raises(TypeError, match="integer"):
            measure.agreement(labels * 1.0)
        for bad in (labels[0], np.zeros((0, 3), int)):
            with pytest.raises(ValueError, match=r"\[R, B\]"):
                measure.agreement(bad)

    def test_invariant_labels_are_consistent(self, images):
        options = {"max_shift": 11, "pairs": 4}
        assert measure.circular_consistency(total, images, KEY, **options) == 1.0
        assert measure.discrete_consistency(total, images) == 0.0

    def test_is_the_fraction_over_drawn_shifts(self, images):
        """The same shifts drawn again, one image and one roll at a time."""
        got = measure.circular_consistency(corner, images, KEY, max_shift=5, pairs=9)
        shifts = np.asarray(jax.random.randint(KEY, (9, 2, 6, 2), 0, 6))
        x = np.asarray(images)[..., 0]
        same = 0
        for pair in shifts:
            for b in range(6):
                one, two = (np.roll(x[b], s[b], (0, 1))[0, 0] > 0 for s in pair)
                same += one == two
        assert_allclose(got, same / 54)
        assert 0 < got < 1
        again = measure.circular_consistency(corner, images, KEY, max_shift=5, pairs=9)
        assert got == again

    def test_no_shift_changes_nothing(self, images):
        options = {"max_shift": 0, "pairs": 2}
        assert measure.circular_consistency(corner, images, KEY, **options) == 1.0

    def test_windows_stay_inside_and_centred(self, images):
        seen = []
        field = jnp.arange(144.0).reshape(1, 12, 12, 1)

        def spy(x):
            seen.append(np.asarray(x[0, 0, 0, 0]))
            assert x.shape == (1, 6, 6, 1)
            return np.zeros(1, int)

        options = {"crop": 6, "max_shift": 3, "pairs": 60}
        assert measure.shift_consistency(spy, field, KEY, **options) == 1.0
        corners = {(int(v) // 12, int(v) % 12) for v in seen}
        assert corners == {(i, j) for i in range(1, 5) for j in range(1, 5)}

    def test_discrete_consistency_is_an_error(self, images):
        moved = jnp.roll(images, (3, 3), (1, 2))
        want = 1 - np.mean(np.asarray(corner(images) == corner(moved)))
        assert_allclose(measure.discrete_consistency(corner, images, shift=3), want)

    def test_bad_input(self, images):
        ask = measure.circular_consistency
        with pytest.raises(TypeError, match="argmax"):
            ask(lambda x: x.mean((1, 2, 3)), images, KEY, max_shift=1, pairs=1)
        with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
            ask(total, images[0], KEY, max_shift=1, pairs=1)
        with pytest.raises(ValueError, match="pairs"):
            ask(total, images, KEY, max_shift=1, pairs=0)
        with pytest.raises(ValueError, match="max_shift"):
            ask(total, images, KEY, max_shift=-1, pairs=1)
        with pytest.raises(ValueError, match="larger images"):
            measure.shift_consistency(total, images, KEY, crop=10, max_shift=3, pairs=1)


def smooth(x):
    return jnp.tanh(x * jnp.arange(144.0).reshape(12, 12, 1) / 60).mean((1, 2))


class TestFiniteError:
    @pytest.mark.parametrize("name", ["translation_x", "rotation", "brightness"])
    @pytest.mark.usefixtures("x64")
    def test_response_starts_along_its_tangent(self, name, images):
        action = actions.standard()[name]
        x = jnp.asarray(images, jnp.float64)
        curve = measure.response(smooth, action, x, [-1e-7, 0.0, 1e-7, 0.2])
        assert_allclose(curve.distance[0], 1e-7 * curve.slope, rtol=1e-3)
        assert_allclose(curve.distance[2], 1e-7 * curve.slope, rtol=1e-3)
        assert_allclose(curve.distance[1], 0, atol=1e-15)
        want = np.abs(smooth(action(x, 0.2)) - smooth(x))[:, 0]
        assert_allclose(curve.distance[3], want, rtol=1e-10)
        derivative = measure.lie_derivative(smooth, action)(x)[:, 0]
        assert_allclose(curve.slope, np.abs(derivative), rtol=1e-10)

    def test_a_dense_output_is_moved_back(self, images):
        move = actions.translation("x", boundary="wrap")
        curve = measure.response(jnp.tanh, move, images, [3 / 12, 0.1])
        assert_allclose(curve.distance[0], 0, atol=1e-4)
        assert (curve.distance[1] > 0.1).all()

    def test_group_sample_error_averages_drawn_times(self, images):
        action = actions.rotation()
        got = measure.group_sample_error(
            smooth, action, images, KEY, samples=5, max_t=0.3
        )
        times = jax.random.uniform(KEY, (5, 6), minval=-0.3, maxval=0.3)
        want = np.zeros(6)
        for row in times:
            for b, t in enumerate(row):
                one = images[b : b + 1]
                difference = smooth(action(one, t)) - smooth(one)
                want[b] += float(jnp.linalg.norm(difference)) / 5
        assert_allclose(got.per_example, want, rtol=1e-3)
        assert got.stderr > 0
        for bad in ({"samples": 0, "max_t": 1.0}, {"samples": 1, "max_t": 0.0}):
            with pytest.raises(ValueError, match="samples"):
                measure.group_sample_error(smooth, action, images, KEY, **bad)

    def test_error_map_sums_to_the_norm(self, images):
        def classes(x):
            return jnp.concatenate([smooth(x), smooth(x**2)], -1)

        action = actions.rotation()
        shares = measure.error_map(classes, action, images)
        norm = jnp.linalg.norm(measure.lie_derivative(classes, action)(images), axis=-1)
        assert shares.shape == (6, 12, 12)
        assert_allclose(shares.sum((1, 2)), norm, rtol=1e-4)

    def test_error_map_points_at_the_pixels_that_matter(self, images):
        def one_pixel(x):
            return x[:, 4, 7] ** 2

        action = actions.translation("x")
        shares = np.abs(measure.error_map(one_pixel, action, images))
        assert (shares.reshape(6, -1).argmax(1) == 4 * 12 + 7).all()
        assert_array_equal(shares.sum((1, 2)), shares[:, 4, 7])
        nothing = measure.error_map(lambda x: 0 * x.mean((1, 2)), action, images)
        assert_array_equal(nothing, 0)
        with pytest.raises(ValueError, match="do not move"):
            measure.error_map(jnp.tanh, action, images)
