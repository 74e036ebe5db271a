import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from flax.core import freeze

from eqnets import functional

X = jax.random.normal(jax.random.key(1), (4, 6, 5, 3))
T = jax.random.normal(jax.random.key(2), (7, *X.shape))


class Net(nnx.Module):
    """Layers that have a mode, a list, a fixed filter and shared weights."""

    def __init__(self, *, rngs):
        self.convs = nnx.List([nnx.Conv(3, 3, (3, 3), rngs=rngs) for _ in range(2)])
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.filter = nnx.Variable(jnp.array([0.25, 0.5, 0.25]))
        self.head = nnx.Linear(3, 2, rngs=rngs)
        self.again = self.head
        # Statistics and scales away from their initial values.
        self.norm.mean[...] = jnp.array([0.1, -0.2, 0.3])
        self.norm.var[...] = jnp.array([0.5, 2.0, 1.5])

    def __call__(self, x, *, scale=1.0):
        for conv in self.convs:
            x = self.dropout(jax.nn.tanh(self.norm(conv(x))))
        return self.again(x.mean((1, 2)) * self.filter[...]) * scale


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, *, train: bool):
        x = linen.Conv(4, (3, 3))(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        x = linen.Dropout(0.5, deterministic=not train)(x)
        return linen.Dense(2)(jax.nn.tanh(x).mean((1, 2)))


def reference(model):
    """The evaluation mode as NNX itself provides it."""
    copy = nnx.clone(model)
    copy.eval()
    return copy


@pytest.fixture(scope="module")
def net():
    return Net(rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def linen_net():
    module = LinenNet()
    variables = module.init(jax.random.key(0), X, train=False)
    variables["batch_stats"] = jax.tree.map(lambda a: a + 0.3, variables["batch_stats"])
    return module, variables


@pytest.fixture(scope="module", params=["nnx", "linen"])
def network(request, net, linen_net):
    """The parts of a network, and the network itself in evaluation."""
    if request.param == "nnx":
        return functional.pure(net), reference(net)
    module, variables = linen_net
    expected = lambda x: module.apply(variables, x, train=False)
    return functional.pure(module, variables, train=False), expected


def test_jit_and_vmap_agree_with_the_module(network):
    f, expected = network
    y = f.apply(f.params, f.state, X)
    np.testing.assert_allclose(y, expected(X), atol=1e-6)
    np.testing.assert_allclose(jax.jit(f.apply)(f.params, f.state, X), y, atol=1e-6)
    one = jax.vmap(f.apply, (None, None, 0))(f.params, f.state, X[:, None])
    np.testing.assert_allclose(one[:, 0], y, atol=1e-6)


def test_tangents_agree_with_the_reverse_mode(network):
    f, _ = network

    @jax.jit
    def tangents(params, state, x, ts):
        push = lambda t: jax.jvp(lambda x: f.apply(params, state, x), (x,), (t,))
        return jax.vmap(push, out_axes=(None, 0))(ts)

    y, dy = tangents(f.params, f.state, X, T)
    np.testing.assert_allclose(y, f.apply(f.params, f.state, X), atol=1e-6)
    jacobian = jax.jit(jax.jacrev(f.apply, argnums=2))(f.params, f.state, X)
    expected = jnp.einsum("bkchwd,tchwd->tbk", jacobian, T)
    np.testing.assert_allclose(dy, expected, rtol=1e-4, atol=1e-5)


def test_gradient_of_the_parameters_against_a_difference(network):
    f, _ = network
    loss = jax.jit(lambda p: (f.apply(p, f.state, X) ** 2).sum())
    gradient = jax.jit(jax.grad(loss))(f.params)
    squares = sum((g**2).sum() for g in jax.tree.leaves(gradient))
    size = 1e-2 / jnp.sqrt(squares)  # a step of length 1e-2 along the gradient
    shift = lambda s: jax.tree.map(lambda p, g: p + s * size * g, f.params, gradient)
    slope = (loss(shift(1)) - loss(shift(-1))) / (2 * size)
    np.testing.assert_allclose(slope, squares, rtol=1e-2)


def test_nothing_reaches_the_original(net):
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)))
    f = functional.pure(net)
    f.apply(f.params, f.state, X)
    jax.jit(f.apply)(f.params, f.state, X)
    # The shared layer is listed once, under its first name in the alphabet.
    f.params["again"]["kernel"] = jnp.zeros((3, 2))
    after = nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert float(jnp.abs(net.head.kernel[...]).sum()) > 0
    assert net.norm.use_running_average is False
    assert net.dropout.deterministic is False


def test_a_later_update_of_the_module_does_not_reach_the_parts(net):
    model = nnx.clone(net)
    f = functional.pure(model)
    y = f.apply(f.params, f.state, X)
    model(X)
    model.head.kernel[...] *= 2
    np.testing.assert_array_equal(f.apply(f.params, f.state, X), y)


def test_plain_dictionaries_of_arrays(network):
    f, _ = network
    nodes = [f.params, f.state]
    while nodes:
        node = nodes.pop()
        assert type(node) is dict or isinstance(node, jax.Array)
        nodes += node.values() if type(node) is dict else []


def test_only_what_training_changes_is_a_parameter(net):
    f = functional.pure(net)
    assert set(f.params) == {"again", "convs", "norm"}
    assert set(f.params["norm"]) == {"bias", "scale"}
    assert set(f.state["norm"]) == {"mean", "var"}
    assert "filter" in f.state


def test_options_and_arguments_reach_the_module(net):
    f, double = functional.pure(net), functional.pure(net, scale=2.0)
    y = f.apply(f.params, f.state, X, scale=2.0)
    np.testing.assert_array_equal(double.apply(f.params, f.state, X), y)
    np.testing.assert_allclose(y, 2 * f.apply(f.params, f.state, X))


def test_evaluation_is_a_view_that_shares_arrays(net):
    view = functional.evaluation(net)
    assert view.norm.use_running_average
    assert view.dropout.deterministic
    assert view.head.kernel is net.head.kernel
    linear = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(functional.evaluation(linear)(X), linear(X))


def test_abstract_modules_have_abstract_arrays():
    f = functional.pure(nnx.eval_shape(lambda: Net(rngs=nnx.Rngs(0))))
    assert jax.eval_shape(f.apply, f.params, f.state, X).shape == (4, 2)


def test_linen_forms(linen_net):
    module, variables = linen_net
    f = functional.pure(module, variables, train=False)
    y = f.apply(f.params, f.state, X)
    for g in (
        functional.pure(module, freeze(variables), train=False),
        functional.pure(module.bind(variables), train=False),
    ):
        np.testing.assert_array_equal(g.apply(g.params, g.state, X), y)


def test_errors_say_what_to_do(net, linen_net):
    module, variables = linen_net
    with pytest.raises(TypeError, match=r"got builtins\.function"):
        functional.pure(lambda x: x)
    with pytest.raises(TypeError, match="make an instance"):
        functional.pure(nnx.Linear)
    with pytest.raises(TypeError, match=r"pure\(module, variables\)"):
        functional.pure(module)
    with pytest.raises(TypeError, match="holds its own variables"):
        functional.pure(net, variables)
    with pytest.raises(ValueError, match="collection 'params'"):
        functional.pure(module, variables["params"])
    with pytest.raises(TypeError, match="its own arguments"):
        functional.evaluation(module)
