"""Restriction to a subgroup, export to dense layers, dynamics, image networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, models, reps
from eqnets.models.gcnn import point_group

from .named import KEY, worst_error

ABOUT_Z = groups.embed(groups.SO(2), 3, (0, 1))


def small_net(G, **options):
    rep_in = 2 * reps.vector(G) + reps.scalar(G)
    return models.emlp(
        rep_in, reps.vector(G), G, ch=13, num_layers=1, rngs=nnx.Rngs(0), **options
    )


def jitted(net):
    return jax.jit(lambda v: net(v))


def test_restriction_keeps_the_function_and_frees_weights():
    net = small_net(groups.O(3))
    free = models.restrict_to_subgroup(net, ABOUT_Z)
    x = jax.random.normal(KEY, (5, net.rep_in.size))
    np.testing.assert_allclose(jitted(free)(x), jitted(net)(x), atol=1e-5)
    assert free.blocks[0].linear.rank > net.blocks[0].linear.rank
    for p in free.blocks[0].linear.kernel.values():
        p[...] = p[...] + 0.3
    # Other weights: no longer equivariant under O(3), still so under the subgroup.
    assert worst_error(free, net.rep_in, net.rep_out, jnp.float32) > 1e-3
    assert worst_error(free, free.rep_in, free.rep_out, jnp.float64) < 1e-12
    with pytest.raises(ValueError, match="coordinates"):
        models.restrict_to_subgroup(net, groups.SO(2))


def test_restricted_representations_are_the_same_matrices():
    G = groups.dihedral(4)
    H = groups.subgroup(G, [[0]])
    V = reps.vector(G)
    rep = 2 * V * reps.regular(G) + V.dual + reps.scalar(G)
    small = reps.restrict(rep, H)
    g = H.sample(KEY)
    np.testing.assert_allclose(small.rho(g), rep.rho(g), atol=1e-12)
    assert small.groups == (H,)
    rank = reps.equivariant_basis(small >> small).rank
    assert rank > reps.equivariant_basis(rep >> rep).rank


@pytest.mark.parametrize(
    "G", [groups.SO(3), groups.symmetric(3), groups.SU(2), groups.U(2)], ids=str
)
def test_dense_export_is_the_same_function(G):
    net = small_net(G)
    dense = models.to_dense(net)
    kind = jnp.complex64 if net.rep_in.is_complex else jnp.float32
    x = jax.random.normal(KEY, (6, net.rep_in.size), kind)
    np.testing.assert_allclose(jitted(dense)(x), jitted(net)(x), atol=2e-5)
    assert dense.head.kernel.dtype == kind
    assert not any("rep" in k for k in vars(dense.blocks[0]))


def test_what_cannot_be_exported_says_so(monkeypatch):
    monkeypatch.setattr("eqnets.models.convert._TENSOR_BYTES", 10_000)
    with pytest.raises(ValueError, match="bilinear=False, or narrower"):
        models.to_dense(small_net(groups.SO(3)))
    with pytest.raises(TypeError, match=r"net must be an EMLP.* got MLP"):
        models.to_dense(models.mlp(3, 1, ch=4, rngs=nnx.Rngs(0)))


def test_hamiltonian_field_is_equivariant_and_conserves():
    G = groups.SO(2)
    V = reps.vector(G)
    energy = models.emlp(
        2 * V, reps.scalar(G), G, ch=20, num_layers=1, rngs=nnx.Rngs(0)
    )
    field = models.hamiltonian_field(energy)
    assert worst_error(field, 2 * V, 2 * V, jnp.float64) < 1e-12
    with jax.enable_x64(True):
        z = jax.random.normal(KEY, (3, 4), jnp.float64)
        dz = jax.jit(field)(z)
        (q, p), (dq, dp) = np.split(z, 2, 1), np.split(dz, 2, 1)
        angular = dq[:, 0] * p[:, 1] + q[:, 0] * dp[:, 1]
        angular -= dq[:, 1] * p[:, 0] + q[:, 1] * dp[:, 0]
        np.testing.assert_allclose(angular, 0, atol=1e-12)
        rate = jax.jit(lambda z, dz: jax.jvp(energy, (z,), (dz,))[1])(z, dz)
        np.testing.assert_allclose(rate, 0, atol=1e-12)


def test_integration_of_a_known_flow():
    field = models.hamiltonian_field(lambda z: (z**2).sum(-1, keepdims=True) / 2)
    times = jnp.linspace(0.0, 3.0, 7)
    z = models.integrate(field, jnp.array([[1.0, 0.0], [0.0, 2.0]]), times)
    expected = np.stack([np.cos(times), -np.sin(times)], 1)
    np.testing.assert_allclose(z[0], expected, atol=1e-4)
    assert z.shape == (2, 7, 2)


def test_derivatives_of_solutions_by_either_mode():
    def field(z):
        return jnp.stack([z[:, 1], -z[:, 0]], 1)  # turns clockwise

    def end(z0, *, forward):
        return models.integrate(field, z0, jnp.array([0.0, 1.0]), forward=forward)[:, 1]

    z0, dz = jnp.array([[1.0, 0.5]]), jnp.array([[0.3, -1.0]])
    c, s = np.cos(1.0), np.sin(1.0)
    turn = np.array([[c, s], [-s, c]])
    _, moved = jax.jvp(lambda z: end(z, forward=True), (z0,), (dz,))
    np.testing.assert_allclose(moved[0], turn @ dz[0], atol=1e-4)
    pulled = jax.grad(lambda z: (end(z, forward=False) * dz).sum())(z0)
    np.testing.assert_allclose(pulled[0], turn.T @ dz[0], atol=1e-4)


@pytest.mark.parametrize(
    ("z0", "times", "message"),
    [
        (np.ones(2), [0.0, 1.0], r"z0 must be states \[B, n\], got shape \(2,\)"),
        (np.ones((1, 2)), [0.0, 2.0, 1.0], "times must increase, or decrease"),
        (np.ones((1, 2)), [0.0, 0.0], "times must increase, or decrease"),
    ],
)
def test_states_and_times_are_checked(z0, times, message):
    with pytest.raises((ValueError, TypeError), match=message + "|Type-check error"):
        models.integrate(lambda z: -z, z0, np.array(times))


def test_a_field_that_runs_away_is_an_error_unless_told_otherwise():
    def field(z):  # z = 1 / (1 - t)
        return z**2

    z0, times = jnp.ones((1, 1)), jnp.array([0.0, 0.5, 2.0])
    with pytest.raises(RuntimeError, match="steps"):
        models.integrate(field, z0, times, max_steps=64)
    z = models.integrate(field, z0, times, max_steps=64, throw=False)
    np.testing.assert_allclose(z[0, :2, 0], [1, 2], rtol=1e-4)
    assert not np.isfinite(z[0, 2, 0])
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        models.integrate(field, z0, times, max_steps=0)


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("z2", groups.translations(6, 6)),
        ("p4", groups.p4_images(6)),
        ("p4m", groups.p4m_images(6)),
    ],
)
def test_image_networks_are_invariant(kind, group):
    net = models.gcnn(kind, 3, channels=2, widths=(2, 2), rngs=nnx.Rngs(0))
    x = np.asarray(jax.random.normal(KEY, (2, 6, 6, 2)))
    net(3 * x + 1)  # statistics of a batch
    net = nnx.view(net, use_running_average=True)
    y = jax.jit(lambda v: net(v))(x)
    rep = reps.vector(group)
    for key in jax.random.split(KEY, 4):
        pixels = x.transpose(0, 3, 1, 2).reshape(2, 2, 36)
        moved = rep.rho_apply(group.sample(key), pixels)
        moved = moved.reshape(2, 2, 6, 6).transpose(0, 2, 3, 1).astype(np.float32)
        np.testing.assert_allclose(net(moved), y, atol=1e-5)
    other = np.asarray(net(x[:, :, ::-1].swapaxes(1, 2)))
    assert (np.abs(other - y).max() < 1e-5) == (kind != "z2")


def test_pooling_keeps_turns_and_gives_up_single_shifts():
    net = models.gcnn("p4m", 3, widths=(2, 3, 2), pool=2, rngs=nnx.Rngs(0))
    x = jax.random.normal(KEY, (3, 8, 12, 1))
    y = net(x)  # normalised by the batch, as in training
    for moved, exact in (
        (jnp.rot90(x, 1, (1, 2)), True),
        (x[:, ::-1], True),
        (jnp.roll(x, (4, -4), (1, 2)), True),
        (jnp.roll(x, 1, 1), False),
    ):
        assert (np.abs(net(moved) - y).max() < 1e-5) == exact
    with pytest.raises(ValueError, match="multiples of 4, got 8 x 10"):
        net(x[:, :, :10])
    with pytest.raises(ValueError, match="pool must be at least 1"):
        models.gcnn("p4", 3, pool=0, rngs=nnx.Rngs(0))


def test_filters_have_the_weights_of_a_group_convolution():
    # A p4 filter bank between regular maps: 4 orientations of a free 3 x 3 filter each.
    net = models.gcnn("p4", 3, widths=(2, 3), rngs=nnx.Rngs(0))
    assert net.layers[1].filter().shape == (3, 3, 8, 12)
    assert sum(p.size for p in jax.tree.leaves(nnx.state(net.layers[1]))) == 2 * 3 * 36
    with pytest.raises(ValueError, match="odd"):
        point_group("p4", 4)
    with pytest.raises(ValueError, match="kind"):
        point_group("p6", 3)
