"""The sampling layers and drop-ins: what they share with the pure functions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import nn, polyphase
from eqnets.polyphase.conv_scores import dense_conv

X = jax.random.normal(jax.random.key(0), (2, 8, 12, 8))
LAYERS = {
    "lpd": lambda **o: nn.LearnablePolyphaseDown(8, hidden=2, rngs=nnx.Rngs(0), **o),
    "aps": lambda **o: nn.AdaptivePolyphaseDown(
        **({"features": 8, "rngs": nnx.Rngs(0)} | o)
    ),
}


@pytest.mark.parametrize("select_on", ["unfiltered", "filtered"])
@pytest.mark.parametrize("antialias", [None, "tri3", "rect2", "adaptive3"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_filter_split_and_downsample(name, antialias, select_on):
    layer = LAYERS[name](antialias=antialias, select_on=select_on)
    layer = nnx.view(layer, use_running_average=True, raise_if_not_found=False)
    full = layer.sampler.filtered(X)
    weights = polyphase.argmax_select(
        layer.scores(full if select_on == "filtered" else X)
    )
    y, chosen = layer(X)
    np.testing.assert_array_equal(chosen, weights)
    expected = polyphase.downsample(polyphase.split(full, 2), weights)
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("antialias", [None, "bin5"])
def test_training_mixes_filtered_components(antialias):
    layer, key = LAYERS["lpd"](antialias=antialias), jax.random.key(1)
    y, weights = layer(X, key=key, temperature=0.5)
    expected = polyphase.gumbel_select(key, layer.scores(X), 0.5)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    phases = polyphase.split(layer.sampler.filtered(X), 2)
    np.testing.assert_allclose(y, polyphase.downsample(phases, weights), atol=1e-6)


@pytest.mark.parametrize(("stride", "ndim"), [(3, 1), (3, 2), (2, 3)])
def test_any_stride_and_dimension(stride, ndim):
    x = jax.random.normal(jax.random.key(2), (2, *(2 * stride,) * ndim, 3))
    layer = nn.LearnablePolyphaseDown(
        3, hidden=2, stride=stride, ndim=ndim, rngs=nnx.Rngs(0)
    )
    y, weights = layer(x)
    assert y.shape == (2, *(2,) * ndim, 3)
    up = nn.PolyphaseUp(stride=stride, antialias="tri3", ndim=ndim)(y, weights)
    assert up.shape == x.shape


def rolls_of(y, reference):
    y, reference = np.asarray(y), np.asarray(reference)
    axes = tuple(range(y.ndim - 1))
    return any(
        bool((y == np.roll(reference, s, axes)).all())
        for s in itertools.product(range(3), repeat=len(axes))
    )


def strided_conv(hidden):
    def run(x, ndim):
        conv = nn.StridedConv(8, 4, hidden=hidden, ndim=ndim, rngs=nnx.Rngs(0))
        return conv(x)[0]

    return run


def adaptive(x, ndim):
    layer = nn.AdaptivePolyphaseDown(
        antialias="adaptive3", ndim=ndim, features=8, rngs=nnx.Rngs(0)
    )
    layer = nnx.view(layer, use_running_average=True, raise_if_not_found=False)
    return layer(x)[0]


DROP_INS = {
    "max_pool": lambda x, ndim: nn.max_pool(x, 3, ndim=ndim),
    "avg_pool": lambda x, ndim: nn.avg_pool(x, ndim=ndim),
    "conv_lps": strided_conv(8),
    "conv_aps": strided_conv(0),
    "adaptive": adaptive,
}


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", DROP_INS)
def test_drop_ins_commute_with_shifts(name, ndim):
    space = (8, 12, 4)[:ndim]
    x = np.asarray(jax.random.normal(jax.random.key(0), (2, *space, 8)))
    run = jax.jit(lambda x: DROP_INS[name](x, ndim))
    y = run(x)
    assert y.shape[1:-1] == tuple(n // 2 for n in space)
    for shift in ((0, 1, 1), (1, 0, 0), (1, 1, 1), (3, 2, 0)):
        moved = run(np.roll(x, shift[:ndim], tuple(range(1, 1 + ndim))))
        assert all(rolls_of(a, b) for a, b in zip(moved, y, strict=True))


def test_a_soft_input_selection_is_the_mixture_of_the_convolutions():
    conv = nn.StridedConv(8, 4, rngs=nnx.Rngs(0))
    y, weights = conv(X, key=jax.random.key(3))
    full = dense_conv(X, conv.conv.kernel[...])
    expected = polyphase.downsample(polyphase.split(full, 2), weights)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_fixed_filters_are_not_parameters():
    assert not jax.tree.leaves(nnx.state(nn.LowPass("tri3"), nnx.Param))
    up = nn.PolyphaseUp(antialias="bin5")
    assert not jax.tree.leaves(nnx.state(up, nnx.Param))
    lpd = LAYERS["lpd"](antialias="tri3")
    assert len(jax.tree.leaves(nnx.state(lpd, nn.SelectionParam))) == 4


def test_errors():
    with pytest.raises(ValueError, match="antialias must be"):
        nn.AdaptivePolyphaseDown(antialias="gauss")
    with pytest.raises(ValueError, match="needs features and rngs"):
        nn.AdaptivePolyphaseDown(antialias="adaptive3")
    with pytest.raises(ValueError, match="fixed filter"):
        nn.PolyphaseUp(antialias="adaptive3")
    with pytest.raises(ValueError, match="does not divide size 9"):
        nn.max_pool(jnp.zeros((1, 9, 8, 2)))
    with pytest.raises(ValueError, match="select_on"):
        nn.AdaptivePolyphaseDown(select_on="input")
    with pytest.raises(ValueError, match="groups must divide"):
        nn.AdaptiveLowPass(6, rngs=nnx.Rngs(0))
