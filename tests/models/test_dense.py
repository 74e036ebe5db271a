"""DeepLabV3+ and U-Net: shift-equivariant at every pixel, or told apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from eqnets import models, nn, polyphase
from eqnets.measure import check_equivariance, segmentation_consistency
from eqnets.polyphase.conv_scores import dense_conv

SHIFTS = [(0, 1), (1, 0), (3, 5), (17, 30)]


def shallow_deeplab(num_classes, *, rngs, **options):
    """One block a stage: every kind of layer, and half of the compile time."""
    body = models.resnet(18, 1, down="lps", **options, rngs=rngs)
    for i in range(1, 5):
        setattr(body, f"layer{i}", nnx.List([getattr(body, f"layer{i}")[0]]))
    return models.DeepLabV3Plus(body, num_classes, rngs=rngs)


EXACT = {
    "deeplab_shallow": (shallow_deeplab, {"hidden": 4, "antialias": "tri3"}),
    "unet_lps": (models.unet, {"depth": 1, "width": 4, "hidden": 4}),
}
MORE = {
    "unet_aps": (models.unet, {"depth": 2, "down": "aps", "antialias": "rect2"}),
    "deeplab_lps": (models.deeplab_v3plus, {"hidden": 4, "antialias": "tri3"}),
    "deeplab": (models.deeplab_v3plus, {}),
    "deeplab_aps": (models.deeplab_v3plus, {"down": "aps", "antialias": "adaptive3"}),
    "deeplab_input": (models.deeplab_v3plus, {"down": "lps_input"}),
    "deeplab_50": (models.deeplab_v3plus, {"backbone": 50, "hidden": 4}),
    "deeplab_cifar": (models.deeplab_v3plus, {"stem": "cifar", "hidden": 4}),
    "unet_input": (models.unet, {"depth": 3, "down": "lps_input", "hidden": 4}),
    "unet_adaptive": (models.unet, {"depth": 2, "antialias": "adaptive3"}),
    "unet_four": (models.unet, {"depth": 4, "up_antialias": "bin5"}),
}
BROKEN = {
    "deeplab_strided": (models.deeplab_v3plus, {"down": "strided"}),
    "deeplab_bilinear": (models.deeplab_v3plus, {"hidden": 4, "up": "bilinear"}),
    "deeplab_zeros": (models.deeplab_v3plus, {"hidden": 4, "padding": "zeros"}),
    "unet_strided": (models.unet, {"depth": 2, "down": "strided"}),
    "unet_lowpass": (
        models.unet,
        {"depth": 2, "down": "lowpass", "antialias": "tri3"},
    ),
}


def images(size, batch=1):
    return jax.random.normal(jax.random.key(1), (batch, size, size, 3))


def build(name, **more):
    make, options = (EXACT | MORE | BROKEN)[name]
    return make(5, **{"width": 8, **options, **more}, rngs=nnx.Rngs(0))


def evaluator(model):
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)
    run = jax.jit(lambda params, x: nnx.merge(graph, params)(x))
    return functools.partial(run, params)


def report(model, size, shifts=SHIFTS):
    return check_equivariance(
        evaluator(model), images(size), shifts=shifts, output="equivariant"
    )


@pytest.mark.parametrize("name", EXACT)
def test_every_pixel_moves_with_the_image(name):
    run, x = evaluator(build(name)), images(32)
    result = check_equivariance(run, x, shifts=SHIFTS, output="equivariant")
    assert result.worst == 0
    predict = lambda x: jnp.argmax(run(x), -1)
    options = {"max_shift": 16, "pairs": 2}
    assert segmentation_consistency(predict, x, jax.random.key(3), **options) == 1


@pytest.mark.parametrize("name", ["unet_strided"])
def test_other_networks_are_told_apart(name):
    assert report(build(name), 32).violations(1e-3) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT | MORE)
def test_all_shifts(name):
    result = report(build(name), 32, None)
    assert result.differences.shape == (1024, 1)
    assert result.worst == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_all_others_are_told_apart(name):
    assert report(build(name), 64).violations(1e-3) > 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, 640])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", ["deeplab_lps", "deeplab", "unet_four"])
def test_large_images(name, size, trained):
    """Rate 18 on the 20 x 20 features of 640 pixels is where zero padding shows."""
    model = build(name, width=16)
    if trained:
        train(model, images(64, 2), 4)
    run, x = evaluator(model), np.asarray(images(size))
    labels = np.argmax(run(x), -1)
    for shift in [(1, 0), (0, 1), (13, 7), (32, 17), (size // 2 + 1, size // 3)]:
        moved = run(np.roll(x, shift, (1, 2)))
        np.testing.assert_array_equal(
            np.argmax(moved, -1), np.roll(labels, shift, (1, 2))
        )
    result = report(model, size, [(1, 0), (13, 7)])
    assert result.worst == 0


def train(model, x, steps):
    """Real steps: Gumbel mixtures, batch statistics, SGD; the gradients of the last."""
    optimizer = nnx.Optimizer(model, optax.sgd(0.05, momentum=0.9), wrt=nnx.Param)
    y = (x[..., 0] > 0).astype(jnp.int32)

    @nnx.jit
    def step(model, optimizer, key):
        def loss(model):
            logits = model(x, key=key, temperature=0.7).astype(jnp.float32)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value, grads

    for i in range(steps):
        value, grads = step(model, optimizer, jax.random.key(i))
    return value, grads


def test_training_reaches_every_parameter_and_keeps_the_equivariance():
    model = build("unet_lps")
    value, grads = train(model, images(16, 2), 2)
    assert np.isfinite(value)
    flat = {
        jax.tree_util.keystr(path): np.abs(g).max()
        for path, g in jax.tree_util.tree_leaves_with_path(grads)
    }
    # A bias that all components share moves all logits alike: it selects nothing.
    still = [name for name, size in flat.items() if not size > 0]
    assert [name for name in still if "conv2" not in name or "bias" not in name] == []
    assert jax.tree.leaves(nnx.state(grads, nn.SelectionParam))
    assert report(model, 16).worst == 0


@pytest.mark.slow
def test_a_constant_image_needs_the_filter_of_the_upsampling():
    flat = np.ones((1, 16, 16, 3), np.float32)
    for antialias, equal in (("tri3", True), (None, False)):
        model = build("unet_lps", up_antialias=antialias)
        y = np.asarray(evaluator(model)(flat))
        assert (np.ptp(y, axis=(1, 2)).max() < 1e-5) == equal


def test_sizes():
    with pytest.raises(ValueError, match="size 20 of 32 x 20 must be a multiple of 8"):
        build("unet_lps", depth=3, width=4)(jnp.zeros((1, 32, 20, 3)))
    with pytest.raises(ValueError, match="size 48 must be a multiple of 32"):
        nnx.eval_shape(lambda: build("deeplab")(jnp.zeros((1, 64, 48, 3))))
    odd = lambda: build("deeplab_strided")(jnp.zeros((2, 33, 50, 3)))
    assert nnx.eval_shape(odd).shape == (2, 33, 50, 5)


@pytest.mark.parametrize("make", [models.deeplab_v3plus, models.unet])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"up": "nearest"}, "up must be"),
        ({"down": "strided", "up": "lps"}, "down=\"?'?strided.* selects nothing"),
        ({"down": "max"}, "down must be"),
        ({"up_antialias": "adaptive3"}, "fixed filter"),
        ({"padding": "reflect"}, "padding must be"),
    ],
)
def test_options_that_do_not_exist(make, options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: make(2, width=8, **options, rngs=nnx.Rngs(0)))


def test_options_of_one_network():
    with pytest.raises(ValueError, match="depth must be at least 1"):
        models.unet(2, depth=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="depth must be one of"):
        models.deeplab_v3plus(2, backbone=20, rngs=nnx.Rngs(0))


def count(make):
    params = nnx.state(nnx.eval_shape(make), nnx.Param)
    return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("backbone", "low", "out"),
    [(18, 64, 512), pytest.param(101, 256, 2048, marks=pytest.mark.slow)],
)
def test_parameters_of_deeplab_are_those_of_its_parts(backbone, low, out):
    """The head by hand: 256 channels, 48 from below, no biases but the last."""
    aspp = 2 * out * 256 + 3 * 9 * out * 256 + 5 * 256 * 256
    decoder = low * 48 + 9 * (256 + 48) * 256 + 256 * 21 + 21
    norms = 2 * (6 * 256 + 48 + 256)
    body = count(lambda: models.resnet(backbone, 10, down="lps", rngs=nnx.Rngs(0)))
    whole = count(
        lambda: models.deeplab_v3plus(21, backbone=backbone, rngs=nnx.Rngs(0))
    )
    assert whole == body - 10 * (out + 1) + aspp + decoder + norms


def test_a_backbone_of_your_own():
    def make():
        body = models.resnet(18, 7, width=8, stem="cifar", rngs=nnx.Rngs(0))
        return models.DeepLabV3Plus(body, 3, rngs=nnx.Rngs(1))(jnp.zeros((1, 9, 9, 3)))

    assert nnx.eval_shape(make).shape == (1, 9, 9, 3)


def test_dilation_is_a_convolution_with_holes():
    x = images(12)
    conv = nn.Conv(3, 2, 3, dilation=4, rngs=nnx.Rngs(0))
    kernel = np.zeros((9, 9, 3, 2), np.float32)
    kernel[::4, ::4] = conv.kernel[...]
    np.testing.assert_allclose(conv(x), dense_conv(x, kernel), atol=1e-5)
    strided = nn.Conv(3, 2, 3, dilation=4, stride=2, rngs=nnx.Rngs(0))
    weights = polyphase.argmax_select(jnp.array([[0.0, 0.0, 1.0, 0.0]]))
    y = strided.at_phase(x, weights, hard=True)
    np.testing.assert_allclose(y, conv(x)[:, 1::2, ::2], atol=1e-5)
