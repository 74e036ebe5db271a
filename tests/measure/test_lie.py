"""Lie derivatives and LEE: laws, a slow reference, every kind of model, errors."""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose, assert_array_equal

from eqnets import actions, measure
from eqnets.measure.lee import _step

ACTIONS = {
    **actions.standard(),
    **{f"{n}_wrap": a for n, a in actions.standard(boundary="wrap").items()},
}
WRAP = {"boundary": "wrap"}


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(0), (3, 8, 10, 2))


def network(x):
    """Stride, aliasing non-linearity, classes: equivariant to nothing."""
    kernel = jnp.sin(jnp.arange(3 * 3 * 2 * 4.0)).reshape(3, 3, 2, 4).astype(x.dtype)
    y = jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.softmax(jax.nn.relu(y).mean((1, 2)))


def dense(x):
    """An image-like output at half the resolution."""
    return jnp.tanh(x[:, ::2, ::2] * 2) + x[:, 1::2, 1::2] ** 2


@pytest.mark.parametrize("name", list(ACTIONS))
@pytest.mark.parametrize("f", [network, dense], ids=["classes", "dense"])
@pytest.mark.usefixtures("x64")
def test_is_the_slope_of_the_finite_error(name, f, images):
    """d/dt rho_out(-t) f(rho(t) x) by central differences of finite motions."""
    action = ACTIONS[name]
    x = jnp.asarray(images, jnp.float64)

    def back(t):
        y = f(action(x, t))
        return action(y, -t) if f is dense else y

    h = 1e-6
    want = (back(h) - back(-h)) / (2 * h)
    got = measure.lie_derivative(f, action)(x)
    assert_allclose(got, want, atol=1e-6 * float(jnp.abs(want).max()))


def test_equivariant_maps_have_none(images):
    def circular(x):
        return 0.3 * x + jnp.roll(x, (1, -2), (1, 2)) - 0.1 * jnp.roll(x, 3, 2)

    for axis in "xy":
        move = actions.translation(axis, **WRAP)
        assert_allclose(measure.lie_derivative(circular, move)(images), 0, atol=2e-5)
    for name, action in ACTIONS.items():
        same = measure.lie_derivative(lambda x: x, action)(images)
        assert_allclose(same, 0, atol=1e-6, err_msg=name)
    flat = jnp.ones((2, 8, 8, 2))
    for name in ("rotation", "scaling", "translation_x"):
        assert_allclose(measure.lee(network, ACTIONS[name], flat).mean, 0, atol=1e-9)


def test_chain_rule(images):
    """L(f o h) = (L f) o h + df (L h), appendix B.2 of the paper."""
    move = actions.rotation()

    def h(x):
        return jnp.tanh(x) ** 2

    inner = measure.lie_derivative(h, move)(images)
    outer = measure.lie_derivative(network, move)(h(images))
    both = outer + jax.jvp(network, (h(images),), (inner,))[1]
    whole = measure.lie_derivative(lambda x: network(h(x)), move)(images)
    assert_allclose(whole, both, atol=1e-5)


def test_several_generators_are_each_of_them(images):
    moves = list(actions.standard().values())
    whole = measure.lie_derivatives(network, moves)(images)
    for move, got in zip(moves, whole, strict=True):
        want = measure.lie_derivative(network, move)(images)
        assert_allclose(got, want, atol=1e-5, err_msg=move.name)


def test_any_pytree_of_outputs(images):
    def f(x):
        return {"map": x**2, "classes": (network(x), x.mean())}

    move = actions.translation("y")
    out = measure.lie_derivative(f, move)(images)
    assert_allclose(out["classes"][0], measure.lie_derivative(network, move)(images))
    want = measure.lie_derivative(lambda x: x**2, move)(images)
    assert_allclose(out["map"], want, atol=1e-5)
    still = measure.lie_derivative(
        f, move, {"map": actions.identity(), "classes": actions.identity()}
    )(images)
    assert_allclose(still["map"], 2 * images * move.tangent(images), atol=1e-4)


