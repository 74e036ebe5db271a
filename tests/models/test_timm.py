"""Networks by timm's names: names and shapes, forward parity, attribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_nets
from flax import nnx

from eqnets import actions, functional, io, measure, models
from eqnets.commands import errors, network, options
from eqnets.models.fill import arrays_of, fill
from eqnets.models.torch_names import timm_source

# Small networks of each family, the size of their images, and what the reference in
# PyTorch has to be told.
TINY = {
    "vgg": (
        lambda r: models.vgg((1, 2), 3, widths=(4, 6), hidden=8, window=2, rngs=r),
        (8, 12),
        {"layers": "crmcrcrm"},
    ),
    "densenet": (
        lambda r: models.densenet((2, 1), 3, growth=2, width=4, rngs=r),
        (16, 24),
        {},
    ),
    "mixer": (
        lambda r: models.mixer((4, 8, 1), 3, image_size=(8, 12), rngs=r),
        (8, 12),
        {},
    ),
    "convnext": (
        lambda r: models.convnext(((1, 0), (4, 6)), 3, rngs=r),
        (16, 24),
        {},
    ),
    "swin": (
        lambda r: models.swin((2, 2, 4, (2, 0), (1, 2)), 3, image_size=(8, 16), rngs=r),
        (8, 16),
        {"window": 2, "heads": (1, 2)},
    ),
}


def torch_shapes(model):
    """Names and shapes that timm's state dict of this network has."""
    shapes = {}
    for path, variable in arrays_of(model):
        shape = tuple(variable.shape)
        if path[-1] == "kernel":
            shape = (shape[-1], 1, *shape[:2]) if path[-2] == "conv_dw" else shape
            if len(shape) == 4 and path[-2] != "conv_dw":
                shape = (shape[3], shape[2], *shape[:2])
            shape = shape[::-1] if len(shape) == 2 else shape
        shapes[timm_source(path).name] = shape
    return shapes


def drawn(shapes, seed=0):
    """Arrays of the size that training gives; variances are positive."""
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        fan = max(1, int(np.prod(shape[1:])))
        value = random.normal(0, fan**-0.5 if len(shape) > 1 else 0.3, shape)
        if name.endswith("running_var"):
            value = 0.5 + value**2
        arrays[name] = value.astype(np.float32)
    return arrays


def filled(family, dtype=np.float32):
    make, size, told = TINY[family]
    model = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    arrays = drawn(torch_shapes(model))
    fill(model, arrays, timm_source)
    x = np.random.default_rng(1).normal(size=(2, *size, 3)).astype(dtype)
    return functional.evaluation(model), arrays, x, told


def parameters(model):
    return sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize(
    ("name", "count", "some"),
    [
        (
            "convnext_tiny",
            28_589_128,
            {
                "stem.0.weight": (96, 3, 4, 4),
                "stages.0.blocks.2.gamma": (96,),
                "stages.1.downsample.1.weight": (192, 96, 2, 2),
                "stages.2.blocks.8.conv_dw.weight": (384, 1, 7, 7),
                "stages.3.blocks.0.mlp.fc1.weight": (3072, 768),
                "head.norm.bias": (768,),
                "head.fc.weight": (1000, 768),
            },
        ),
        (
            "swin_tiny_patch4_window7_224.ms_in1k",
            28_288_354,
            {
                "patch_embed.norm.weight": (96,),
                "layers.0.blocks.1.attn.relative_position_bias_table": (169, 3),
                "layers.1.downsample.reduction.weight": (192, 384),
                "layers.2.blocks.5.attn.qkv.bias": (1152,),
                "layers.3.blocks.1.mlp.fc2.weight": (768, 3072),
                "head.fc.bias": (1000,),
            },
        ),
        (
            "mixer_b16_224",
            59_880_472,
            {
                "stem.proj.weight": (768, 3, 16, 16),
                "blocks.11.mlp_tokens.fc1.weight": (384, 196),
                "blocks.0.mlp_channels.fc2.weight": (768, 3072),
                "head.weight": (1000, 768),
            },
        ),
        (
            "vgg16_bn",
            138_365_992,
            {
                "features.41.running_var": (512,),
                "features.40.weight": (512, 512, 3, 3),
                "pre_logits.fc1.weight": (4096, 512, 7, 7),
                "head.fc.weight": (1000, 4096),
            },
        ),
        pytest.param(
            "densenet121",
            7_978_856,
            {
                "features.conv0.weight": (64, 3, 7, 7),
                "features.denseblock3.denselayer24.conv1.weight": (128, 992, 1, 1),
                "features.transition3.norm.running_mean": (1024,),
                "features.norm5.bias": (1024,),
                "classifier.weight": (1000, 1024),
            },
            marks=pytest.mark.slow,  # 121 layers take seconds to allocate
        ),
    ],
)
def test_names_shapes_and_counts_are_those_of_timm(name, count, some):
    model = nnx.eval_shape(lambda: models.create(name, rngs=nnx.Rngs(0)))
    assert parameters(model) == count
    shapes = torch_shapes(model)
    assert {n: shapes.get(n) for n in some} == some


