"""Ideal filters: networks that commute with shifts by any real distance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import actions, models, nn, polyphase

MOVES = [
    actions.translation(axis, interpolation="fourier", boundary="wrap")
    for axis in ("x", "y")
]
X = polyphase.ideal_resize(jax.random.normal(jax.random.key(0), (2, 9, 9, 3)), (16, 16))


def moved(x, right, down):
    """Shifted by fractions of the image."""
    return MOVES[1](MOVES[0](x, right), down)


def gap(f, x=X, *, dense=True):
    """The largest difference after a shift by no whole number of pixels."""
    shift = (0.137, -0.291)
    expected = moved(f(x), *shift) if dense else f(x)
    return float(jnp.abs(f(moved(x, *shift)) - expected).max() / jnp.abs(f(x)).max())


@pytest.mark.parametrize(("before", "after"), [(8, 12), (9, 6), (8, 8), (7, 20)])
def test_resizing_evaluates_the_trigonometric_polynomial(before, after):
    rng = np.random.default_rng(0)
    order = (min(before, after) - 1) // 2
    amplitudes, phases = rng.standard_normal((2, order + 1))

    def wave(n):
        t = 2 * np.pi * np.arange(n) / n
        terms = [
            a * np.cos(k * t + p)
            for k, (a, p) in enumerate(zip(amplitudes, phases, strict=True))
        ]
        return np.sum(terms, 0, dtype=np.float32)[:, None]

    y = polyphase.ideal_resize(wave(before), [after], ndim=1)
    np.testing.assert_allclose(y, wave(after), atol=1e-5)


def test_what_is_exact_and_what_is_not():
    layers = {
        "square": lambda x: polyphase.alias_free(lambda x: x**2 + x, x),
        "cube": lambda x: polyphase.alias_free(lambda x: x**3, x),
        "down": lambda x: polyphase.ideal_downsample(x, 2),
        "gelu": nn.AliasFree(),
        "fine gelu": nn.AliasFree(oversample=4),
    }
    gaps = {name: gap(jax.jit(f)) for name, f in layers.items()}
    assert max(gaps[n] for n in ("square", "cube", "down")) < 1e-5
    # What a function that is no polynomial leaves falls with the oversampling.
    assert gaps["fine gelu"] < 1e-5 < gaps["gelu"] < 5e-3
    assert gap(jax.jit(lambda x: x[:, ::2, ::2])) > 0.1
    assert gap(jax.jit(jax.nn.relu)) > 10 * gaps["gelu"]


def evaluator(model):
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)
    run = jax.jit(lambda params, x: nnx.merge(graph, params)(x))
    return functools.partial(run, params)


@pytest.mark.slow
def test_a_network_of_ideal_filters_moves_masks_by_fractions_of_a_pixel():
    options = {"width": 4, "depth": 1, "rngs": nnx.Rngs(0)}
    ideal = gap(evaluator(models.unet(3, down="ideal", **options)))
    strided = gap(evaluator(models.unet(3, down="strided", **options)))
    selecting = gap(evaluator(models.unet(3, down="aps", **options)))
    assert ideal < 2e-2
    assert min(strided, selecting) > 20 * ideal


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_a_residual_network_is_invariant_to_fractional_shifts(stem):
    x = polyphase.ideal_resize(X, (64, 64))
    options = {"stem": stem, "width": 8, "rngs": nnx.Rngs(0)}
    nets = {d: models.resnet(18, 5, down=d, **options) for d in ("ideal", "aps")}
    gaps = {d: gap(evaluator(net), x, dense=False) for d, net in nets.items()}
    assert gaps["aps"] > 5 * gaps["ideal"]


def test_derivatives_and_batching():
    tangent = jax.random.normal(jax.random.key(1), X.shape)

    @jax.jit
    def slopes(x):
        f = lambda x: polyphase.alias_free(jnp.tanh, x).sum()
        forward = jax.jvp(f, (x,), (tangent,))[1]
        each = jax.vmap(lambda x: polyphase.ideal_downsample(x, 2))(x)
        gap = jnp.abs(each - polyphase.ideal_downsample(x, 2)).max()
        return forward, jnp.vdot(jax.grad(f)(x), tangent), gap

    forward, reverse, gap = slopes(X)
    np.testing.assert_allclose(forward, reverse, rtol=1e-3)
    assert gap < 1e-6


def test_errors():
    with pytest.raises(ValueError, match="expected 2 positive sizes"):
        polyphase.ideal_resize(X, [4])
    with pytest.raises(ValueError, match="oversample must be at least 1"):
        polyphase.alias_free(jnp.tanh, X, oversample=0)
    with pytest.raises(ValueError, match="does not divide size 16"):
        polyphase.ideal_downsample(X, 3)
    with pytest.raises(ValueError, match="has its own filter"):
        models.resnet(18, 2, down="ideal", antialias="tri3", rngs=nnx.Rngs(0))
