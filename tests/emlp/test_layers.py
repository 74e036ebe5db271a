"""Every layer commutes with every named group, and has all the freedom there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, nn, reps
from eqnets.nn.equivariant import values
from eqnets.nn.linear_forms import BasisForm, IrrepForm, OrbitForm, linear_form

from .named import (
    KEY,
    NAMED,
    TOLERANCE,
    named,
    quick_first,
    some_rep,
    worst_error,
)

BILINEAR = ["trivial", "SO(2)", "O(3)", "lorentz", "SU(2)", "Sp(2)", "D_5", "S_4"]


@pytest.mark.parametrize("name", NAMED)
def test_linear_commutes_and_is_complete(name):
    G = named(name)
    rep, V = some_rep(G), reps.vector(G)
    out = V + reps.scalar(G) if G.d > 5 else V + V * V
    layer = nn.EquivariantLinear(rep, out, rngs=nnx.Rngs(0))
    layer.bias = nnx.data(jax.tree.map(jnp.ones_like, layer.bias))
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(layer, rep, out, dtype) < tolerance
    assert layer.rank == reps.equivariant_basis(rep >> out).rank


@pytest.mark.parametrize(
    "name", ["O(3)", "SO(2)", "U(2)", "S_4", "pauli", "heisenberg"]
)
def test_no_parameter_is_redundant(name):
    G = named(name)
    rep, out = some_rep(G), reps.vector(G) + reps.scalar(G)
    layer = nn.EquivariantLinear(rep, out, rngs=nnx.Rngs(0))
    form = linear_form(rep, out)
    eye = jnp.eye(rep.size, dtype=complex if form.is_complex else float)
    (flat, back) = jax.flatten_util.ravel_pytree(values(layer.kernel))
    jacobian = jax.jit(jax.jacfwd(lambda p: form.apply(back(p), eye).ravel()))(flat)
    stacked = np.concatenate([jacobian.real, jacobian.imag])
    copies = 2 if form.is_complex else 1
    assert np.linalg.matrix_rank(stacked, tol=1e-4) == copies * layer.rank


@pytest.mark.parametrize("name", quick_first(NAMED, BILINEAR))
def test_bilinear_commutes_and_is_quadratic(name):
    G = named(name)
    rep = some_rep(G)
    layer = nn.EquivariantBilinear(rep, rep, gain=1.0, rngs=nnx.Rngs(0))
    for dtype, tolerance in TOLERANCE.items():
        assert worst_error(layer, rep, rep, dtype) < tolerance
    f = jax.jit(lambda v: layer(v))
    x = jax.random.normal(KEY, (2, rep.size))
    np.testing.assert_allclose(f(3 * x), 9 * f(x), rtol=1e-3, atol=1e-4)


def test_bilinear_multiplies_invariants():
    one = reps.scalar(groups.SO(3))
    layer = nn.EquivariantBilinear(3 * one, 2 * one, rngs=nnx.Rngs(0))
    x = np.eye(3, dtype=np.float32)
    squares, mixed = layer(x), layer(x[:1] + x[1:2])[0]
    assert np.abs(squares).min() > 1e-5
    assert np.abs(mixed - squares[0] - squares[1]).max() > 1e-4


def test_bilinear_holds_every_pair_of_irreps():
    # SO(3): scalars, a cross product, v v^T in all three parts, M v.
    V = reps.vector(groups.SO(3))
    layer = nn.EquivariantBilinear(2 * V, V, rngs=nnx.Rngs(0))
    x = np.zeros((1, 6), np.float32)
    x[0, 0] = x[0, 4] = 1
    y = layer(x)[0]
    assert abs(y[2]) > 1e-4
    np.testing.assert_allclose(y[:2], 0, atol=1e-6)
    T2 = reps.T(groups.SO(3), 2)
    y = nn.EquivariantBilinear(2 * V, T2, rngs=nnx.Rngs(0))(x).reshape(3, 3)
    assert abs(y + y.T)[0, 1] > 1e-4
    assert abs(y - y.T)[0, 1] > 1e-4
    assert abs(np.trace(y)) > 1e-4


def test_the_form_is_chosen_by_the_group():
    kinds = {"S_4": OrbitForm, "SO(3)": IrrepForm, "heisenberg": BasisForm}
    for name, kind in kinds.items():
        V = reps.vector(named(name))
        assert isinstance(linear_form(V, V), kind)


def test_products_of_groups():
    a, b = groups.SO(3).factor("a"), groups.O(2).factor("b")
    rep = reps.vector(a) + reps.vector(b) + reps.vector(a) * reps.vector(b)
    layer = nn.EquivariantLinear(rep, rep, rngs=nnx.Rngs(0))
    both = nn.EquivariantBilinear(rep, rep, gain=1.0, rngs=nnx.Rngs(0))
    g = {a: a.sample(KEY), b: b.sample(KEY)}
    x = np.random.default_rng(0).standard_normal((4, rep.size))
    with jax.enable_x64(True):
        for f in map(jax.jit, (lambda v: layer(v), lambda v: both(v))):
            y = np.asarray(f(x))
            np.testing.assert_allclose(
                f(rep.rho_apply(g, x)), rep.rho_apply(g, y), atol=1e-12
            )
        assert np.abs(y).max() > 1e-3
    assert layer.rank == 3


def test_scattered_summands():
    # (V + 1) * (V + 1): the coordinates of one summand are not next to each other.
    G = groups.O(3)
    rep = (reps.vector(G) + reps.scalar(G)) * (reps.vector(G) + reps.scalar(G))
    layer = nn.EquivariantLinear(rep, rep, rngs=nnx.Rngs(0))
    assert worst_error(layer, rep, rep, jnp.float64) < 1e-12
    assert layer.rank == reps.equivariant_basis(rep >> rep).rank


@pytest.mark.parametrize("name", ["O(3)", "SO(2)", "S_4", "B_3", "pauli", "heisenberg"])
def test_fit_inverts_apply(name):
    G = named(name)
    rep, out = some_rep(G), reps.vector(G) + reps.scalar(G)
    form = linear_form(rep, out)
    with jax.enable_x64(True):
        layer = nn.EquivariantLinear(rep, out, bias=False, rngs=nnx.Rngs(1))
        params = values(layer.kernel)
        eye = jnp.eye(rep.size, dtype=complex if form.is_complex else float)
        fitted = form.fit(np.asarray(form.apply(params, eye)))
    for k, v in params.items():
        np.testing.assert_allclose(fitted[k], v, atol=1e-6)


@pytest.mark.parametrize("name", ["O(3)", "SO(2)", "S_4", "heisenberg"])
def test_jit_vmap_grad_and_jvp_agree(name):
    G = named(name)
    rep = reps.vector(G) + 2 * reps.scalar(G)
    linear = nn.EquivariantLinear(rep, rep, rngs=nnx.Rngs(0))
    twice = nn.EquivariantBilinear(rep, rep, gain=1.0, rngs=nnx.Rngs(0))

    def f(v):
        return linear(v) + twice(v)

    @jax.jit
    def derivatives(x, u, v):
        pulled = jax.vjp(f, x)[1](v)[0]
        return jax.vmap(f)(x), f(x[0]), jax.jvp(f, (x,), (u,))[1], pulled

    jitted = jax.jit(f)
    with jax.enable_x64(True):
        x, u, v = jax.random.normal(KEY, (3, 5, rep.size), jnp.float64)
        y = jitted(x)
        mapped, single, tangent, pulled = derivatives(x, u, v)
        np.testing.assert_allclose(mapped, y, atol=1e-12)
        np.testing.assert_allclose(single, y[0], atol=1e-12)
        numeric = (jitted(x + 1e-6 * u) - jitted(x - 1e-6 * u)) / 2e-6
        np.testing.assert_allclose(tangent, numeric, atol=1e-7)
        np.testing.assert_allclose((pulled * u).sum(), (tangent * v).sum(), rtol=1e-9)


def test_layers_need_no_jit():
    V = reps.vector(groups.SO(3))
    layer = nn.EquivariantLinear(2 * V, V, rngs=nnx.Rngs(0))
    x = jnp.ones((2, 6))
    np.testing.assert_allclose(layer(x), jax.jit(lambda v: layer(v))(x), atol=1e-6)


@pytest.mark.parametrize("name", ["O(5)", "SO(2)", "S_4", "SU(3)", "heisenberg"])
def test_initial_outputs_have_unit_variance(name):
    G = named(name)
    V = reps.vector(G)
    rep, out = 40 * V + 40 * reps.scalar(G), 40 * V
    layer = nn.EquivariantLinear(rep, out, rngs=nnx.Rngs(0))
    x = jax.random.normal(KEY, (200, rep.size))
    assert 0.7 < float((jnp.abs(layer(x)) ** 2).mean()) ** 0.5 < 1.4


def test_bad_inputs():
    V = reps.vector(groups.SO(3))
    layer = nn.EquivariantLinear(V, V, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"\[..., 3\]"):
        layer(jnp.ones((2, 4)))
    with pytest.raises(TypeError):
        nn.EquivariantLinear(3, V, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError):
        nn.EquivariantBilinear(V, 3, rngs=nnx.Rngs(0))
