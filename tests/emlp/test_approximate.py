import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, models, nn, reps

from .named import KEY, descent, worst_error


def test_residual_pathways_start_nearly_symmetric_and_report_violation():
    V = reps.vector(groups.SO(3))
    rep = 3 * V + reps.T(groups.SO(3), 2)
    layer = nn.ResidualPathwayLinear(rep, 2 * V, rngs=nnx.Rngs(0))
    error = worst_error(layer, rep, 2 * V, jnp.float64)
    assert 1e-6 < error < 1e-2
    assert 1e-5 < layer.violation() < 1e-2
    free = layer.free[...]
    # An equivariant free part is no violation.
    layer.free[...] = jnp.asarray(layer.equivariant.matrix().T)
    assert layer.violation() < 1e-6
    layer.free[...] = free * 1e4
    assert 0.5 < layer.violation() <= 1


def test_the_prior_is_two_weight_decays():
    V = reps.vector(groups.SO(3))
    layer = nn.ResidualPathwayLinear(2 * V, V, rngs=nnx.Rngs(0))

    def total(kind):
        return sum((p**2).sum() for p in jax.tree.leaves(nnx.state(layer, kind)))

    expected = total(nn.EquivariantParam) / 20 + total(nn.FreeParam) / 4
    penalty = nn.prior_penalty(layer, equivariant=10.0, free=2.0)
    np.testing.assert_allclose(penalty, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="positive"):
        nn.prior_penalty(layer, free=0.0)


def test_a_tight_prior_keeps_the_symmetry_of_the_data():
    V = reps.vector(groups.SO(2))
    x = jax.random.normal(KEY, (200, 2))
    turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    found = []
    for target in (turn, turn + jnp.array([[0.5, 0.0], [0.0, 0.0]])):
        layer = nn.ResidualPathwayLinear(V, V, free_scale=1.0, rngs=nnx.Rngs(0))
        graph, params = nnx.split(layer)

        def loss(p, graph=graph, target=target):
            net = nnx.merge(graph, p)
            prior = nn.prior_penalty(net, free=1.0) / len(x)
            return ((net(x) - x @ target.T) ** 2).mean() + prior

        step = descent(loss, 0.1)
        for _ in range(1500):
            params = step(params)
        found.append(nnx.merge(graph, params).violation())
    assert found[0] < 1e-3
    # W - P W = diag(.25, -.25), |W| = sqrt(2.25): 0.24 without a prior.
    assert 0.15 < found[1] < 0.24


def test_relaxed_convolution_starts_equivariant():
    R = reps.regular(groups.dihedral(3))
    layer = nn.RelaxedGroupConv(2 * R, R, kernels=3, rngs=nnx.Rngs(0))
    assert worst_error(layer, 2 * R, R, jnp.float32) < 1e-5
    assert layer.violation() < 1e-6
    layer.relaxed[...] = layer.relaxed[...].at[0, 0].add(1.0)
    assert worst_error(layer, 2 * R, R, jnp.float32) > 1e-3
    assert layer.violation() > 0.1
    with pytest.raises(ValueError, match="permute"):
        nn.RelaxedGroupConv(*[reps.vector(groups.SO(2))] * 2, rngs=nnx.Rngs(0))


def test_residual_networks_start_nearly_symmetric_everywhere():
    G = groups.SO(3)
    V = reps.vector(G)
    net = models.residual_emlp(2 * V, V, G, ch=20, num_layers=1, rngs=nnx.Rngs(0))
    error = worst_error(net, 2 * V, V, jnp.float64)
    assert 1e-7 < error < 1e-2
    found = models.violations(net)
    assert len(found) == 2
    assert 0 < min(found) < max(found) < 0.05
    x = jax.random.normal(KEY, (4, 6))
    dense = models.to_dense(net)
    both = jax.jit(lambda v: (net(v), dense(v)))(x)
    np.testing.assert_allclose(*both, atol=1e-5)
    with pytest.raises(ValueError, match="free weights"):
        models.restrict_to_subgroup(net, groups.trivial(3))


def test_a_free_head_reads_equivariant_features():
    G = groups.symmetric(3)
    V = reps.vector(G)
    net = models.FreeHead(2 * V, 3, G, ch=12, num_layers=1, rngs=nnx.Rngs(0))
    (trunk,) = net.blocks
    hidden = trunk.gate.rep_out
    assert worst_error(trunk, 2 * V, hidden, jnp.float64) < 1e-12
    assert worst_error(net, 2 * V, V, jnp.float64) > 1e-3
