"""Unusual and wrong arguments of the equivariant layers and networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, models, nn, reps

KEY = jax.random.key(0)
SO3 = groups.SO(3)
V = reps.vector(SO3)
A, B = groups.SO(2), groups.cyclic(3)
a, b = reps.vector(A), reps.vector(B)
U2 = groups.U(2)
SHEAR = groups.heisenberg()


def rngs():
    return nnx.Rngs(0)


LAYERS = {
    "irreps": lambda: nn.EquivariantLinear(2 * V, V, rngs=rngs()),
    "orbits": lambda: nn.EquivariantLinear(b, b, rngs=rngs()),
    "basis": lambda: nn.EquivariantLinear(
        reps.vector(SHEAR), reps.vector(SHEAR), rngs=rngs()
    ),
    "coupled": lambda: nn.EquivariantBilinear(2 * V, V, rngs=rngs()),
    "lifted": lambda: nn.EquivariantBilinear(
        reps.vector(SHEAR), reps.vector(SHEAR), rngs=rngs()
    ),
    "gated": lambda: nn.GatedNonlinearity(V),
    "norm": lambda: nn.NormNonlinearity(V + V),
    "residual": lambda: nn.ResidualPathwayLinear(V, V, rngs=rngs()),
    "complex": lambda: nn.EquivariantLinear(
        reps.vector(U2), reps.vector(U2), rngs=rngs()
    ),
    "emlp": lambda: models.emlp(V, V, SO3, ch=12, num_layers=1, rngs=rngs()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_batches_of_any_shape_and_inputs_of_any_type(name):
    layer = LAYERS[name]()
    n = layer.rep_in.size
    x = np.arange(6 * n).reshape(2, 3, n) % 5 + 300  # more digits than bfloat16 has
    y = np.asarray(layer(x))
    assert y.dtype in (np.float32, np.complex64)
    np.testing.assert_array_equal(y, layer(x.astype(np.float32)))
    np.testing.assert_allclose(layer(x[1, 2]), y[1, 2], rtol=1e-3, atol=1e-2)
    for shape in ((0,), (2, 0)):
        assert layer(np.zeros((*shape, n), np.float32)).shape == (*shape, y.shape[-1])
    if not layer.rep_in.is_complex:
        for kind in (jnp.bfloat16, jnp.float16):
            assert layer(jnp.ones(n, kind)).dtype == kind


def test_ensembles_are_initialised_under_vmap():
    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=0, out_axes=0)
    def make(rngs):
        return models.emlp(V, V, SO3, ch=8, num_layers=1, rngs=rngs)

    @nnx.vmap(in_axes=(0, None), out_axes=0)
    def apply(net, x):
        return net(x)

    x = jnp.array([1.0, 2.0, 3.0])
    y = apply(make(rngs()), x)
    assert y.shape == (3, 3)
    assert len({float(v) for v in y[:, 0]}) == 3


@pytest.mark.parametrize(
    "layers",
    [
        [a * b, 4 * (a * b) + 4 * reps.scalar(A), a],
        [a + b, 4 * b + 4 * a, b + a],
        [a * b + a, 3 * (a * b) + 3 * b + 3 * reps.scalar(B), reps.scalar(A)],
    ],
    ids=str,
)
def test_layers_may_name_groups_in_any_order(layers):
    net = models.EMLP(layers, rngs=rngs())
    x = np.random.default_rng(0).standard_normal((5, layers[0].size))
    y = np.asarray(net(x.astype(np.float32)))
    assert y.std(0).min() > 1e-3
    g = {A: A.sample(KEY), B: B.sample(KEY)}
    moved = net(layers[0].rho_apply(g, x).astype(np.float32))
    np.testing.assert_allclose(moved, layers[-1].rho_apply(g, y), atol=1e-5)


def test_every_parameter_of_a_bilinear_layer_is_used():
    W = reps.vector(U2)
    for rep_in, rep_out, invariants in (
        (8 * V, 8 * V, True),
        (8 * W + 8 * W.dual, 4 * reps.scalar(U2), False),
        (4 * V + 4 * V * V + 3 * reps.scalar(SO3), 4 * V + 4 * reps.scalar(SO3), False),
    ):
        layer = nn.EquivariantBilinear(
            rep_in, rep_out, invariants=invariants, rngs=rngs()
        )
        graph, params = nnx.split(layer)
        x = np.random.default_rng(0).standard_normal((50, rep_in.size))
        grads = jax.grad(
            lambda p, graph=graph, x=x: (jnp.abs(nnx.merge(graph, p)(x)) ** 2).sum()
        )(params)
        for g in jax.tree.leaves(grads):
            assert (np.asarray(g) != 0).all()


def test_a_bilinear_layer_of_scalars_without_their_products_is_zero():
    one, H = reps.scalar(SHEAR), reps.vector(SHEAR)
    layer = nn.EquivariantBilinear(one, H, invariants=False, rngs=rngs())
    np.testing.assert_array_equal(layer(np.ones((2, 1))), np.zeros((2, 3)))


def test_violations_see_biases():
    layer = nn.ResidualPathwayLinear(V, V, free_scale=0.0, rngs=rngs())
    layer.free_bias[...] = jnp.array([3.0, 0.0, 4.0])  # no vector is invariant
    whole = np.hypot(5.0, np.linalg.norm(layer.matrix()))
    np.testing.assert_allclose(layer.violation(), 5.0 / whole, rtol=1e-6)
    none = nn.ResidualPathwayLinear(reps.scalar(SO3), V, free_scale=0.0, rngs=rngs())
    assert none.violation() == 0.0


def test_free_weights_of_complex_representations_are_complex():
    W = reps.vector(U2)
    layer = nn.ResidualPathwayLinear(W, W, free_scale=1.0, rngs=rngs())
    assert np.abs(layer.matrix().imag).min() > 0
    x = np.array([1.0 + 2j, -1j], np.complex64)
    np.testing.assert_allclose(layer(x), layer.matrix() @ x, atol=1e-5)
    columns = layer.columns(jnp.asarray(x)[:, None])
    np.testing.assert_allclose(columns[:, 0], layer(x), atol=1e-5)
    assert layer.violation() > 0.1


def test_augmentation_takes_integers_and_complex_groups():
    def rescaled(x):
        return 2 * x

    elements = models.group_samples(SO3, KEY, 2)
    x = np.arange(6).reshape(2, 3)
    found = models.augmented(rescaled, V, V, x, elements)
    np.testing.assert_allclose(found, 2 * x, atol=1e-5)
    W = reps.vector(U2)
    seen = []
    elements = models.group_samples(U2, KEY, 1)
    models.augmented(lambda x: seen.append(x) or x, W, W, np.ones((1, 2)), elements)
    np.testing.assert_allclose(seen[0][0], elements[0] @ np.ones(2), atol=1e-6)


def test_a_network_without_hidden_layers_is_restricted():
    G = groups.cyclic(4)
    R = reps.vector(G)
    net = models.emlp(R, R, G, num_layers=0, rngs=rngs())
    freer = models.restrict_to_subgroup(net, groups.subgroup(G, [[0, 0]]))
    x = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
    np.testing.assert_allclose(freer(x), net(x), atol=1e-5)
    assert freer.head.rank == 8


CONSTANT = "would be constant"
BAD = {
    "ch of a float": (lambda: net(ch=16.0), TypeError, "ch must be a size"),
    "ch of a string": (lambda: net(ch="16"), TypeError, "ch must be a size"),
    "ch of floats": (lambda: net(ch=[16.5]), TypeError, "ch must be an integer"),
    "ch of nothing": (lambda: net(ch=0), ValueError, "ch must be at least 1"),
    "layers of a float": (lambda: net(num_layers=2.0), TypeError, "num_layers must"),
    "fewer layers than none": (lambda: net(num_layers=-1), ValueError, "num_layers"),
    "too narrow": (lambda: net(ch=5), ValueError, CONSTANT),
    "another group inside": (
        lambda: net(ch=4 * reps.vector(groups.O(3))),
        ValueError,
        r"in ch belongs to O\(3\)",
    ),
    "two groups": (
        lambda: models.emlp(a * b, a * b, A, rngs=rngs()),
        ValueError,
        "models.EMLP",
    ),
    "a group's name": (
        lambda: models.emlp(V, V, "SO3", rngs=rngs()),
        TypeError,
        "group must be a MatrixGroup",
    ),
    "one representation": (
        lambda: models.EMLP([V], rngs=rngs()),
        ValueError,
        "at least two",
    ),
    "a size among them": (
        lambda: models.EMLP([V, 8, V], rngs=rngs()),
        TypeError,
        r"reps\[1\] must be a representation",
    ),
    "no kernels": (
        lambda: nn.RelaxedGroupConv(b, b, kernels=0, rngs=rngs()),
        ValueError,
        "kernels must be at least 1",
    ),
    "violations of a net that has none": (
        lambda: models.violations(net()),
        TypeError,
        "residual_emlp",
    ),
    "no samples": (
        lambda: models.group_samples(A, KEY, 0),
        ValueError,
        "count must be at least 1",
    ),
    "an odd phase space": (
        lambda: models.hamiltonian_field(lambda z: z[..., :1])(jnp.ones(3)),
        ValueError,
        "as many momenta as positions",
    ),
    "no output": (lambda: models.MLP((3,), rngs=rngs()), ValueError, "at least two"),
    "half a channel": (
        lambda: models.mlp(6.7, 1, rngs=rngs()),
        TypeError,
        "rep_in must be an integer",
    ),
    "a head of nothing": (
        lambda: models.FreeHead(V, 0, SO3, ch=8, num_layers=1, rngs=rngs()),
        ValueError,
        "outputs must be at least 1",
    ),
}


def net(**options):
    return models.emlp(V, V, SO3, **{"ch": 8, "num_layers": 1} | options, rngs=rngs())


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    make, error, message = BAD[name]
    hook = "|Type-check error" if error is TypeError else ""  # comes first in tests
    with pytest.raises(error, match=message + hook):
        make()


def test_sizes_may_be_numpy_integers_and_among_a_list():
    assert net(ch=np.int64(8)).reps == net(ch=8).reps
    among = [V, reps.scalar(SO3)]
    layer = nn.EquivariantLinear(V, V, among=among, rngs=rngs())
    assert layer.among == tuple(among)


def test_a_zero_in_a_lie_algebra_does_no_harm():
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    lie = np.stack([np.zeros((2, 2)), turn])
    assert groups.MatrixGroup(lie_algebra=lie, closed=True).spans_lie_algebra()
