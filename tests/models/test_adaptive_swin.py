"""The adaptive Swin transformer: shift-invariant, with a usual one's weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import models
from eqnets.measure import check_equivariance
from eqnets.models.adaptive_swin import attend, embed, merge

SHAPE = (2, 4, 8, (2, 1), (2, 2))
X = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
SHIFTS = [(0, 1), (1, 0), (2, 5), (7, 11), (15, 8)]


def evaluator(model, f=None):
    graph, params = nnx.split(model)
    f = f or (lambda model, x: model(x))
    run = jax.jit(lambda params, x: f(nnx.merge(graph, params), x))
    return functools.partial(run, params)


@pytest.fixture(scope="module")
def net():
    return models.swin(SHAPE, 5, image_size=16, rngs=nnx.Rngs(0))


def test_logits_stay_and_features_move(net):
    run = evaluator(models.AdaptiveSwin(net))
    assert check_equivariance(run, X, shifts=SHIFTS).worst < 1e-5
    assert check_equivariance(evaluator(net), X, shifts=SHIFTS).worst > 1e-3
    features = evaluator(models.AdaptiveSwin(net), lambda m, x: m.features(x)[0])
    report = check_equivariance(
        features, X, shifts=SHIFTS, output="equivariant", stride=2
    )
    assert report.worst < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 16), (32, 16)])
def test_every_shift(size):
    net = models.adaptive_swin(SHAPE, 5, image_size=size, rngs=nnx.Rngs(1))
    x = jax.random.normal(jax.random.key(1), (2, *size, 3))
    report = check_equivariance(evaluator(net), x)
    assert len(report.shifts) == size[0] * size[1]
    assert report.worst < 1e-5


@pytest.mark.slow
def test_each_part_is_the_usual_one_at_its_best_offset(net):
    """At the offset that was chosen, moved to the corner, both compute the same."""
    y = embed(net.patch_embed, X, 1)
    offsets = [(i, j) for i in (0, 1) for j in (0, 1)]
    usual = [np.asarray(net.patch_embed(_back(X, i, j))) for i, j in offsets]
    for b in range(len(X)):
        gaps = [np.abs(u[b] - y[b]).max() for u in usual]
        assert min(gaps) < 1e-5
    down = net.layers[1].downsample
    z = merge(down, y, 1)
    usual = [np.asarray(down(_back(y, i, j))) for i, j in offsets]
    norms = np.stack([np.abs(u).sum((1, 2, 3)) for u in usual])
    for b, best in enumerate(norms.argmax(0)):
        np.testing.assert_allclose(z[b], usual[best][b], atol=1e-5)
    # Without a shift nothing is masked: the block at its anchor is the usual block.
    block = net.layers[0].blocks[0]
    out = np.asarray(attend(block, y, 1))
    usual = [
        np.roll(block(_back(y, i, j)), (i, j), (1, 2))
        for i in range(4)
        for j in range(4)
    ]
    for b in range(len(X)):
        assert min(np.abs(u[b] - out[b]).max() for u in usual) < 1e-5


def _back(x, i, j):
    return jnp.roll(x, (-i, -j), (1, 2))


@pytest.mark.slow
def test_gradients_are_finite_and_reach_every_weight(net):
    model = models.AdaptiveSwin(net)
    graph, params = nnx.split(model)
    loss = lambda params: (nnx.merge(graph, params)(X) ** 2).sum()
    flat = jax.tree.leaves(jax.jit(jax.grad(loss))(params))
    assert all(np.isfinite(g).all() for g in flat)
    assert sum(np.abs(g).max() > 0 for g in flat) >= len(flat) - 4


def test_errors(net):
    with pytest.raises(ValueError, match="windows for images of"):
        models.AdaptiveSwin(net)(X[:, :8])
    with pytest.raises(ValueError, match="not 2"):
        models.adaptive_swin(SHAPE, 5, image_size=16, p=2, rngs=nnx.Rngs(0))
