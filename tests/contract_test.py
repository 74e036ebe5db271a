"""The public names, each called once: types and shapes only."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import jax.numpy as jnp
import numpy as np
import pytest

KEY = jax.random.key(0)
IMAGES = jax.random.normal(KEY, (2, 16, 12, 3))
FOURIER = dict(interpolation="fourier", boundary="wrap")


class TestActionsAndMeasure:
    def test_actions(self):
        from eqnets import actions

        made = [
            actions.translation("x"),
            actions.translation("y", **FOURIER),
            actions.rotation(),
            actions.scaling(),
            actions.shear("x"),
            actions.stretch("y"),
            actions.hyperbolic_rotation(),
            actions.brightness(),
            actions.rotation(stencil="reference"),
            actions.affine(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])),
            actions.from_function(lambda x, t: x * jnp.exp(t)),
        ]
        for a in made:
            assert a(IMAGES, 0.0).shape == IMAGES.shape == a.tangent(IMAGES).shape
        assert actions.roll(IMAGES, 1, 2).shape == IMAGES.shape

    def test_measure(self):
        from eqnets import actions, measure

        f = lambda x: jax.nn.softmax(jnp.tanh(x).mean((1, 2)))
        a = actions.translation("x")
        assert measure.lie_derivative(f, a)(IMAGES).shape == (2, 3)
        assert measure.lie_derivative(jnp.tanh, a, a)(IMAGES).shape == IMAGES.shape
        e = measure.lee(f, a, IMAGES)
        assert (
            e.per_example.shape == (2,) and float(e.mean) >= 0 and float(e.stderr) >= 0
        )
        p = lambda x: f(x).argmax(-1)
        assert (
            0
            <= float(measure.circular_consistency(p, IMAGES, KEY, max_shift=3, pairs=2))
            <= 1
        )
        assert float(
            measure.agreement(np.array([[0, 1, 2], [0, 1, 1]]))
        ) == pytest.approx(2 / 3)

    def test_layerwise(self):
        from eqnets import actions, measure

        def net(x):
            with jax.named_scope("first"):
                x = jnp.tanh(x)
            with jax.named_scope("second"):
                return (x**2).mean((1, 2))

        r = measure.layerwise(net, actions.translation("x"), IMAGES)
        assert (
            r.contributions.shape == (len(r.names), 2, 3)
            and r.total.shape == (2, 3)
            and r.norms.shape == (len(r.names),)
        )
        r = measure.layerwise(net, actions.translation("x"), IMAGES, probes=3, key=KEY)
        assert r.norms.shape == r.stderr.shape
