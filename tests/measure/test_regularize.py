"""Consistency and Lie-derivative penalties: their limit, their use in a loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from eqnets import actions, measure

X = np.random.default_rng(0).normal(size=(3, 6, 8, 2))
ROTATION = actions.rotation()


def net(w):
    return lambda x: jnp.tanh(x @ w)[:, ::2, ::2].mean((1, 2))


W = np.random.default_rng(1).normal(size=(2, 3))


@pytest.mark.usefixtures("x64")
class TestLimit:
    def test_consistency_goes_to_the_lie_derivative(self):
        """Eq. 8: E / sigma^2 -> 2 E|L f|^2, with an error that falls as sigma^2."""
        f, x = net(jnp.asarray(W)), jnp.asarray(X)
        limit = measure.lie_regularizer(f, ROTATION, x)
        assert_allclose(limit, measure.lee(f, ROTATION, x).mean, rtol=1e-10)
        keys = jax.random.split(jax.random.key(0), 400)

        @jax.jit
        def mean(sigma):
            penalty = lambda key: measure.consistency_regularizer(
                f, ROTATION, x, key, sigma=sigma
            )
            return jax.lax.map(penalty, keys).mean() / (2 * sigma**2)

        # The same times for both: a noise common to all sigmas cancels.
        fine, middle, coarse = (float(mean(s)) for s in (1e-4, 1e-2, 4e-2))
        # (a - b)^2 of normal times has the relative variance 2
        noise = (2 / (400 * len(X))) ** 0.5
        assert abs(fine / limit - 1) < 4 * noise
        assert abs(middle / fine - 1) < 0.25 * abs(coarse / fine - 1)

    def test_outputs_that_move_are_moved_back(self):
        x = jnp.asarray(X)
        wrap = actions.translation("x", interpolation="fourier", boundary="wrap")
        blur = lambda x: x + jnp.roll(x, 1, 2)
        key = jax.random.key(1)

        @jax.jit
        def penalties(x):
            at = lambda **k: measure.consistency_regularizer(
                blur, wrap, x[:, :, :7], key, sigma=0.3, **k
            )
            invariance = at(action_out=actions.identity())
            return at(), invariance, measure.lie_regularizer(blur, wrap, x)

        moving, still, slope = penalties(x)
        assert moving < 1e-20 < still
        assert slope < 1e-20


def test_training_by_either_makes_the_error_small():
    x = jnp.asarray(X, jnp.float32)
    start = jnp.asarray(W, jnp.float32)

    def trained(penalty, steps=60):
        @jax.jit
        def step(w, key):
            loss = lambda w: penalty(net(w), key) + jnp.sum((w - start) ** 2) / 100
            return w - 0.2 * jax.grad(loss)(w)

        w = start
        for key in jax.random.split(jax.random.key(0), steps):
            w = step(w, key)
        return measure.lee(net(w), ROTATION, x).mean

    before = measure.lee(net(start), ROTATION, x).mean
    sigma = 0.05
    assert trained(lambda f, _: measure.lie_regularizer(f, ROTATION, x)) < before / 2
    consistency = lambda f, key: (
        measure.consistency_regularizer(f, ROTATION, x, key, sigma=sigma)
        / (2 * sigma**2)
    )
    assert trained(consistency) < before / 2


def test_what_does_not_fit_is_refused():
    x, key = jnp.asarray(X, jnp.float32), jax.random.key(0)
    f = net(jnp.asarray(W, jnp.float32))
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        measure.consistency_regularizer(f, ROTATION, x, key, sigma=0)
    with pytest.raises(ValueError, match="batch as its first axis"):
        measure.lie_regularizer(lambda x: f(x).sum(), ROTATION, x)
    with pytest.raises(TypeError, match="no derivative"):
        measure.lie_regularizer(lambda x: f(x).argmax(-1), ROTATION, x)