def test_works_under_jit_grad_and_vmap(images):
    move = actions.rotation()
    eager = measure.lie_derivative(network, move)(images)
    jitted = jax.jit(measure.lie_derivative(network, move))(images)
    assert_allclose(jitted, eager, atol=1e-6)
    each = jax.vmap(lambda x: measure.lie_derivative(network, move)(x[None])[0])
    assert_allclose(each(images), eager, atol=1e-5)

    def loss(scale):
        g = measure.lie_derivative(lambda x: network(scale * x), move)
        return jnp.sum(g(images) ** 2)

    slope = (loss(1.01) - loss(0.99)) / 0.02
    assert_allclose(jax.grad(loss)(1.0), slope, rtol=2e-2)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = jax.nn.relu(linen.Conv(4, (3, 3), strides=2)(x))
        x = linen.BatchNorm(use_running_average=True)(x)
        return linen.Dense(5)(x.mean((1, 2)))


class NNX(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 4, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        return self.head(self.norm(jax.nn.relu(self.conv(x))).mean((1, 2)))


class Equinox(eqx.Module):
    conv: eqx.nn.Conv2d
    head: eqx.nn.Linear

    def __init__(self, key):
        self.conv = eqx.nn.Conv2d(2, 4, 3, stride=2, padding=1, key=key)
        self.head = eqx.nn.Linear(4, 5, key=key)

    def __call__(self, x):
        def one(image):
            y = jax.nn.relu(self.conv(image.transpose(2, 0, 1)))
            return self.head(y.mean((1, 2)))

        return jax.vmap(one)(x)


def models():
    x = jnp.zeros((1, 8, 10, 2))
    variables = Linen().init(jax.random.key(0), x)
    made = NNX(nnx.Rngs(0))
    made = nnx.view(made, use_running_average=True, raise_if_not_found=False)
    return {
        "function": network,
        "linen": lambda x: Linen().apply(variables, x),
        "bound linen": Linen().bind(variables),
        "nnx": made,
        "equinox": Equinox(jax.random.key(1)),
        "jitted": jax.jit(network),
        "rematerialised": jax.checkpoint(network),
    }


@pytest.mark.parametrize("name", list(models()))
def test_one_call_for_every_kind_of_model(name, images):
    f = models()[name]
    move = actions.rotation()
    error = measure.lee(f, move, images)
    velocity = move.tangent(images)
    plain = jax.jvp(f, (images,), (velocity,))[1]
    assert_allclose(error.per_example, jnp.sum(plain**2, -1), rtol=1e-4)
    assert error.mean > 0


def test_a_network_in_training_mode_is_refused(images):
    with pytest.raises(ValueError, match="evaluation"):
        measure.lee(NNX(nnx.Rngs(0)), actions.rotation(), images)


class TestLee:
    def test_norms_and_normalisation(self, images):
        move = actions.scaling()
        derivative = np.asarray(measure.lie_derivative(network, move)(images))
        cases = {
            ("squared", "none"): (derivative**2).sum(-1),
            ("squared", "dim"): (derivative**2).sum(-1) / 4,
            ("mean_abs", "none"): np.abs(derivative).mean(-1),
            ("mean_abs", "dim"): np.abs(derivative).mean(-1) / 4,
        }
        for (norm, normalize), want in cases.items():
            got = measure.lee(network, move, images, norm=norm, normalize=normalize)
            assert_allclose(got.per_example, want, rtol=1e-5)
            assert_allclose(got.mean, want.mean(), rtol=1e-5)
            assert_allclose(got.stderr, want.std(ddof=1) / 3**0.5, rtol=1e-5)
            assert float(got) == got.mean

    def test_one_image_has_no_standard_error(self, images):
        assert np.isnan(measure.lee(network, actions.rotation(), images[:1]).stderr)

    def test_streaming_is_the_whole(self, images):
        x = jnp.concatenate([images, images[::-1] ** 2, images[:1]])
        moves = actions.standard()
        seen = []
        whole = measure.lee_profile(network, moves, x, batch_size=7)
        parts = measure.lee_profile(
            network, moves, x, batch_size=3, progress=seen.append
        )
        stream = measure.lee_profile(network, moves, (x[i : i + 2] for i in (0, 2, 4)))
        for name in moves:
            want = whole[name].per_example
            assert_allclose(parts[name].per_example, want, rtol=1e-4)
            assert_allclose(stream[name].per_example, want[:6], rtol=1e-4)
        assert seen == [3, 6, 7]

    def test_compiles_once_for_all_images_and_all_parameters(self, images):
        model = models()["nnx"]
        first = measure.lee(model, actions.rotation(), images).mean
        compiled = _step._cache_size()
        again = measure.lee(model, actions.rotation(), images[::-1] * 2)
        assert again.mean != first
        model.head.kernel[...] = 2 * model.head.kernel[...]
        assert_allclose(measure.lee(model, actions.rotation(), images).mean, 4 * first)
        assert _step._cache_size() == compiled

    def test_a_closure_is_never_stale(self, images):
        box = {"scale": jnp.asarray(1.0)}

        def f(x):
            return network(x) * box["scale"]

        first = measure.lee(f, actions.rotation(), images).mean
        box["scale"] = jnp.asarray(3.0)
        assert_allclose(measure.lee(f, actions.rotation(), images).mean, 9 * first)

    def test_half_precision_sums_in_full(self, images):
        def f(x):
            return network(x).astype(jnp.bfloat16)

        got = measure.lee(f, actions.rotation(), images)
        want = measure.lee(network, actions.rotation(), images)
        assert_allclose(got.per_example, want.per_example, rtol=0.1)


class TestRefused:
    def test_inputs(self, images):
        f = lambda x: x.mean()
        move = actions.translation("x")
        with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
            measure.lee(f, move, jnp.ones((2, 10)))
        with pytest.raises(ValueError, match=r"on_tokens"):
            measure.lie_derivative(f, move)(jnp.ones((2, 10, 3)))
        with pytest.raises(TypeError, match="floating"):
            measure.lee(f, move, jnp.ones((1, 4, 4, 3), jnp.uint8))
        with pytest.raises(ValueError, match="does not move"):
            measure.lie_derivative(f, move)(jnp.ones((2, 4, 1, 3)))
        with pytest.raises(ValueError, match="does not move"):
            measure.lie_derivative(f, actions.identity())(images)
        with pytest.raises(ValueError, match="no images"):
            measure.lee(network, move, iter(()))
        with pytest.raises(ValueError, match="no images"):
            measure.lee(network, move, images[:0])

    def test_outputs(self, images):
        move = actions.translation("x")
        with pytest.raises(TypeError, match="labels"):
            measure.lee(lambda x: network(x).argmax(-1), move, images)
        with pytest.raises(ValueError, match="does not fit"):
            measure.lie_derivative(network, move, move)(images)
        with pytest.raises(TypeError, match="action_out"):
            measure.lie_derivative(network, move, "rotation")(images)
        with pytest.raises(ValueError, match="prefix"):
            measure.lie_derivative(network, move, {"a": move})(images)
        attention = lambda x: jnp.ones((3, 4, 80, 20)) * x.sum()
        with pytest.raises(ValueError, match="action_out"):
            measure.lie_derivative(attention, move)(images)
        with pytest.raises(ValueError, match="batch"):
            measure.lee(lambda x: x.mean(), move, images)

    def test_options(self, images):
        move = actions.rotation()
        with pytest.raises(ValueError, match="norm"):
            measure.lee(network, move, images, norm="l1")
        with pytest.raises(ValueError, match="normalize"):
            measure.lee(network, move, images, normalize="size")
        with pytest.raises(ValueError, match="batch_size"):
            measure.lee(network, move, images, batch_size=0)
        with pytest.raises(ValueError, match="at least one"):
            measure.lee_profile(network, {}, images)
        with pytest.raises(ValueError, match="at least one"):
            measure.lie_derivatives(network, [])
        with pytest.raises(TypeError, match=r"function|Callable"):
            measure.lee(3, move, images)


def test_tokens_move_on_their_declared_grid(images):
    def mix(tokens):
        return jnp.tanh(tokens) * 2

    tokens = images.reshape(3, 80, 2)
    on_grid = actions.on_tokens(actions.rotation(), (8, 10))
    got = measure.lie_derivative(mix, on_grid)(tokens)
    want = measure.lie_derivative(mix, actions.rotation())(images)
    assert_allclose(got.reshape(want.shape), want, atol=1e-5)
    pooled = measure.lie_derivative(lambda t: t.mean(1), on_grid)(tokens)
    assert pooled.shape == (3, 2)


def test_readouts(images):
    def logits(x):
        return jnp.log(network(x)) * 2

    probs = jax.nn.softmax(logits(images))
    assert_allclose(measure.readout(logits, "probs")(images), probs)
    assert measure.readout(logits, "logits") is logits
    assert_array_equal(measure.readout(logits, "top1")(images), probs.max(-1))
    with pytest.raises(ValueError, match="probs"):
        measure.readout(logits, "probabilities")
    with pytest.raises(ValueError, match=r"\[B, K\]"):
        measure.readout(dense, "probs")(images)