@pytest.mark.parametrize(
    ("name", "count"), [("resnet18", 11_689_512), ("resnet34", 21_797_672)]
)
def test_counts_of_resnets_are_those_of_timm(name, count):
    model = nnx.eval_shape(lambda: models.create(name, rngs=nnx.Rngs(0)))
    assert parameters(model) == count


@pytest.mark.parametrize("family", TINY)
def test_logits_agree_with_pytorch(family):
    pytest.importorskip("torch")
    model, arrays, x, told = filled(family)
    expected = torch_nets.run(family, arrays, x, **told)
    scale = abs(expected).max()
    np.testing.assert_allclose(jax.jit(model)(x), expected, rtol=0, atol=1e-5 * scale)


def resnet_arrays(blocks, deep, width=4, classes=3):
    """A state dict of timm's ResNets, in small."""
    shapes = {"conv1.weight": (width, 3, 7, 7)}

    def norm(name, n):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (n,)

    norm("bn1", width)
    inputs = width
    for stage, count in enumerate(blocks):
        middle = width << stage
        outputs = 4 * middle if deep else middle
        for i in range(count):
            at = f"layer{stage + 1}.{i}"
            sizes = [(inputs, middle, 1), (middle, middle, 3), (middle, outputs, 1)]
            sizes = sizes if deep else [(inputs, middle, 3), (middle, middle, 3)]
            for n, (a, b, k) in enumerate(sizes, 1):
                shapes[f"{at}.conv{n}.weight"] = (b, a, k, k)
                norm(f"{at}.bn{n}", b)
            if i == 0 and (stage or inputs != outputs):
                shapes[f"{at}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                norm(f"{at}.downsample.1", outputs)
            inputs = outputs
    shapes |= {"fc.weight": (classes, inputs), "fc.bias": (classes,)}
    return drawn(shapes)


@pytest.mark.parametrize(
    ("name", "blocks", "deep"),
    [("resnet34", (3, 4, 6, 3), False), ("resnet50", (3, 4, 6, 3), True)],
)
def test_resnets_agree_with_pytorch(name, blocks, deep):
    pytest.importorskip("torch")
    arrays = resnet_arrays(blocks, deep)
    x = np.random.default_rng(1).normal(size=(2, 40, 48, 3)).astype(np.float32)
    expected = torch_nets.run("resnet", arrays, x)
    model, _ = models.from_timm(name, arrays)
    scale = abs(expected).max()
    np.testing.assert_allclose(jax.jit(model)(x), expected, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("family", TINY)
def test_attribution_is_complete_and_names_the_parts(family, x64):
    model, _, x, _ = filled(family, np.float64)
    action = actions.translation("x")
    found = measure.layerwise(model, action, jnp.asarray(x[:1]), method="reverse")
    assert found.residual < 1e-6  # parameters are single
    part = {
        "vgg": "features/3",
        "densenet": "features/denseblock1/denselayer2/conv2",
        "mixer": "blocks/0/mlp_tokens/fc1",
        "convnext": "stages/0/blocks/0/conv_dw",
        "swin": "layers/0/blocks/1/attn/scores",
    }[family]
    assert part in found.names
    norms = dict(zip(found.names, found.norms, strict=True))
    assert found.norms.max() > 0
    if family == "swin":
        # What treats every pixel alike has no error; cutting into windows has.
        for name in ("mlp/fc1", "mlp/fc2", "attn/qkv", "attn/proj", "add", "add_1"):
            assert norms[f"layers/0/blocks/0/{name}"] < 1e-9
        assert norms["layers/0/blocks/0/windows"] > 1e-3


def test_a_file_of_timm_makes_the_network(tmp_path):
    make = lambda: models.create("swin_tiny_patch4_window7_224", 5, rngs=nnx.Rngs(0))
    shapes = torch_shapes(nnx.eval_shape(make))
    arrays = {n: np.broadcast_to(np.float32(0), s) for n, s in shapes.items()}
    arrays["layers.0.blocks.0.attn.relative_position_index"] = np.zeros((49, 49), int)
    found = models.from_timm("timm/swin_tiny_patch4_window7_224.ms_in1k", arrays)
    assert found.model.head.fc.bias.shape == (5,)
    assert found.preprocess.size == 224
    assert found.preprocess.resize == 248
    photograph = np.full((300, 400, 3), 255, np.uint8)
    white = (255 - 123.675) / 58.395
    np.testing.assert_allclose(found.preprocess(photograph)[0, 0, 0], white, rtol=1e-5)


# A name of timm for each small network, in place of the real architecture.
NAMES = {
    "vgg": "vgg11",
    "densenet": "densenet121",
    "mixer": "mixer_s16_224",
    "convnext": "convnext_tiny",
    "swin": "swin_tiny_patch4_window7_224",
}


@pytest.mark.parametrize("family", TINY)
def test_the_commands_take_a_name_and_a_file(family, tmp_path, monkeypatch):
    make, size, _ = TINY[family]
    model, arrays, _, _ = filled(family)
    io.save_safetensors(tmp_path / "weights.safetensors", io.unflatten(arrays))
    name = NAMES[family]
    recipe = models.TIMM[name]._replace(make=lambda k, rngs: make(rngs), side=size[0])
    monkeypatch.setitem(models.TIMM, name, recipe)
    options.check_model(name, tmp_path / "weights.safetensors")
    found = network.load(name, tmp_path / "weights.safetensors", size=9)
    assert found.class_names is None  # three classes are not ImageNet's
    photograph = np.zeros((2 * size[0], 3 * size[0], 3), np.uint8)
    assert found.input(photograph).shape == (size[0], size[0], 3)
    mine, theirs = arrays_of(found.scores), arrays_of(model)
    for (_, a), (_, b) in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a[...], b[...])


def test_a_name_without_a_file_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="resnet50, needs --weights FILE"):
        options.check_model("resnet34", None)
    with pytest.raises(errors.UsageError, match="did you mean 'resnet34'"):
        network.load("resnet_34", tmp_path / "weights.safetensors", size=9)


