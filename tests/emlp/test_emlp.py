"""Whole networks: equivariance, allocation, initialisation, training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, models, reps
from eqnets.models.allocate import uniform_rep

from .named import (
    KEY,
    NAMED,
    TOLERANCE,
    acted,
    descent,
    named,
    quick_first,
    worst_error,
)

QUICK = ["SO(2)", "O(5)", "SO+(1,3)", "SU(2)", "D_5", "S_4", "p4m images"]


@pytest.mark.parametrize("name", quick_first(NAMED, QUICK))
def test_networks_commute(name):
    G = named(name)
    rep_in = 2 * reps.vector(G) + reps.scalar(G)
    net = models.emlp(
        rep_in, reps.vector(G), G, ch=3 * G.d, num_layers=2, rngs=nnx.Rngs(0)
    )
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(net, rep_in, reps.vector(G), dtype) < tolerance


@pytest.mark.parametrize(
    "name", quick_first(NAMED, ["O(3)", "lorentz", "Z_5", "heisenberg"])
)
def test_gradients_commute(name):
    """Those of an invariant are vectors of the dual: grad f(g x) = rho(g)^-T grad."""
    G = named(name)
    rep = 2 * reps.vector(G) + reps.scalar(G)
    if rep.is_complex:
        pytest.skip("JAX differentiates real functions")
    net = models.emlp(
        rep, reps.scalar(G), G, ch=2 * G.d + 4, num_layers=1, rngs=nnx.Rngs(0)
    )
    gradient = jax.jit(jax.vmap(jax.grad(lambda v: net(v)[0])))
    x = np.random.default_rng(0).standard_normal((3, rep.size))
    for dtype, tolerance in TOLERANCE.items():
        with jax.enable_x64(dtype == jnp.float64):
            g = G.sample(KEY)
            at = acted(rep, g, x)
            pulled = np.asarray(gradient(jnp.asarray(x, dtype)))
            expected = acted(rep.dual, g, pulled)
            found = np.asarray(gradient(jnp.asarray(at, dtype)))
            size = max(np.abs(expected).max(), np.abs(at).max(), 1)
            assert np.abs(pulled).max() > 1e-4
            assert np.abs(found - expected).max() < tolerance * size


@pytest.mark.parametrize(
    ("G", "ch"),
    [
        (groups.O(5), 384),
        (groups.SO(3), 100),
        (groups.lorentz(), 384),
        (groups.cyclic(7), 31),
        (groups.trivial(1), 5),
        (groups.SL(2), 50),
        (groups.SO(3), 1),
    ],
)
def test_allocation_spends_the_budget(G, ch):
    rep = uniform_rep(G, ch)
    assert rep.size == ch
    assert uniform_rep(G, ch) == rep


def test_allocation_is_uniform_over_ranks_and_splits_duals():
    G = groups.SL(2)
    V = reps.vector(G)
    # Ranks 0 and 1 twice over: 4 scalars, V and V* in equal shares, then rank 2.
    terms = {t: m for m, t in uniform_rep(G, 12).terms}
    assert terms == {reps.scalar(G): 4, V: 1, V.dual: 1, V * V.dual: 1}
    terms = {t: m for m, t in uniform_rep(groups.O(5), 384).terms}
    V = reps.vector(groups.O(5))
    assert terms == {reps.scalar(groups.O(5)): 134, V: 25, V * V: 5}
    with pytest.raises(ValueError, match="at least 1"):
        uniform_rep(groups.O(5), 0)


def test_groups_must_match():
    V = reps.vector(groups.SO(3))
    with pytest.raises(ValueError, match="belongs to SO"):
        models.emlp(V, V, groups.O(3), ch=8, rngs=nnx.Rngs(0))


def test_construction_under_a_trace_draws_the_same_numbers():
    G = groups.SO(2)
    V = reps.vector(G)

    def make():
        net = models.emlp(V, V, G, ch=24, num_layers=1, rngs=nnx.Rngs(3))
        return nnx.to_pure_dict(nnx.state(net, nnx.Param))

    shapes = jax.eval_shape(make)
    eager, traced = make(), jax.jit(make)()
    jax.tree.map(np.testing.assert_array_equal, eager, traced)
    assert jax.tree.map(jnp.shape, eager) == jax.tree.map(lambda s: s.shape, shapes)


def test_a_network_learns_an_invariant_that_dense_layers_miss():
    G = groups.O(3)
    V = reps.vector(G)
    x = jax.random.normal(KEY, (60, 6))
    y = (x[:, :3] * x[:, 3:]).sum(1, keepdims=True)
    test = jax.random.normal(jax.random.key(1), (300, 6))
    truth = (test[:, :3] * test[:, 3:]).sum(1, keepdims=True)
    errors = []
    for net in (
        models.emlp(2 * V, reps.scalar(G), G, ch=24, num_layers=1, rngs=nnx.Rngs(0)),
        models.mlp(2 * V, reps.scalar(G), ch=24, num_layers=2, rngs=nnx.Rngs(0)),
    ):
        graph, params = nnx.split(net)

        def loss(p, graph=graph):
            return ((nnx.merge(graph, p)(x) - y) ** 2).mean()

        step = descent(loss, 0.03)
        for _ in range(400):
            params = step(params)
        net = nnx.merge(graph, params)
        errors.append(((nnx.jit(net)(test) - truth) ** 2).mean())
    assert errors[0] < 0.3 * errors[1]


def test_augmentation_of_an_equivariant_net_is_the_net():
    G = groups.lorentz()
    V = reps.vector(G)
    net = models.emlp(2 * V, V, G, ch=20, num_layers=1, rngs=nnx.Rngs(0))
    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (4, 8), jnp.float64)
        g = models.group_samples(G, KEY, 4)
        dense = models.mlp(2 * V, V, ch=8, rngs=nnx.Rngs(0))

        @jax.jit
        def differences(x, g):
            nets = (net, dense)
            return [models.augmented(f, 2 * V, V, x, g) - f(x) for f in nets]

        ours, theirs = differences(x, g)
        np.testing.assert_allclose(ours, 0, atol=1e-11)
        assert np.abs(theirs).max() > 1e-3
