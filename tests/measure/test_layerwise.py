"""Layer-by-layer attribution: hand-made splits, laws, wrappers, models, errors.

That the contributions sum to the total holds for any gating and so shows nothing about
a single layer. The splits are compared with networks gated by hand and differentiated
numerically, and with an independent attachment through Linen's interceptors.
"""

import subprocess
import sys
from functools import partial

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from numpy.testing import assert_allclose

from eqnets import actions, functional, measure, models

WRAP = {"boundary": "wrap"}
KEY = jax.random.key(0)
scope = jax.named_scope


def images(shape=(2, 16, 12, 3), dtype=jnp.float64):
    return jax.random.normal(KEY, shape, dtype)


def kernel(h, w, cin, cout, seed=1):
    key = jax.random.key(seed)
    return jax.random.normal(key, (h, w, cin, cout)) / (h * w * cin) ** 0.5


def conv(x, k, stride=1, padding="SAME", mode=None):
    if mode:
        pads = [(0, 0), *(((n - 1) // 2, n // 2) for n in k.shape[:2]), (0, 0)]
        x, padding = jnp.pad(x, pads, mode=mode), "VALID"
    return lax.conv_general_dilated(
        x,
        k.astype(x.dtype),
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


# The layers of a small network: a stem, a residual branch, a strided layer, a head.
LAYERS = {
    "stem": lambda x: conv(x, kernel(3, 3, 3, 4)),
    "act": jnp.tanh,
    "branch": lambda y: conv(y, kernel(3, 3, 4, 4, 2)) ** 2,
    "join": lambda y, z: jax.nn.gelu(y + z),
    "down": lambda y: y[:, ::2, ::2],
    "mix": lambda y: jnp.sin(conv(y, kernel(1, 1, 4, 5, 3))),
    "head": lambda y: y.mean((1, 2)) ** 2,
}


def plain(x):
    """The network with its layers as named scopes."""

    def run(name, *args):
        with scope(name):
            return LAYERS[name](*args)

    y = run("act", run("stem", x))
    y = run("join", y, run("branch", y))
    return run("head", run("mix", run("down", y)))


def by_hand(action, x):
    """dF/d eps_g of a network with every edge written out."""
    # The strided layer keeps the pixels 0, 2, ..., not the middles of pairs.
    half = actions.Grid(x.shape[1:3], origin=(0.0, 0.0), spacing=(2.0, 2.0))

    def v(y):
        if y.ndim != 4:
            return jnp.zeros_like(y)
        whole = y.shape[1:3] == x.shape[1:3]
        return action.tangent(y) if whole else action.tangent_on(y, half)

    def network(eps):
        eps = dict(zip(LAYERS, eps, strict=True))

        def edge(y, source, target):
            step = eps[target] - (eps[source] if source else 0.0)
            return y + step * v(y)

        stem = LAYERS["stem"](edge(x, None, "stem"))
        act = LAYERS["act"](edge(stem, "stem", "act"))
        branch = LAYERS["branch"](edge(act, "act", "branch"))
        joined = LAYERS["join"](
            edge(act, "act", "join"), edge(branch, "branch", "join")
        )
        down = LAYERS["down"](edge(joined, "join", "down"))
        mix = LAYERS["mix"](edge(down, "down", "mix"))
        return LAYERS["head"](edge(mix, "mix", "head"))

    return jnp.moveaxis(jax.jacfwd(network)(jnp.zeros(len(LAYERS))), -1, 0)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["translation_x", "rotation", "stretch_y"])
@pytest.mark.parametrize("method", ["forward", "reverse"])
def test_splits_as_gates_set_by_hand(name, method):
    action, x = actions.standard()[name], images()
    parts = measure.layerwise(plain, action, x, method=method)
    assert parts.names == tuple(LAYERS)
    expected = by_hand(action, x)
    scale = np.abs(expected).max()
    assert_allclose(parts.contributions, expected, atol=1e-12 * scale)
    assert_allclose(parts.total, measure.lie_derivative(plain, action)(x))
    assert parts.residual < 1e-12


@pytest.mark.usefixtures("x64")
def test_results_do_not_depend_on_how_they_are_computed():
    action, x = actions.rotation(), images((3, 16, 12, 3))
    want = measure.layerwise(plain, action, x, method="forward")
    for options in (
        {"method": "reverse"},
        {"method": "forward", "chunk": 1},
        {"method": "forward", "chunk": 3, "batch_size": 2},
        {"method": "forward", "batch_size": 3},
    ):
        got = measure.layerwise(plain, action, x, **options)
        assert_allclose(got.contributions, want.contributions, atol=1e-12)
        assert_allclose(got.norms, want.norms)
        assert_allclose(got.stderr, want.stderr)
    flat = np.linalg.norm(want.contributions, axis=-1)
    assert_allclose(want.norms, np.sqrt((flat**2).mean(1)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", list(actions.standard()))
def test_contributions_sum_to_the_lie_derivative(name):
    action, x = actions.standard()[name], images()
    parts = measure.layerwise(plain, action, x, method="reverse")
    assert parts.residual < 1e-12
    assert parts.norms.max() > 0


@pytest.mark.parametrize("method", ["forward", "reverse"])
def test_contributions_sum_to_the_lie_derivative_in_single_precision(method):
    x = images(dtype=jnp.float32)
    parts = measure.layerwise(plain, actions.rotation(), x, method=method)
    assert parts.residual < 1e-5
    want = measure.lie_derivative(plain, actions.rotation())(x)
    assert_allclose(parts.total, want, rtol=1e-4, atol=1e-5 * parts.norms.max())


@pytest.mark.usefixtures("x64")
def test_equivariant_layers_get_zero():
    """Circular convolutions under translation; pointwise layers that do not alias."""

    def net(x):
        with scope("conv"):
            x = conv(x, kernel(3, 3, 3, 4), mode="wrap")
        with scope("square"):
            x = x**2
        with scope("conv2"):
            x = conv(x, kernel(5, 5, 4, 2), mode="wrap")
        with scope("head"):
            return jnp.tanh(x).mean((1, 2))

    whole = measure.layerwise(net, actions.translation("x", **WRAP), images())
    norms = dict(zip(whole.names, whole.norms, strict=True))
    assert min(norms["square"], norms["head"]) > 0.01
    assert max(norms["conv"], norms["conv2"]) < 1e-12

    # A square doubles the band: below a quarter of the samples it does not alias.
    u = jnp.arange(16) / 16
    wave = jnp.cos(2 * jnp.pi * 3 * u)[None, None, :, None] + jnp.zeros((1, 12, 1, 3))
    smooth = measure.layerwise(net, actions.translation("x", **WRAP), wave)
    assert smooth.norms[smooth.names.index("square")] < 1e-12


@pytest.mark.usefixtures("x64")
def test_integer_shifts_of_a_strided_net_have_no_error():
    """A flow by whole pixels that the stride divides commutes with every layer."""

    def shift(x, t):  # d/dt is the difference under a shift by four pixels
        return x + t * (jnp.roll(x, x.shape[2] // 4, 2) - x)

    def net(x):
        with scope("conv"):
            x = conv(x, kernel(3, 3, 3, 4), mode="wrap")[:, ::2, ::2]
        with scope("conv2"):
            x = conv(x, kernel(3, 3, 4, 2), mode="wrap")[:, ::2, ::2]
        with scope("head"):
            return jnp.tanh(x).mean((1, 2))

    step = actions.from_function(shift, name="roll")
    parts = measure.layerwise(net, step, images((2, 16, 16, 3)))
    assert parts.norms[:2].max() < 1e-12
    assert parts.norms[2] > 1e-3  # the difference is not small: tanh is not linear


class Attention(nnx.Module):
    """Four heads over the tokens of patches, behind a class token."""

    def __init__(self, rngs):
        self.patch = nnx.Conv(
            3, 8, (4, 4), strides=4, padding="VALID", param_dtype=jnp.float64, rngs=rngs
        )
        self.qkv = nnx.Linear(8, 24, param_dtype=jnp.float64, rngs=rngs)
        self.norm = nnx.LayerNorm(8, param_dtype=jnp.float64, rngs=rngs)
        self.token = nnx.Param(jax.random.normal(rngs(), (1, 1, 8), jnp.float64))
        self.head = nnx.Linear(8, 5, param_dtype=jnp.float64, rngs=rngs)

    def __call__(self, x):
        y = self.patch(x)
        y = y.reshape(len(y), -1, 8)
        y = jnp.concatenate([jnp.tile(self.token[...], (len(y), 1, 1)), y], 1)
        q, k, v = jnp.split(self.qkv(self.norm(y)).reshape(*y.shape[:2], 3, 8), 3, 2)
        q, k, v = (a[:, :, 0].reshape(*y.shape[:2], 4, 2) for a in (q, k, v))
        weights = jax.nn.softmax(jnp.einsum("bihd,bjhd->bhij", q, k))
        y = y + jnp.einsum("bhij,bjhd->bihd", weights, v).reshape(y.shape)
        return self.head(y[:, 0])


@pytest.mark.usefixtures("x64")
def test_follows_tokens_through_attention():
    """Dense layers, attention maps and norms commute with moves of whole tokens."""
    model = Attention(nnx.Rngs(0))
    x = images((2, 16, 12, 3))

    def shift(x, t):  # a roll by a quarter of the image: one row of patches
        return x + t * (jnp.roll(x, x.shape[1] // 4, 1) - x)

    parts = measure.layerwise(model, actions.from_function(shift, name="roll"), x)
    norms = dict(zip(parts.names, parts.norms, strict=True))
    assert {"patch", "qkv", "norm", "head", "softmax"} <= set(norms)
    assert dict(zip(parts.names, parts.kinds, strict=True))["softmax"] == "attention"
    # Linear in the difference; only what multiplies or normalises differs.
    exact = ("patch", "qkv", "head", "add")
    assert max(norms[n] for n in exact) < 1e-12
    turned = measure.layerwise(model, actions.rotation(), x, depth="operation")
    assert turned.residual < 1e-12
    assert turned.norms.max() > 0.01


@pytest.mark.usefixtures("x64")
def test_permutation_flow_commutes_with_attention():
    """exp(tX) a rotation of two patch rows into each other is linear, not a
    permutation; attention is equivariant to first order exactly for permutations.
    """
    model = Attention(nnx.Rngs(0))
    x = images((1, 16, 12, 3))
    step = actions.from_function(
        lambda x, t: x + t * (jnp.roll(x, x.shape[1] // 4, 1) - x), name="roll"
    )
    rolled = functional.evaluation(model)(jnp.roll(x, 4, 1))
    assert_allclose(rolled, functional.evaluation(model)(x), atol=1e-12)
    assert measure.layerwise(model, step, x).residual < 1e-12


def _scanned(x):
    kernels = jnp.stack([kernel(3, 3, 3, 3, s) for s in (1, 2)])
    y, _ = lax.scan(lambda y, k: (jnp.tanh(conv(y, k)), None), x, kernels)
    return y.mean((1, 2)) ** 2


def _looped(x):
    for s in (1, 2):
        x = jnp.tanh(conv(x, kernel(3, 3, 3, 3, s)))
    return x.mean((1, 2)) ** 2


@jax.custom_vjp
def _tanh(x):
    return jnp.tanh(x)


_tanh.defvjp(lambda x: (_tanh(x), x), lambda x, ct: (ct * 2,))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "wrapped",
    [
        jax.jit(_looped),
        jax.checkpoint(_looped),
        jax.jit(jax.checkpoint(jax.jit(_looped))),
        _scanned,
        jax.jit(_scanned),
        lambda x: jax.vmap(lambda image: _looped(image[None])[0])(x),
        partial(_looped),
    ],
    ids=["jit", "remat", "nested", "scan", "jit-scan", "vmap", "partial"],
)
def test_wrappers_change_nothing(wrapped):
    action, x = actions.rotation(), images()
    want = measure.layerwise(_looped, action, x, depth="operation")
    got = measure.layerwise(wrapped, action, x, depth="operation")
    sizes = [sorted(p.norms[p.norms > 1e-10]) for p in (got, want)]
    assert_allclose(*sizes, rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_reverse_rules_are_not_needed():
    f = lambda x: _tanh(x).mean((1, 2))
    parts = measure.layerwise(
        f, actions.rotation(), images()[..., :1], method="forward"
    )
    want = measure.lie_derivative(
        lambda x: jnp.tanh(x).mean((1, 2)), actions.rotation()
    )
    assert_allclose(parts.contributions.sum(0), want(images()[..., :1]), atol=1e-12)


class Shared(nnx.Module):
    """One convolution called three times, far apart."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 3, (3, 3), param_dtype=jnp.float64, rngs=rngs)
        self.again = self.conv

    def __call__(self, x):
        for layer in (self.conv, self.again, self.conv):
            x = jnp.tanh(layer(x))
            x = jnp.sin(3 * x)
        return x.mean((1, 2))


@pytest.mark.usefixtures("x64")
def test_a_shared_module_is_one_layer():
    model, x = Shared(nnx.Rngs(0)), images()
    whole = measure.layerwise(model, actions.rotation(), x, chunk=2, method="forward")
    (name,) = {"conv", "again"} & set(whole.names)
    back = measure.layerwise(model, actions.rotation(), x, method="reverse")
    assert_allclose(whole.contributions, back.contributions, atol=1e-12)

    class Apart(nnx.Module):
        def __init__(self):
            conv = model.conv
            self.a, self.b, self.c = (nnx.clone(conv) for _ in range(3))

        def __call__(self, x):
            for layer in (self.a, self.b, self.c):
                x = jnp.sin(3 * jnp.tanh(layer(x)))
            return x.mean((1, 2))

    apart = measure.layerwise(Apart(), actions.rotation(), x, method="forward")
    three = [apart.names.index(n) for n in "abc"]
    shared = whole.contributions[whole.names.index(name)]
    assert_allclose(shared, apart.contributions[three].sum(0), atol=1e-12)


class Net(linen.Module):
    """A chain with a residual sum, every operation a module of its own."""

    @linen.compact
    def __call__(self, x):
        y = linen.Conv(4, (3, 3), name="first", param_dtype=jnp.float64)(x)
        y = Tanh(name="act")(y)
        z = linen.Conv(4, (3, 3), name="second", param_dtype=jnp.float64)(y)
        y = Add(name="add")(y, z)
        y = Pool(name="pool")(y)
        return linen.Dense(3, name="head", param_dtype=jnp.float64)(
            Mean(name="mean")(y)
        )


class Tanh(linen.Module):
    def __call__(self, x):
        return jnp.tanh(x)


class Add(linen.Module):
    def __call__(self, x, y):
        return x + y


class Pool(linen.Module):
    def __call__(self, x):
        return linen.max_pool(x, (2, 2), (2, 2))


class Mean(linen.Module):
    def __call__(self, x):
        return x.mean((1, 2))


@pytest.mark.usefixtures("x64")
def test_agrees_with_interceptors():
    """Each module's inputs and outputs gated as Linen calls it."""
    x, action = images(), actions.rotation()
    net = Net()
    variables = net.init(KEY, x)
    names = ("first", "act", "second", "add", "pool", "mean", "head")

    def v(y):
        return action.tangent(y) if y.ndim == 4 else jnp.zeros_like(y)

    def gated(eps):
        def intercept(call, args, kwargs, context):
            name = context.module.name
            if name not in names:
                return call(*args, **kwargs)
            e = eps[names.index(name)]
            out = call(*(a + e * v(a) for a in args), **kwargs)
            return out - e * v(out)

        with linen.intercept_methods(intercept):
            return net.apply(variables, x)

    want = jax.vmap(lambda d: jax.jvp(gated, (jnp.zeros(7),), (d,))[1])(jnp.eye(7))
    parts = measure.layerwise(net.bind(variables), action, x)
    assert parts.names == names
    assert_allclose(parts.contributions, want, atol=1e-12)


def test_names_the_modules_of_nnx():
    model = models.resnet(18, 5, stem="cifar", width=4, rngs=nnx.Rngs(0))
    x = images((1, 16, 16, 3), jnp.float32)
    parts = measure.layerwise(model, actions.translation("x"), x, method="reverse")
    kinds = dict(zip(parts.names, parts.kinds, strict=True))
    assert kinds["layer1/0/conv1"] == "convolution"
    assert kinds["layer2/0/bn1"] == "norm"
    assert kinds["layer2/0/add"] == "add"
    assert kinds["layer2/0/relu"] == "nonlinearity"
    assert kinds["fc"] == "linear"
    assert parts.residual < 1e-5
    norms = dict(zip(parts.names, parts.norms, strict=True))
    assert norms["layer3/1/add"] == norms["layer2/0/bn1"] == norms["fc"] == 0
    blocks = measure.layerwise(
        model, actions.translation("x"), x, depth="block", method="reverse"
    )
    assert {"stem", "layer1/0", "layer4/1", "fc"} <= set(blocks.names)
    inside = [n.startswith("layer2/0/") for n in parts.names]
    whole = blocks.contributions[blocks.names.index("layer2/0")]
    assert_allclose(parts.contributions[inside].sum(0), whole, atol=1e-3)
    # Training goes on: the same compiled network, other parameters.
    before = parts.contributions
    model.fc.kernel[...] = model.fc.kernel[...] * 2
    after = measure.layerwise(model, actions.translation("x"), x, method="reverse")
    assert_allclose(after.contributions, 2 * before, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_commuting_layers_are_found_and_nothing_else(monkeypatch):
    """Skipping them changes nothing that could be computed."""
    from eqnets.measure.attribution import commuting, setup

    scale = jnp.arange(1.0, 5.0)
    across = jnp.linspace(0.5, 1.5, 12)[None, None, :, None]

    def net(x):
        with scope("lift"):
            x = jnp.tanh(conv(x, kernel(3, 3, 3, 4)))
        with scope("norm"):
            y = (x - 0.3) * scale + 1
        with scope("one"):
            y = conv(y, kernel(1, 1, 4, 4))
        with scope("window"):
            y = y * across
        with scope("sum"):
            y = x + y
        with scope("stride"):
            y = conv(y, kernel(1, 1, 4, 4), stride=2)
        with scope("mean"):
            return y.mean((1, 2)) ** 2

    x, action = images(), actions.rotation()
    with_rule = measure.layerwise(net, action, x)
    zeros = {n for n, v in zip(with_rule.names, with_rule.norms, strict=True) if v == 0}
    assert zeros == {"norm", "one", "sum"}
    monkeypatch.setattr(commuting, "_commutes", lambda *_: False)
    setup._placed.cache_clear()
    without = measure.layerwise(net, action, x)
    setup._placed.cache_clear()
    assert_allclose(with_rule.contributions, without.contributions, atol=1e-12)
    # A brightness does not take constants to zero, so shifts by a constant count.
    bright = measure.layerwise(net, actions.brightness(), x)
    assert dict(zip(bright.names, bright.norms, strict=True))["norm"] > 1e-3


def test_estimates_within_its_error():
    x = images((2, 12, 12, 3), jnp.float32)
    exact = measure.layerwise(plain, actions.rotation(), x)
    key = jax.random.key(3)
    estimate = measure.layerwise(plain, actions.rotation(), x, probes=400, key=key)
    moved = exact.norms > 1e-6
    off = np.abs(estimate.norms - exact.norms)[moved] / estimate.stderr[moved]
    assert off.max() < 4
    assert_allclose(estimate.norms[moved], exact.norms[moved], rtol=0.2)
    # sqrt(2 / N) of the squared norm is half as much of the norm
    wide = 2 * estimate.stderr[moved] / estimate.norms[moved]
    assert (wide < (2 * 3 / 400) ** 0.5).all()  # at most K = 5 outputs, two images
    again = measure.layerwise(plain, actions.rotation(), x, probes=400, key=key)
    assert_allclose(again.norms, estimate.norms, rtol=1e-6)


def test_an_operation_it_cannot_place_raises_and_can_be_told():
    def net(x):
        with scope("sort"):
            x = jnp.sort(x, axis=1)
        with scope("act"):
            return jnp.tanh(x).mean((1, 2))

    x, action = images(dtype=jnp.float32), actions.translation("x")
    with pytest.raises(ValueError, match=r"'sort'.*layouts=\{'sort': \(1, 2\)\}"):
        measure.layerwise(net, action, x)
    still = measure.layerwise(net, action, x, layouts={"sort": None})
    moves = measure.layerwise(net, action, x, layouts={"sort": (1, 2)})
    assert still.residual < 1e-5
    assert moves.residual < 1e-5
    # Along x a sort over y is a permutation of each column: nothing breaks but that.
    assert moves.norms[0] != still.norms[0]
    with pytest.raises(ValueError, match="no layer; the layers are sort, act"):
        measure.layerwise(net, action, x, layouts={"srt": None})
    with pytest.raises(ValueError, match="output has the shape"):
        measure.layerwise(net, action, x, layouts={"sort": (3, 4)})

    def inside(x):
        with scope("block"):
            return jnp.tanh(jnp.sort(x, axis=1)).mean((1, 2))

    assert measure.layerwise(inside, action, x).residual < 1e-5


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"depth": "layer"}, ValueError, "depth must be one of operation, module"),
        ({"depth": 0}, ValueError, "depth must be"),
        ({"method": "backward"}, ValueError, "method must be one of auto"),
        ({"probes": 3}, ValueError, "probes and key go together"),
        ({"key": KEY}, ValueError, "probes and key go together"),
        ({"chunk": 0}, ValueError, "chunk must be a positive"),
        ({"x": jnp.ones((2, 4))}, ValueError, "images"),
        ({"x": jnp.ones((2, 8, 8, 3), jnp.int32)}, TypeError, "floating"),
        ({"model": lambda x: (x, x)}, TypeError, "2 arrays"),
        ({"model": lambda x: x}, ValueError, "returns its input"),
        ({"model": lambda x: x.mean((0, 1, 2))}, ValueError, "first axis"),
        ({"model": lambda x: jnp.ones((len(x), 3))}, ValueError, "ignores it"),
    ],
)
def test_bad_input(change, error, match):
    arguments = {
        "model": plain,
        "action": actions.rotation(),
        "x": jnp.ones((2, 8, 8, 3)),
    } | change
    with pytest.raises(error, match=match):
        measure.layerwise(
            arguments.pop("model"),
            arguments.pop("action"),
            arguments.pop("x"),
            **arguments,
        )


def test_sharded_images_give_the_same_numbers():
    """Eight simulated devices, images spread over them."""
    code = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from eqnets import actions, measure
def net(x):
    with jax.named_scope("act"):
        x = jnp.tanh(x[:, ::2] * 2)
    with jax.named_scope("mean"):
        return x.mean((1, 2)) ** 2
x = jax.random.normal(jax.random.key(0), (16, 8, 8, 3))
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
one = measure.layerwise(net, actions.rotation(), x, method="forward")
all_ = measure.layerwise(net, actions.rotation(), spread)
assert len(spread.sharding.device_set) == 8
scale = np.abs(one.contributions).max()
gap = np.abs(one.contributions - all_.contributions).max()
assert gap <= 1e-6 * scale, (gap, scale)
assert np.abs(one.norms - all_.norms).max() <= 1e-6 * one.norms.max()
print("same")
"""
    environment = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.stdout.strip() == "same", done.stderr
