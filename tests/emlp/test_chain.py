"""A network that stays in irreps is the network of its layers, one after another."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, models, nn, reps
from eqnets.nn import components, coupled_form
from eqnets.reps.isotypic import irrep_table

from .named import KEY, NAMED, named, quick_first

QUICK = ["SO(2)", "O(3)", "O(5)", "SO+(1,3)", "U(2)", "SL(2)", "Sp(2)", "pauli"]


def layer_by_layer(net, x):
    """Each layer by its public call, on coordinates."""
    for block in net.blocks:
        h = block.linear(x)
        if block.bilinear is not None:
            h = h + block.bilinear(h)
        x = block.gate(h)
    return net.head(x)


@pytest.mark.parametrize("name", quick_first(NAMED, [*QUICK, "S_4", "heisenberg"]))
def test_the_network_is_its_layers(name):
    G = named(name)
    V = reps.vector(G)
    rep_in, rep_out = 2 * V + reps.scalar(G), V + reps.scalar(G)
    net = models.emlp(rep_in, rep_out, G, ch=4 * G.d, num_layers=2, rngs=nnx.Rngs(0))
    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (3, 2, rep_in.size), jnp.float64)
        dual = jax.random.normal(jax.random.key(1), x.shape, jnp.float64)
        whole = jax.jit(lambda v: jax.jvp(net, (v,), (dual,)))(x)
        parts = jax.jit(
            lambda v: jax.jvp(lambda w: layer_by_layer(net, w), (v,), (dual,))
        )(x)
        for found, expected in zip(whole, parts, strict=True):
            size = np.abs(expected).max()
            assert size > 1e-4
            np.testing.assert_allclose(found, expected, atol=1e-12 * size, rtol=1e-9)


@pytest.mark.parametrize("name", [n for n in QUICK if n != "pauli"])
def test_networks_of_irreps_hand_on_components(name):
    """Not by way of coordinates: the layers' own calls are not used."""
    G = named(name)
    V = reps.vector(G)
    net = models.emlp(V, V, G, ch=3 * G.d, num_layers=1, rngs=nnx.Rngs(0))
    x = jax.random.normal(KEY, (2, V.size))
    expected = net(x)
    for layer in (net.blocks[0].linear, net.head):
        layer.columns = None
    np.testing.assert_array_equal(net(x), expected)


def test_gates_of_tensors_with_several_copies_of_an_irrep():
    # V (x) V (x) V holds V three times: one gate for them all.
    G = groups.O(3)
    hidden = 2 * reps.T(G, 3) + 3 * reps.vector(G) + 4 * reps.scalar(G)
    V = reps.vector(G)
    net = models.emlp(V, V, G, ch=hidden, num_layers=2, rngs=nnx.Rngs(0))
    x = jax.random.normal(KEY, (5, 3))
    np.testing.assert_allclose(net(x), layer_by_layer(net, x), rtol=1e-4, atol=1e-6)


def test_a_plain_sum_of_irreps_is_split_by_the_identity():
    G = groups.SO(3)
    table = irrep_table(reps.scalar(G), 2 * reps.vector(G) + 3 * reps.scalar(G))
    assert all(s.is_identity for s in table.summands[1])


@pytest.mark.parametrize("name", ["O(3)", "SO(2)", "U(2)"])
def test_wide_irreps_are_multiplied_without_unrolling(name, monkeypatch):
    G = named(name)
    rep = 2 * reps.vector(G) + reps.T(G, 2) + 2 * reps.scalar(G)
    layer = nn.EquivariantBilinear(rep, rep, gain=1.0, rngs=nnx.Rngs(0))
    x = jax.random.normal(KEY, (4, rep.size))
    expected = jax.vjp(layer, x)[1](layer(x))[0]
    monkeypatch.setattr(coupled_form, "_UNROLLED", 1)
    monkeypatch.setattr(components, "_COPIES", 1)
    found = jax.vjp(layer, x)[1](layer(x))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_without_invariants_scalars_multiply_nothing():
    G = groups.SO(3)
    V = reps.vector(G)
    rep = V + 2 * reps.scalar(G)
    x = np.random.default_rng(0).standard_normal((3, rep.size)).astype(np.float32)
    scalars = np.where(np.arange(rep.size) < V.size, 0, x)
    for invariants in (True, False):
        layer = nn.EquivariantBilinear(
            rep, rep, invariants=invariants, gain=1.0, rngs=nnx.Rngs(0)
        )
        assert (np.abs(layer(scalars)).max() > 1e-3) == invariants
        assert np.abs(layer(x - scalars)).max() > 1e-3
        mixed = layer(x) - layer(scalars) - layer(x - scalars)
        assert (np.abs(mixed).max() > 1e-3) == invariants


def test_without_invariants_a_lifted_product_has_fewer_weights():
    G = groups.heisenberg()
    rep = reps.vector(G) + 2 * reps.scalar(G)
    counts = [
        sum(
            p.size
            for p in nn.EquivariantBilinear(
                rep, rep, invariants=invariants, rngs=nnx.Rngs(0)
            ).kernel.values()
        )
        for invariants in (True, False)
    ]
    assert 0 < counts[1] < counts[0]


def test_scale_makes_weights_larger_and_not_the_outputs():
    G = groups.O(3)
    rep = 3 * reps.vector(G) + 4 * reps.scalar(G)
    x = jax.random.normal(KEY, (4, rep.size))
    plain, scaled = (
        nn.EquivariantBilinear(rep, rep, gain=1.0, scale=s, rngs=nnx.Rngs(0))
        for s in (1.0, 0.1)
    )
    np.testing.assert_allclose(scaled(x), plain(x), rtol=1e-5, atol=1e-6)
    for name, p in plain.kernel.items():
        factor = 1 if name.startswith("mix") else 10
        np.testing.assert_allclose(scaled.kernel[name][...], factor * p[...], rtol=1e-5)


def test_pairs_of_layers_share_irreps():
    G = groups.SO(3)
    chain = [reps.vector(G), 2 * reps.T(G, 2), reps.scalar(G)]
    layers = [
        nn.EquivariantLinear(a, b, bias=False, among=tuple(chain), rngs=nnx.Rngs(0))
        for a, b in pairwise(chain)
    ]
    assert layers[0].form.table is layers[1].form.table
    plain = nn.EquivariantLinear(*chain[:2], bias=False, rngs=nnx.Rngs(0))
    assert layers[0].rank == plain.rank


def test_a_table_without_the_layers_representations_is_refused():
    G = groups.SO(3)
    V, one = reps.vector(G), reps.scalar(G)
    for layer in (nn.EquivariantLinear, nn.EquivariantBilinear):
        with pytest.raises(ValueError, match=r"among must hold .* it lacks 2V"):
            layer(2 * V, V, among=(one, V), rngs=nnx.Rngs(0))
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="scale must be a positive number, got"):
            nn.EquivariantBilinear(V, V, scale=scale, rngs=nnx.Rngs(0))
