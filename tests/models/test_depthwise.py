import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets.models.depthwise import DepthwiseConv, depthwise_convolution

CASES = [
    (size, stride, shape)
    for size in (1, 3, 4, 5)
    for stride in (1, 2, 3)
    for shape in ((6, 7), (1, 8), (9, 2))
]


def convolution(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@pytest.mark.parametrize(("size", "stride", "shape"), CASES)
def test_agrees_with_the_grouped_convolution(size, stride, shape):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.normal(size=(2, *shape, 3)))
        kernel = jnp.asarray(rng.normal(size=(size, size, 3)))
        y = jax.jit(depthwise_convolution, static_argnums=2)(x, kernel, stride)
        assert y.dtype == jnp.float64
        np.testing.assert_allclose(y, convolution(x, kernel, stride), atol=1e-13)


def test_transformations_agree_with_the_grouped_convolution():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, t = (jnp.asarray(rng.normal(size=(4, 2, 7, 6, 3))) for _ in range(2))
        args = jnp.asarray(rng.normal(size=(3, 3, 3))), 2

        def results(f):
            tangent = jax.vmap(lambda x, t: jax.jvp(lambda x: f(x, *args), (x,), (t,)))
            loss = lambda x, k: jnp.sin(f(x, k, 2)).sum()
            gradient = jax.vmap(jax.grad(loss, (0, 1)), (0, None))
            return jax.jit(tangent)(x, t), jax.jit(gradient)(x, args[0])

        for got, expected in zip(
            jax.tree.leaves(results(depthwise_convolution)),
            jax.tree.leaves(results(convolution)),
            strict=True,
        ):
            np.testing.assert_allclose(got, expected, atol=1e-12)


def test_channels_do_not_mix_and_zeros_surround():
    kernel = jnp.ones((3, 3, 2)) * jnp.array([1.0, 10.0])
    f = jax.jit(depthwise_convolution, static_argnums=2)
    y = f(jnp.ones((1, 4, 4, 2)), kernel, 1)
    counts = np.outer([2, 3, 3, 2], [2, 3, 3, 2])
    np.testing.assert_array_equal(y[0, ..., 0], counts)
    np.testing.assert_array_equal(y[0, ..., 1], 10 * counts)


def test_the_layer_calls_the_function():
    layer = DepthwiseConv(3, 2, stride=2, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 8, 3)), jnp.float32)
    expected = depthwise_convolution(x, layer.kernel[...], 2)
    np.testing.assert_array_equal(layer(x), expected)