def test_load_weights_takes_the_names_of_timm(tmp_path):
    model, arrays, _, _ = filled("mixer")
    io.save_safetensors(tmp_path / "timm.safetensors", io.unflatten(arrays))
    other = nnx.eval_shape(lambda: TINY["mixer"][0](nnx.Rngs(7)))
    models.load_weights(other, tmp_path / "timm.safetensors")
    for mine, theirs in zip(arrays_of(other), arrays_of(model), strict=True):
        np.testing.assert_array_equal(mine[1][...], theirs[1][...])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="there is no 'resnet33' here; the names are"):
        models.create("resnet33", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"no 'head\.fc\.weight'; the names begin"):
        models.from_timm("vgg11", {"fc.weight": np.zeros((3, 4))})
    with pytest.raises(ValueError, match=r"resnet18 was asked for, .* depth 34"):
        models.from_timm("resnet18", resnet_arrays((3, 4, 6, 3), False))
    arrays = {"head.weight": np.zeros((3, 4)), "dist_token": np.zeros(3)}
    with pytest.raises(ValueError, match="distillation token"):
        models.from_timm("deit_tiny_patch16_224", arrays)
    with pytest.raises(ValueError, match=r"missing arrays: 'blocks\.0\.mlp_channels"):
        models.from_timm("mixer_s32_224", {"head.weight": np.zeros((3, 512))})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: models.vgg(12, rngs=r), "depth must be one of"),
        (lambda r: models.densenet(120, rngs=r), "depth must be one of"),
        (lambda r: models.convnext("huge", rngs=r), "shape must be one of"),
        (lambda r: models.mixer("H/16", rngs=r), "'B/16'"),
        (lambda r: models.mixer("B/17", rngs=r), "whole patches of 17"),
        (lambda r: models.swin("tiny", image_size=200, rngs=r), "multiple of 224"),
    ],
)
def test_shapes_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(nnx.Rngs(0))


@pytest.mark.parametrize("family", ["vgg", "mixer", "swin"])
def test_images_of_another_size_are_refused(family):
    model = nnx.eval_shape(lambda: TINY[family][0](nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"got.*\b4\b.* x |got \(4, 6\)"):
        model(jnp.zeros((1, 4, 6, 3)))
