"""The other published scores permute with the components (Claim 3)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import polyphase as pp

X = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))


def random(shapes, seed=1):
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda s: isinstance(s, tuple))
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    draws = [jax.random.normal(k, s) / 2 for k, s in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, draws)


def conv(inputs, outputs):
    return {"kernel": (3, 3, inputs, outputs), "bias": (outputs,)}


def dense(inputs, outputs):
    return {"kernel": (inputs, outputs), "bias": (outputs,)}


PAIR = {"conv1": conv(3, 4), "conv2": conv(4, 4)}
SCORES = {
    "skip": (pp.skip_scores, {"conv1": conv(3, 3), "conv2": conv(3, 3)}),
    "attention": (pp.attention_scores, {"phi": PAIR, "psi": PAIR, "beta": PAIR}),
    "graph": (
        pp.graph_scores,
        {
            "conv": conv(3, 4),
            "edge1": dense(8, 4),
            "edge2": dense(4, 4),
            "out1": dense(4, 4),
            "out2": dense(4, 1),
        },
    ),
    "perceptron": (pp.perceptron_scores, dense(3, 1)),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_shift_permutes_the_scores(name):
    score, shapes = SCORES[name]
    params = random(shapes)
    run = jax.jit(lambda x: score(pp.split(x, 2), params))
    scores = run(X)
    assert scores.shape == (2, 4)
    assert np.ptp(scores) > 1e-3
    moved = run(jnp.roll(X, (1, 1), (1, 2)))
    np.testing.assert_allclose(moved, scores[:, jnp.array([3, 2, 1, 0])], atol=1e-5)


def test_skip_adds_the_mean_of_the_component():
    score, shapes = SCORES["skip"]
    params, phases = random(shapes), pp.split(X, 2)
    expected = pp.conv_scores(phases, params) + phases.mean((2, 3, 4))
    np.testing.assert_allclose(score(phases, params), expected, atol=1e-5)


def test_attention_of_equal_keys_is_the_mean_value():
    score, shapes = SCORES["attention"]
    params, phases = random(shapes), pp.split(X, 2)
    params["psi"]["conv2"] = jax.tree.map(jnp.zeros_like, params["psi"]["conv2"])
    expected = pp.conv_scores(phases, params["beta"]).mean(-1, keepdims=True)
    expected = jnp.broadcast_to(expected, (2, 4))
    np.testing.assert_allclose(score(phases, params), expected, atol=1e-5)
