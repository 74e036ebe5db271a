"""EQ-T and EQ-T_frac, end to end and of each layer alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from eqnets import actions, measure

X = np.random.default_rng(0).normal(size=(3, 12, 16, 2))
KEY = jax.random.key(3)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 2, 3)) / 4
HEAD = np.random.default_rng(2).normal(size=(3, 2))


def conv(x, stride=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
    kernel = jnp.asarray(KERNEL, x.dtype)
    return jax.lax.conv_general_dilated(
        padded, kernel, (stride, stride), "VALID", dimension_numbers=numbers
    )


LAYERS = {
    "conv": conv,
    "tanh": jnp.tanh,
    "decimate": lambda x: x[:, ::2, ::2],
    "mean": lambda x: x.mean((1, 2)),
    "head": lambda x: x @ jnp.asarray(HEAD, x.dtype),
}


def network(x):
    for name, layer in LAYERS.items():
        with jax.named_scope(name):
            x = layer(x)
    return x


@pytest.mark.usefixtures("x64")
class TestEndToEnd:
    def test_what_is_equivariant_has_no_error(self):
        x, wrap = jnp.asarray(X)[:, :11, :15], {"periodic": True, "samples": 4}
        assert measure.eq_t(lambda x: jnp.tanh(conv(x)), x, KEY, **wrap).mean < 1e-6
        assert measure.eq_t_frac(conv, x, KEY, **wrap).mean < 1e-6
        aliasing = measure.eq_t_frac(lambda x: jnp.tanh(conv(x)), x, KEY, **wrap)
        assert aliasing.mean > 1e-3
        # psnr of an error of rounding alone
        assert measure.eq_t_frac(conv, x, KEY, normalize="psnr", **wrap).mean > 120

    def test_layers_that_treat_every_pixel_alike_have_no_error(self):
        """What a move forth and back does to an odd map is nothing, mask or not."""
        x = jnp.asarray(X)[:, :11, :15]
        assert measure.eq_t_frac(lambda x: 2 * x + 1, x, KEY, samples=3).mean < 1e-5

    def test_the_mask_drops_what_comes_from_outside(self):
        x = jnp.asarray(X)
        assert measure.eq_t(jnp.tanh, x, KEY, samples=4).mean < 1e-5
        moved = actions.identity()
        assert measure.eq_t(jnp.tanh, x, KEY, samples=4, action_out=moved).mean > 1

    def test_agrees_with_rolls_one_at_a_time(self):
        x = jnp.asarray(X)
        f = lambda x: x[:, ::2, ::2].mean((1, 2)) ** 2
        got = measure.eq_t(f, x, KEY, samples=5, periodic=True, normalize="sqrt")
        t = jax.random.uniform(KEY, (5, 3, 2), jnp.float32, -0.125, 0.125)
        pixels = np.asarray(jnp.round(t * jnp.asarray([12, 16], jnp.float32)), int)
        for b in range(3):
            one, y = X[b : b + 1], f(X[b : b + 1])
            rolled = [np.roll(one, pixels[s, b], (1, 2)) for s in range(5)]
            errors = [float(np.linalg.norm(f(r) - y)) for r in rolled]
            assert_allclose(got.per_example[b], np.mean(errors) / 2**0.5, rtol=1e-4)
        assert np.abs(pixels).max() == 2

    def test_normalisations_differ_by_the_number_of_entries(self):
        x = jnp.asarray(X)
        f = lambda x: x[:, ::2, ::2]
        found = {
            n: measure.eq_t_frac(f, x, KEY, samples=3, periodic=True, normalize=n)
            for n in ("none", "sqrt", "size", "psnr")
        }
        size = 6 * 8 * 2
        none = found["none"].per_example
        assert_allclose(found["sqrt"].per_example * size**0.5, none, rtol=1e-6)
        assert_allclose(found["size"].per_example * size, none, rtol=1e-6)
        # 10 log10(peak^2 / mean square): |e| / sqrt N is at most its root mean square
        peak = np.ptp(np.asarray(f(x)).reshape(3, -1), axis=1)
        bound = 20 * np.log10(peak / found["sqrt"].per_example)
        assert (found["psnr"].per_example <= bound + 1e-6).all()
        assert_allclose(found["psnr"].per_example, bound, atol=1)


@pytest.mark.usefixtures("x64")
class TestLayers:
    @pytest.mark.parametrize(("whole", "periodic"), [(True, False), (False, True)])
    def test_is_eq_t_of_each_layer_on_its_input(self, whole, periodic):
        options = {"samples": 3, "periodic": periodic, "normalize": "sqrt"}
        x = jnp.asarray(X)
        found = measure.eq_t_layers(network, x, KEY, whole_pixels=whole, **options)
        assert found.names == ("conv", "tanh", "decimate", "mean")
        one = measure.eq_t if whole else measure.eq_t_frac
        y = x
        for name, layer in LAYERS.items():
            if name in ("tanh", "decimate"):
                # the translations of an image are those of the whole batch's draw
                alone = one(layer, y, KEY, **options).per_example
                row = found.per_example[found.names.index(name)]
                # the mask follows the samples of a decimated map, not fractions of it
                tolerance = 1e-4 if periodic or name != "decimate" else 0.2
                assert_allclose(row, alone, rtol=tolerance, atol=2e-6)
            y = layer(y)
        assert found.mean.shape == found.stderr.shape == (4,)
        one = dataclasses.replace(found, per_example=found.per_example[:, :1])
        assert np.isnan(one.stderr).all()

    def test_layers_that_read_several_maps_and_tokens(self):
        def net(x):
            with jax.named_scope("branch"):
                y = x[:, ::2, ::2]
            with jax.named_scope("other"):
                z = (x**2)[:, 1::2, 1::2]
            with jax.named_scope("sum"):
                y = y + z
            with jax.named_scope("tokens"):
                y = y.reshape(len(y), -1, 2)
            with jax.named_scope("attention"):
                y = jax.nn.softmax(y @ y.transpose(0, 2, 1)) @ y
            with jax.named_scope("mean"):
                return y.mean(1)

        wrap = {"periodic": True, "samples": 3}
        found = measure.eq_t_layers(net, jnp.asarray(X), KEY, **wrap)
        mean = dict(zip(found.names, found.mean, strict=True))
        # "sum" moves whole pixels of its own input; attention does not care where
        assert mean["branch"] > 0.1
        for name in ("sum", "tokens", "attention", "mean"):
            assert mean[name] < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalize": "rms"}, "normalize must be one of none, sqrt, size, psnr"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"max_fraction": 0.7}, r"max_fraction in \(0, 0\.5\]"),
    ],
)
@pytest.mark.parametrize("measured", [measure.eq_t, measure.eq_t_layers])
def test_what_does_not_fit_is_refused(measured, change, message):
    x = jnp.asarray(X, jnp.float32)
    with pytest.raises(ValueError, match=message):
        measured(network, x, KEY, **{"samples": 1, **change})
