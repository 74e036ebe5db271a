"""Where the rules say that the image is, against images of their own coordinates.

The pixel at (y, x) of the input holds y and x; behind an operation that averages or
picks, each sample holds the position it comes from, whatever a rule may say.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from numpy.testing import assert_allclose

from eqnets import actions
from eqnets.measure.attribution.graph import flatten
from eqnets.measure.attribution.layout import of_input
from eqnets.measure.attribution.placement import place
from eqnets.measure.attribution.pooling import max_pool_tangents

H, W = 12, 16


def window(x, size, stride, padding, dilation=1, base=1):
    """A convolution by an even kernel: the mean over a window."""
    k = jnp.ones((size, size, 1, 1)) / size**2
    return jnp.concatenate(
        [
            lax.conv_general_dilated(
                x[..., i : i + 1],
                k,
                (stride, stride),
                padding,
                rhs_dilation=(dilation, dilation),
                lhs_dilation=(base, base),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            for i in (0, 1)
        ],
        -1,
    )


def average(x, size, stride, padding="VALID"):
    dims = (1, size, size, 1)
    return lax.reduce_window(x, 0.0, lax.add, dims, (1, stride, stride, 1), padding) / (
        size**2
    )


def patches(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 4, 4, w // 4, 4, c).mean((2, 4))


def tokens(x):
    y = patches(x)
    y = jnp.concatenate([jnp.zeros((1, 1, 2)), y.reshape(1, -1, 2)], 1)
    return (y[:, 1:] * 1.0).reshape(1, H // 4, W // 4, 2)


def circular(x):
    x = jnp.concatenate([x[:, -1:], x, x[:, :1]], 1)
    return jnp.concatenate([x[:, :, -2:], x, x[:, :, :2]], 2)


def resized(x):
    return jax.image.resize(x, (1, H // 2, W // 2, 2), "linear", antialias=False)


SAMPLERS = {
    "windows": lambda x: (
        x.reshape(1, H // 2, 2, W // 2, 2, 2)
        .transpose(0, 1, 3, 2, 4, 5)
        .reshape(1, -1, 4, 2)
        .reshape(1, H // 2, W // 2, 2, 2, 2)
        .transpose(0, 1, 3, 2, 4, 5)
        .reshape(1, H, W, 2)
    ),
    "stride": lambda x: x[:, 1::2, ::3],
    "crop": lambda x: x[:, 2:-1, 3:],
    "conv": lambda x: window(x, 3, 1, "VALID"),
    "conv_even": lambda x: window(x, 2, 2, "VALID"),
    "conv_same": lambda x: window(x, 3, 2, "SAME"),
    "conv_dilated": lambda x: window(x, 3, 1, "VALID", dilation=2),
    "pool": lambda x: average(x, 3, 2),
    "pool_same": lambda x: average(x, 2, 2, "SAME"),
    "pad": lambda x: jnp.pad(x, ((0, 0), (2, 1), (3, 0), (0, 0)))[:, 2:-1, 3:],
    "reverse": lambda x: x[:, ::-1, ::-1],
    "roll": lambda x: jnp.roll(x, (2, -3), (1, 2)),
    "circular": circular,
    "patches": patches,
    "tokens": tokens,
    "transpose": lambda x: (x.transpose(0, 2, 3, 1) * 2 / 2).transpose(0, 3, 1, 2),
    "two_steps": lambda x: window(average(x, 2, 2)[:, 1:], 3, 2, "VALID"),
    "resize": resized,
    "gather": lambda x: jnp.take(x, jnp.array([1, 0]), axis=3)[..., ::-1],
    "vmap": lambda x: jax.vmap(lambda a: a[::2, 1:])(x),
    "split": lambda x: jnp.concatenate(jnp.split(x, 2, 3), 3),
    "broadcast": lambda x: (x[:, None] * jnp.ones((1, 3, 1, 1, 1)))[:, 1],
}


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_rules_know_where_samples_come_from(name):
    f = SAMPLERS[name]
    y, x = jnp.meshgrid(jnp.arange(H) * 1.0, jnp.arange(W) * 1.0, indexing="ij")
    coordinates = jnp.stack([y, x], -1)[None]
    graph = flatten(jax.make_jaxpr(f)(coordinates).jaxpr)
    layout, _ = of_input(actions.rotation(), coordinates.shape)
    found = place(graph, layout, {})[graph.outputs[0]]
    seen = np.asarray(f(coordinates))[0]
    assert not found.lost
    assert not found.open
    for k, axis in enumerate(found.dims[1:3]):
        place_ = axis.single
        assert place_.name == "yx"[k]
        samples = np.median(seen[..., k], axis=1 - k)  # borders mix in padding
        expected = place_.origin + place_.spacing * np.arange(len(samples))
        inner = slice(1, -1) if name in ("conv_same", "pool_same") else slice(None)
        if name in ("roll", "circular"):  # what wraps around has the position it left
            size = (H, W)[k]
            samples, expected = samples % size, expected % size
        assert_allclose(samples[inner], expected[inner], atol=1e-4)


def test_transposed_convolutions_place_between_samples():
    x = jnp.zeros((1, H, W, 2))
    graph = flatten(
        jax.make_jaxpr(lambda x: window(x, 3, 1, [(1, 2), (1, 2)], base=2))(x).jaxpr
    )
    layout, _ = of_input(actions.rotation(), x.shape)
    rows = place(graph, layout, {})[graph.outputs[0]].dims[1].single
    assert (rows.origin, rows.spacing) == (0.0, 0.5)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.mean((1, 2)),
        lambda x: x[:, 3, 4],
        lambda x: x.reshape(1, -1) @ jnp.ones((H * W * 2, 5)),
        lambda x: x.sum((1, 2, 3)),
    ],
)
def test_the_image_ends(f):
    x = jnp.zeros((1, H, W, 2))
    graph = flatten(jax.make_jaxpr(f)(x).jaxpr)
    layout, _ = of_input(actions.rotation(), x.shape)
    found = place(graph, layout, {})[graph.outputs[0]]
    assert not found.spatial
    assert not found.lost


def test_mixing_tokens_finds_the_grid_again():
    """A dense layer over tokens, put back on the residual stream."""

    def mixer(x):
        t = x.reshape(1, -1, 2)
        y = jax.nn.gelu(t.swapaxes(1, 2) @ jnp.ones((H * W, 7)))
        y = (y @ jnp.ones((7, H * W))).swapaxes(1, 2)
        return t + y

    x = jnp.zeros((1, H, W, 2))
    graph = flatten(jax.make_jaxpr(mixer)(x).jaxpr)
    layout, _ = of_input(actions.rotation(), x.shape)
    places = place(graph, layout, {})
    stream = places[graph.outputs[0]]
    assert [f.axis.name for f in stream.dims[1].factors] == ["y", "x"]
    products = [op for op in graph.ops if op.name == "dot_general"]
    back = places[products[1].outputs[0]]
    hidden = places[products[0].outputs[0]]
    assert back.dims[2] == stream.dims[1]
    assert not hidden.spatial


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_max_pool_tangents(padding):
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    rows = jax.random.normal(jax.random.key(1), (4, *x.shape))

    def pool(x):
        dims, strides = (1, 3, 2, 1), (1, 2, 2, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, dims, strides, padding)

    (op,) = (o for o in flatten(jax.make_jaxpr(pool)(x).jaxpr).ops if o.moving)
    want = jax.vmap(lambda d: jax.jvp(pool, (x,), (d,))[1])(rows)
    assert_allclose(max_pool_tangents(op, x, rows), want)
