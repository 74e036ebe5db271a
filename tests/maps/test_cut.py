"""Cuts of NNX and Linen modules and of functions: exact, lean, and without leaks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from eqnets import actions, functional, maps, nn

X = jax.random.normal(jax.random.key(0), (4, 12, 12, 3))


class Block(nnx.Module):
    def __init__(self, d, *, rngs):
        self.conv = nnx.Conv(d, d, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(d, rngs=rngs)

    def __call__(self, x):
        return x + jax.nn.relu(self.norm(self.conv(x)))


class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.stem = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
        self.blocks = nnx.List([Block(8, rngs=rngs), Block(8, rngs=rngs)])
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(8 * 36, 5, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x).reshape(len(x), -1))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3), name="stem")(x))
        x = jax.jit(lambda x: linen.relu(2 * x))(x)
        return linen.Dense(5)(linen.Dense(6, name="neck")(x.reshape(len(x), -1)))


def plain(x):
    z = jax.jit(lambda x: maps.tag(jnp.tanh(x), "inner") * 2)(x)
    return jnp.where(z > 0, z, 0.1 * z).sum((1, 2))


NET = functional.evaluation(Net(rngs=nnx.Rngs(0)))
LINEN = LinenNet()
BOUND = LINEN.bind(LINEN.init(jax.random.key(1), X))
CASES = [(NET, layer) for layer in ("stem", "blocks.0", "blocks.1", "drop", "head")]
CASES += [(BOUND, "stem"), (BOUND, "neck"), (plain, "inner")]


@pytest.mark.parametrize(("model", "layer"), CASES)
def test_the_parts_make_the_whole_at_any_batch_size(model, layer):
    cut = maps.cut(model, layer, x=X)
    for rows in (4, 3):
        z = cut.phi(X[:rows])
        np.testing.assert_allclose(cut.psi(z), model(X[:rows]), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(cut(X), jax.jit(cut)(X), rtol=2e-5, atol=2e-6)
    grown = jax.jvp(cut.psi, (z,), (z,))[1]
    assert grown.shape == model(X[:3]).shape


def test_phi_is_what_the_layer_returns():
    np.testing.assert_allclose(maps.cut(NET, "stem").phi(X), NET.stem(X), rtol=1e-5)
    kept = LINEN.apply(BOUND.variables, X, capture_intermediates=True)[1]
    expected = kept["intermediates"]["neck"]["__call__"][0]
    np.testing.assert_allclose(maps.cut(BOUND, "neck").phi(X), expected, rtol=1e-5)


def flops(f, *args):
    return jax.jit(f).lower(*args).compile().cost_analysis()["flops"]


def test_neither_part_computes_the_other():
    cut = maps.cut(NET, "blocks.0", x=X)
    whole, z = flops(NET, X), cut.phi(X)
    front, back = flops(cut.phi, X), flops(cut.psi, z)
    assert front < 0.75 * whole
    assert back < 0.6 * whole
    assert front + back < 1.1 * whole


@pytest.mark.parametrize("layer", ["blocks.0.conv", "blocks.1.norm"])
def test_a_way_around_the_layer_is_a_leak(layer):
    with pytest.raises(maps.LeakError, match="residual"):
        maps.cut(NET, layer).phi(X)


def test_what_only_the_layer_knows_is_left_out():
    """A sampling layer returns its selection too, which a classifier does not read."""

    class Selecting(nnx.Module):
        def __init__(self, *, rngs):
            self.down = nn.LearnablePolyphaseDown(3, rngs=rngs)
            self.head = nnx.Linear(3, 5, rngs=rngs)

        def __call__(self, x):
            y, _ = self.down(x)
            return self.head(y.mean((1, 2)))

    net = Selecting(rngs=nnx.Rngs(0))
    cut = maps.cut(net, "down")
    np.testing.assert_array_equal(cut.phi(X), net.down(X)[0])
    np.testing.assert_allclose(cut(X), net(X), rtol=1e-5, atol=1e-6)
    grid = maps.centred_grid(6, 6, 2)
    fit = maps.fit_equivariance(cut, actions.hflip, X, m=1, grid=grid)
    assert fit(cut.phi(X)).shape == (4, 6, 6, 3)


def test_all_is_passed_on_where_more_than_one_array_is_read():
    class Pair(nnx.Module):
        def __call__(self, x):
            return {"even": x[..., ::2], "odd": x[..., 1::2], "none": None}

    class Both(nnx.Module):
        def __init__(self):
            self.pair = Pair()

        def __call__(self, x):
            z = self.pair(x)
            return z["even"].sum((1, 2)), z["odd"].max((1, 2))

    cut = maps.cut(Both(), "pair")
    z = cut.phi(X)
    assert set(z) == {"even", "odd", "none"}
    np.testing.assert_allclose(cut.psi(z)[1], X[..., 1::2].max((1, 2)))
    with pytest.raises(ValueError, match="passes on a single array"):
        maps.fit_equivariance(cut, actions.hflip, X)


def test_a_cut_is_a_snapshot_of_the_parameters():
    net = functional.evaluation(Net(rngs=nnx.Rngs(0)))
    before = maps.cut(net, "stem", x=X)
    net.head.bias[...] += 1
    after = maps.cut(net, "stem", x=X)
    np.testing.assert_allclose(after(X) - before(X), 1, rtol=1e-5)
    assert type(net.stem) is nnx.Conv  # as it was


def test_what_cannot_be_cut_says_so():
    class Twice(nnx.Module):
        def __init__(self):
            self.part = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.unused = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.part(self.part(x))

    with pytest.raises(ValueError, match="called 2 times"):
        maps.cut(Twice(), "part", x=X)
    with pytest.raises(ValueError, match="called 0 times"):
        maps.cut(Twice(), "unused", x=X)
    with pytest.raises(ValueError, match="here are: blocks, drop, head, stem"):
        maps.cut(NET, "neck")
    with pytest.raises(ValueError, match="stem"):
        maps.cut(BOUND, "nek", x=X)
    with pytest.raises(ValueError, match=r"no maps\.tag"):
        maps.cut(plain, "outer", x=X)
    with pytest.raises(TypeError, match="a model to call"):
        maps.cut(3, "stem")
    with pytest.raises(ValueError, match="evaluation view"):
        maps.cut(Net(rngs=nnx.Rngs(0)), "stem", x=X)
    with pytest.raises(ValueError, match=r"call phi\(x\) first"):
        maps.cut(NET, "stem").psi(X)
