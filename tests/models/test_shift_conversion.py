"""The converter: what it replaces, what it claims, and that its claims are true."""

import functools
import itertools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from eqnets import functional, models, nn, polyphase
from eqnets.measure import check_equivariance
from eqnets.models.depthwise import DepthwiseConv

X = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))


class Zoo(nnx.Module):
    """Strides and pools in every way people write them, and a head to choose."""

    def __init__(self, head="mean", *, rngs):
        self.first = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.grouped = nnx.Conv(8, 8, (5, 5), feature_group_count=4, rngs=rngs)
        self.wrapped = nnx.Conv(8, 8, (3, 3), 2, padding="CIRCULAR", rngs=rngs)
        self.short = nnx.Conv(8, 8, (1, 1), strides=2, use_bias=False, rngs=rngs)
        self.dense = nnx.Linear(8, 8, rngs=rngs)
        size = 128 if head == "flatten" else 8
        self.out = nnx.Linear(size, 5, rngs=rngs)
        self.head = head

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        y = nnx.max_pool(jax.nn.gelu(self.grouped(x)), (2, 2), (1, 1), "SAME")
        x = self.wrapped(y) + self.short(x) + y[:, ::2, ::2]
        x = jax.nn.softmax(self.dense(x)) + nnx.avg_pool(x, (3, 3), (1, 1), "SAME")
        if self.head == "mean":
            return self.out(x.mean((1, 2)))
        if self.head == "flatten":
            return self.out(x.reshape(len(x), -1))
        if self.head == "dense":
            return self.out(x)
        positions = jnp.arange(16.0).reshape(4, 4, 1)
        return self.out((x * positions).mean((1, 2)))


def evaluator(module):
    view = nnx.view(module, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)
    run = jax.jit(lambda params, x: nnx.merge(graph, params)(x))
    return functools.partial(run, params)


@pytest.fixture(scope="module")
def zoo():
    return models.make_shift_equivariant(Zoo(rngs=nnx.Rngs(0)), X)


def test_the_claim_of_invariance_is_true_at_every_shift(zoo):
    assert zoo.invariant
    assert not zoo.equivariant
    assert not zoo.obstacles
    report = check_equivariance(evaluator(zoo.model), X)
    assert report.differences.shape == (256, 2)
    assert report.worst == 0
    strided = evaluator(zoo.model.model)
    assert check_equivariance(strided, X, shifts=[(1, 1)]).worst > 1e-3


def test_the_report_names_layers_and_what_was_done(zoo):
    strided = {c.layer for c in zoo.replaced if "stride 2" in c.what}
    assert strided >= {"first", "wrapped", "short"}
    assert any("border" in c.what and c.layer == "grouped" for c in zoo.replaced)
    assert any(c.operation == "reduce_sum" for c in zoo.replaced)
    assert str(zoo).startswith("circular-shift invariant, exactly")
    assert "first: conv_general_dilated, stride 2" in str(zoo)


def test_dense_outputs_are_equivariant_at_their_stride():
    made = models.make_shift_equivariant(Zoo("dense", rngs=nnx.Rngs(0)), X)
    assert (made.equivariant, made.stride, made.invariant) == (True, 4, False)
    run = evaluator(made.model)
    shifts = [(1, 0), (3, 6), (8, 9)]
    report = check_equivariance(run, X, shifts=shifts, output="equivariant", stride=4)
    assert report.worst == 0


@pytest.mark.parametrize(
    ("head", "operation"), [("flatten", "reshape"), ("positions", "mul")]
)
def test_what_depends_on_the_place_is_said_and_not_claimed(head, operation):
    made = models.make_shift_equivariant(Zoo(head, rngs=nnx.Rngs(0)), X)
    assert not made.invariant
    assert not made.equivariant
    assert [c.operation for c in made.obstacles] == [operation]
    assert str(made).startswith("NOT shown")
    assert evaluator(made.model)(X).shape == (2, 5)


def test_valid_windows_and_upsampling_are_not_claimed():
    class Net(nnx.Module):
        def __init__(self, grow):
            self.conv = nnx.Conv(3, 2, (3, 3), padding="VALID", rngs=nnx.Rngs(0))
            self.grow = grow

        def __call__(self, x):
            if self.grow:
                return jax.image.resize(x, (len(x), 32, 32, 3), "bilinear")
            return self.conv(x).mean((1, 2))

    for grow in (False, True):
        made = models.make_shift_equivariant(Net(grow), X)
        assert made.obstacles
        assert not made.invariant
        assert not made.equivariant


