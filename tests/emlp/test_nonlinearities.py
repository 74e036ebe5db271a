import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, nn, reps
from eqnets.nn.nonlinearities import is_permutation, is_unitary

from .named import NAMED, TOLERANCE, named, some_rep, worst_error

UNITARY = [n for n in NAMED if is_unitary(reps.vector(named(n)))]
PERMUTE = [n for n in NAMED if is_permutation(reps.vector(named(n)))]


@pytest.mark.parametrize("name", NAMED)
def test_gates_commute(name):
    layer = nn.GatedNonlinearity(some_rep(named(name)))
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(layer, layer.rep_in, layer.rep, dtype) < tolerance


@pytest.mark.parametrize("name", UNITARY)
def test_norms_commute(name):
    layer = nn.NormNonlinearity(some_rep(named(name)))
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(layer, layer.rep, layer.rep, dtype) < tolerance


@pytest.mark.parametrize("name", ["SO(3)", "lorentz", "SU(2)", "Z_5", "heisenberg"])
def test_tensor_products_commute(name):
    layer = nn.TensorProductNonlinearity(some_rep(named(name)), rngs=nnx.Rngs(0))
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(layer, layer.rep, layer.rep, dtype) < tolerance


@pytest.mark.parametrize("name", PERMUTE)
def test_pointwise_commutes(name):
    layer = nn.PointwiseNonlinearity(reps.vector(named(name)), jnp.tanh)
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(layer, layer.rep, layer.rep, dtype) < tolerance


@pytest.mark.parametrize("name", ["SO(3)", "B_3", "pauli", "scaling", "D_5"])
def test_pointwise_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match="Pacini"):
        nn.PointwiseNonlinearity(reps.vector(named(name)))


@pytest.mark.parametrize("name", ["lorentz", "SL(2)", "heisenberg", "scaling"])
def test_norms_are_refused_where_they_change(name):
    with pytest.raises(ValueError, match="not unitary"):
        nn.NormNonlinearity(reps.vector(named(name)))


def test_what_is_refused_would_not_commute():
    V = reps.vector(groups.SO(3))
    assert worst_error(jnp.tanh, V, V, jnp.float64) > 1e-3


def test_gate_values():
    G = groups.SO(3)
    layer = nn.GatedNonlinearity(2 * reps.vector(G) + reps.scalar(G))
    x = jnp.array([1.0, 2, 3, 4, 5, 6, 7, 0.5, -0.5])
    s = jax.nn.sigmoid
    scales = [s(0.5)] * 3 + [s(-0.5)] * 3 + [s(7.0)]
    np.testing.assert_allclose(layer(x), x[:7] * np.array(scales), rtol=1e-6)
    assert nn.GatedNonlinearity(reps.vector(groups.cyclic(3))).rep_in.size == 3
