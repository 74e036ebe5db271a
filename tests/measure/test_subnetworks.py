"""The error of a network cut off behind each layer, against one network at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import actions, measure

X = np.random.default_rng(0).normal(size=(4, 8, 12, 3))


def pieces():
    """Layers of a network, [B, H, W, C] to [B, K], by name."""
    random = np.random.default_rng(1)
    kernel = jnp.asarray(random.normal(size=(3, 3, 3, 5)) / 5)
    head = jnp.asarray(random.normal(size=(5, 2)))

    def conv(x):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=numbers
        )

    return {
        "conv": conv,
        "tanh": jnp.tanh,
        "mean": lambda x: x.mean((1, 2)),
        "head": lambda x: x @ head,
    }


def chained(layers):
    def network(x):
        for name, layer in layers.items():
            with jax.named_scope(name):
                x = layer(x)
        return x

    return network


def normalised_lee(f, action, x):
    """LEE of one subnetwork, with the moments taken in the plainest way."""
    h = np.asarray(f(x))
    channels = tuple(range(h.ndim - 1))
    variance = h.var(channels)
    lie = np.asarray(measure.lie_derivative(f, action)(x))
    scaled = lie**2 / (variance + 1e-5 * variance.mean())
    return scaled.reshape(len(x), -1).mean(1)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_agrees_with_the_lie_derivative_of_each_subnetwork(batch_size):
    action = actions.translation("x", boundary="wrap")
    with jax.enable_x64(True):
        x = jnp.asarray(X)
        layers, counted = pieces(), []
        found = measure.subnetwork_lee(
            chained(layers), action, x, batch_size=batch_size, progress=counted.append
        )
        assert found.names == ("conv", "tanh", "mean", "head")
        assert found.kinds == ("convolution", "nonlinearity", "pooling", "linear")
        assert counted[-1] == len(x)
        f = lambda x: x
        for row, lee, stderr, layer in zip(
            found.per_example, found.lee, found.stderr, layers.values(), strict=True
        ):
            f = lambda x, f=f, layer=layer: layer(f(x))
            # On a strided grid the generator acts where the samples lie, which for a
            # periodic translation is what the action does at that resolution.
            expected = normalised_lee(f, action, x)
            np.testing.assert_allclose(row, expected, rtol=1e-9)
            np.testing.assert_allclose(lee, expected.mean())
            np.testing.assert_allclose(stderr, expected.std(ddof=1) / 2)


def test_a_network_of_equivariant_layers_has_no_error():
    def shifted(x):
        with jax.named_scope("blur"):
            x = x + 2 * jnp.roll(x, 1, 2) + jnp.roll(x, 2, 2)
        with jax.named_scope("mean"):
            return x.mean((1, 2))

    with jax.enable_x64(True):
        action = actions.translation("x", boundary="wrap")
        found = measure.subnetwork_lee(shifted, action, jnp.asarray(X))
    assert found.names == ("blur", "mean")
    assert found.lee.max() < 1e-20


def test_scale_and_offset_of_a_layer_do_not_matter():
    action = actions.rotation()
    plain = lambda x: jnp.tanh(x[:, ::2, ::2]).mean((1, 2))
    moved = lambda x: 40 * jnp.tanh(x[:, ::2, ::2]).mean((1, 2)) + 7
    with jax.enable_x64(True):
        a, b = (
            measure.subnetwork_lee(f, action, jnp.asarray(X)).lee[-1]
            for f in (plain, moved)
        )
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_one_image_and_equal_images_are_refused():
    action, network = actions.rotation(), lambda x: jnp.tanh(x).mean((1, 2))
    x = jnp.asarray(X, jnp.float32)
    with pytest.raises(ValueError, match="at least two images, got 1"):
        measure.subnetwork_lee(network, action, x[:1])
    with pytest.raises(ValueError, match="images that differ"):
        measure.subnetwork_lee(network, action, jnp.concatenate([x[:1]] * 2))