def test_a_converted_pool_is_the_drop_in():
    class Pool(nnx.Module):
        def __call__(self, x):
            return nnx.max_pool(x, (2, 2), (2, 2))

    made = models.make_shift_equivariant(Pool(), X)
    np.testing.assert_array_equal(made.model(X), nn.max_pool(X))


def test_a_filter_of_padded_slices_is_the_circular_convolution():
    net = DepthwiseConv(3, 5, rngs=nnx.Rngs(0))
    made = models.make_shift_equivariant(net, X)
    y = jax.lax.conv_general_dilated(
        np.pad(X, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="wrap"),
        net.kernel[:, :, None],
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(made.model(X), y, atol=1e-5)
    strided = DepthwiseConv(3, 5, stride=2, rngs=nnx.Rngs(0))
    made = models.make_shift_equivariant(strided, X)
    phases = np.asarray(polyphase.split(y, 2))
    for image, parts in zip(np.asarray(made.model(X)), phases, strict=True):
        moves = itertools.product((0, -1), repeat=2)
        rolls = [np.roll(p, s, (0, 1)) for s in moves for p in parts]
        assert any(np.allclose(image, r, atol=1e-5) for r in rolls)


@pytest.mark.slow
def test_a_converted_resnet_is_the_one_that_was_built_to_select():
    """The same weights in ``down="aps_input"``, which shares no code with this."""
    options = {"stem": "cifar", "width": 4, "rngs": nnx.Rngs(0)}
    strided = models.resnet(18, 5, **options)
    built = models.resnet(18, 5, **options, down="aps_input")
    nnx.update(built, nnx.state(strided))
    made = models.make_shift_equivariant(strided, X)
    assert made.invariant
    np.testing.assert_allclose(evaluator(made.model)(X), evaluator(built)(X), atol=1e-4)


def test_training_reaches_the_weights_and_the_statistics():
    net = Zoo(rngs=nnx.Rngs(0))
    model = models.make_shift_equivariant(net, X).model
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net)))

    @nnx.jit
    def step(model, optimizer):
        loss = lambda m: (m(X) ** 2).mean()
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    values = [step(model, optimizer) for _ in range(3)]
    assert values[2] < values[0]
    after = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net)))
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 0, before, after)
    assert moved["norm"]["mean"]
    assert moved["first"]["kernel"]
    assert moved["out"]["kernel"]
    assert check_equivariance(evaluator(model), X, shifts=[(3, 5)]).worst == 0


def exported(model):
    """The function for any number of images, compiled for those of X."""
    f = functional.pure(model)
    shape = jax.export.symbolic_shape("b, 16, 16, 3")
    x = jax.ShapeDtypeStruct(shape, X.dtype)
    program = jax.export.export(jax.jit(f.apply))(f.params, f.state, x)
    return jax.jit(functools.partial(program.call, f.params, f.state))


def test_a_converted_network_is_exported_for_any_number_of_images(zoo):
    rngs = nnx.Rngs(0)
    wrapped = nnx.Conv(3, 4, (3, 3), 2, padding="CIRCULAR", rngs=rngs)
    head = nnx.Linear(4, 5, rngs=rngs)
    net = nnx.Sequential(wrapped, nnx.relu, lambda x: x.mean((1, 2)), head)
    model = models.make_shift_equivariant(net, X).model
    run = exported(model)
    np.testing.assert_allclose(run(X), evaluator(model)(X), rtol=1e-5, atol=1e-6)
    assert check_equivariance(run, X, shifts=[(3, 5)]).worst == 0
    with pytest.raises(ValueError, match="a strided slice becomes a gather"):
        exported(zoo.model)


def test_errors():
    with pytest.raises(TypeError, match=r"expected a flax.nnx.Module"):
        models.make_shift_equivariant(jnp.tanh, X)
    with pytest.raises(ValueError, match="stride 2 does not divide size 15"):
        models.make_shift_equivariant(Zoo(rngs=nnx.Rngs(0)), X[:, :15])


@pytest.mark.slow
def test_efficientnet_lite0_on_photographs():
    from eqnets import io

    net, preprocess, _ = models.load_pretrained("efficientnet_lite0")
    x = preprocess(io.sample_photographs()[1][:2])
    made = models.make_shift_equivariant(net, x)
    assert made.invariant
    shifts = [(0, 1), (1, 0), (17, 100), (113, 57), (223, 5)]
    assert check_equivariance(evaluator(made.model), x, shifts=shifts).worst == 0
