"""Vision transformers: timm's names, shapes, numbers, and what measuring them needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import actions, functional, io, measure, models
from eqnets.models.vit import _parse


def deit(width, depth=12, patch=16, positions=197, classes=1000, ratio=4):
    """Names and shapes of timm's deit_small_patch16_224 and its relatives."""
    d, h = width, ratio * width
    names = {
        "cls_token": (1, 1, d),
        "pos_embed": (1, positions, d),
        "patch_embed.proj.weight": (d, 3, patch, patch),
        "patch_embed.proj.bias": (d,),
    }
    for i in range(depth):
        for name, shape in {
            "norm1": (d,),
            "attn.qkv": (3 * d, d),
            "attn.proj": (d, d),
            "norm2": (d,),
            "mlp.fc1": (h, d),
            "mlp.fc2": (d, h),
        }.items():
            names[f"blocks.{i}.{name}.weight"] = shape
            names[f"blocks.{i}.{name}.bias"] = shape[:1]
    names |= {"norm.weight": (d,), "norm.bias": (d,)}
    return names | {"head.weight": (classes, d), "head.bias": (classes,)}


def drawn(names, seed=0):
    """Weights of the size that training gives, every array different."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(name.endswith("norm.weight"), 0.2, shape).astype(np.float32)
        for name, shape in names.items()
    }


@pytest.fixture(scope="module")
def tiny():
    names = deit(24, depth=2, patch=4, positions=1 + 20, classes=5)
    return drawn(names)


def parameters(model):
    return sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize(
    ("name", "width", "count"),
    [
        ("Ti/16", 192, 5_717_416),
        ("deit_small_patch16_224", 384, 22_050_664),
        ("vit_base_patch16_224", 768, 86_567_656),
    ],
)
def test_counts_are_those_of_timm(name, width, count):
    model = nnx.eval_shape(lambda: models.vit(name, rngs=nnx.Rngs(0)))
    assert parameters(model) == count
    assert model.shape == (16, width, 12, width // 64)
    assert model.image_size == (224, 224)


def test_names_and_shapes_of_deit_small_are_those_of_timm():
    names = {n: np.broadcast_to(np.float32(0), s) for n, s in deit(384).items()}
    assert len(names) == 152
    model = nnx.eval_shape(lambda: models.vit_from_timm(names))
    assert parameters(model) == 22_050_664
    assert model.shape == (16, 384, 12, 6)


@pytest.mark.parametrize(
    ("name", "shape", "side"),
    [
        ("S", (16, 384, 12, 6), None),
        ("B/32", (32, 768, 12, 12), None),
        ("L/14", (14, 1024, 24, 16), None),
        ("deit_tiny", (16, 192, 12, 3), None),
        ("vit_base_patch16_384", (16, 768, 12, 12), 384),
    ],
)
def test_a_name_tells_the_shape_and_the_size(name, shape, side):
    assert _parse(name) == (shape, side)


def test_a_shape_of_ones_own():
    make = lambda: models.vit(
        (8, 12, 1, 2), 7, image_size=(32, 24), mlp_ratio=2, rngs=nnx.Rngs(0)
    )
    model = nnx.eval_shape(make)
    assert model.pos_embed.shape == (1, 13, 12)
    assert model.blocks[0].mlp.fc1.kernel.shape == (12, 24)
    drawn_as_well = jax.jit(lambda x: make()(x))
    assert jax.eval_shape(drawn_as_well, np.ones((3, 32, 24, 3))).shape == (3, 7)


def test_weights_load_from_a_file_by_the_names_of_timm(tiny, tmp_path):
    sized = {"image_size": (16, 20), "heads": 3}
    expected = models.vit_from_timm(tiny, **sized)
    io.save_safetensors(tmp_path / "timm.safetensors", io.unflatten(tiny))
    make = lambda: models.vit((4, 24, 2, 3), 5, image_size=(16, 20), rngs=nnx.Rngs(0))
    model = nnx.eval_shape(make)
    models.load_weights(model, tmp_path / "timm.safetensors")
    got, wanted = (nnx.to_flat_state(nnx.state(m)) for m in (model, expected))
    assert len(got) == len(tiny)
    for (path, mine), (other, theirs) in zip(got, wanted, strict=True):
        assert path == other
        np.testing.assert_array_equal(mine[...], theirs[...])


def test_pure_jit_vmap_and_jvp_agree(tiny):
    model = models.vit_from_timm(tiny, image_size=(16, 20), heads=3)
    f = functional.pure(model)
    x, v = np.random.default_rng(2).normal(size=(2, 3, 16, 20, 3)).astype(np.float32)
    run = jax.jit(f.apply)
    y, dy = jax.jit(lambda x, v: jax.jvp(model, (x,), (v,)))(x, v)
    np.testing.assert_allclose(run(f.params, f.state, x), y, atol=1e-4)
    each = jax.jit(jax.vmap(lambda one: model(one[None], key=None)[0]))(x)
    np.testing.assert_allclose(each, y, atol=1e-4)
    h = np.float32(1e-2)
    ahead, behind = (run(f.params, f.state, x + s * v) for s in (h, -h))
    change = (ahead - behind) / (2 * h)
    np.testing.assert_allclose(change, dy, atol=2e-2 * abs(np.asarray(dy)).max())


def test_attention_is_a_mean_over_the_tokens(tiny):
    """An independent slow reference: one query of one head at a time."""
    attn = models.vit_from_timm(tiny, image_size=(16, 20), heads=3).blocks[0].attn
    x = np.random.default_rng(1).normal(size=(1, 7, 24)).astype(np.float32)
    kernel, bias = np.asarray(attn.qkv.kernel[...]), np.asarray(attn.qkv.bias[...])
    q, k, v = np.split((x[0] @ kernel + bias), 3, -1)
    y = np.zeros((7, 24))
    for head in range(3):
        own = slice(8 * head, 8 * head + 8)
        for n in range(7):
            w = np.exp([q[n, own] @ k[m, own] / 8**0.5 for m in range(7)])
            y[n, own] = sum(w[m] * v[m, own] for m in range(7)) / w.sum()
    expected = y @ np.asarray(attn.proj.kernel[...]) + np.asarray(attn.proj.bias[...])
    np.testing.assert_allclose(attn(jnp.asarray(x))[0], expected, atol=1e-4)


def test_layers_of_an_attribution_are_the_modules():
    with jax.enable_x64(True):
        arrays = drawn(deit(8, depth=1, patch=4, positions=1 + 6, classes=2))
        model = models.vit_from_timm(arrays, image_size=(8, 12), heads=2)
        x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 12, 3)))
        parts = measure.layerwise(model, actions.rotation(), x, method="reverse")
        assert parts.residual < 1e-12
    kinds = dict(zip(parts.names, parts.kinds, strict=True))
    expected = {
        "patch_embed/proj": "convolution",
        "blocks/0/norm1": "norm",
        "blocks/0/attn/qkv": "linear",
        "blocks/0/attn/scores": "attention",
        "blocks/0/attn/softmax": "attention",
        "blocks/0/attn/values": "attention",
        "blocks/0/attn/proj": "linear",
        "blocks/0/mlp/fc1": "linear",
        "blocks/0/mlp/gelu": "nonlinearity",
        "blocks/0/add_1": "add",
        "norm": "norm",
        "head": "linear",
    }
    assert {name: kinds[name] for name in expected} == expected
    norms = dict(zip(parts.names, parts.norms, strict=True))
    # Alike on every token, and linear: no error by construction.
    for name in ("attn/qkv", "attn/proj", "mlp/fc1", "mlp/fc2", "add", "add_1"):
        assert norms[f"blocks/0/{name}"] == 0
    assert norms["patch_embed/proj"] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.vit("S/17", rngs=nnx.Rngs(0)), r"take \(221, 221\)"),
        (lambda: models.vit("huge", rngs=nnx.Rngs(0)), "'S/16'"),
        (lambda: models.vit((4, 10, 1, 3), rngs=nnx.Rngs(0)), "width of 12"),
        (lambda: models.vit((0, 12, 1, 3), rngs=nnx.Rngs(0)), "at least 1"),
    ],
)
def test_shapes_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_images_of_another_size_are_refused(tiny):
    model = models.vit_from_timm(tiny, image_size=(16, 20))
    with pytest.raises(ValueError, match=r"16 x 20 .* image_size=\(20, 16\)"):
        model(jnp.zeros((1, 20, 16, 3)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dist_token", "distillation token"),
        ("head_dist.weight", "second classifier"),
        ("fc_norm.weight", "average pooling"),
        ("blocks.0.ls1.gamma", "LayerScale"),
        ("something", "unknown arrays: 'something'"),
    ],
)
def test_other_architectures_are_refused_with_the_reason(tiny, name, message):
    with pytest.raises(ValueError, match=message):
        models.vit_from_timm({**tiny, name: np.zeros(3)}, image_size=(16, 20))


def test_missing_and_misshapen_arrays_are_named(tiny):
    load = lambda names, **k: models.vit_from_timm(names, **k)
    with pytest.raises(ValueError, match=r"20 positions .* image_size"):
        load(tiny)
    with pytest.raises(ValueError, match="'pos_embed' is"):
        load(tiny, image_size=(16, 16))
    with pytest.raises(ValueError, match=r"'head\.weight' is missing"):
        load({n: a for n, a in tiny.items() if not n.startswith("head")})
    with pytest.raises(ValueError, match=r"missing arrays: 'blocks\.1\.norm2\.bias'"):
        load(
            {n: a for n, a in tiny.items() if n != "blocks.1.norm2.bias"},
            image_size=(16, 20),
        )


def torch_logits(torch, arrays, images, heads):
    """Logits ``[B, K]`` of images ``[B, H, W, 3]``, with PyTorch's own functions."""
    F = torch.nn.functional
    w = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        shape = x.shape[-1:]
        return F.layer_norm(x, shape, w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2)
        kernel = w["patch_embed.proj.weight"]
        x = F.conv2d(x, kernel, w["patch_embed.proj.bias"], stride=kernel.shape[-1])
        x = x.flatten(2).transpose(1, 2)
        batch, _, width = x.shape
        x = torch.cat([w["cls_token"].expand(batch, -1, -1), x], 1) + w["pos_embed"]
        i = 0
        while f"blocks.{i}.norm1.weight" in w:
            qkv = linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv")
            qkv = qkv.reshape(batch, -1, 3, heads, width // heads)
            y = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
            y = y.transpose(1, 2).reshape(batch, -1, width)
            x = x + linear(y, f"blocks.{i}.attn.proj")
            y = F.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1"))
            x = x + linear(y, f"blocks.{i}.mlp.fc2")
            i += 1
        return linear(norm(x, "norm")[:, 0], "head").numpy()


@pytest.mark.parametrize(("width", "heads", "depth"), [(48, 3, 2), (64, 1, 1)])
def test_logits_agree_with_pytorch(width, heads, depth):
    torch = pytest.importorskip("torch")
    arrays = drawn(deit(width, depth=depth, patch=8, positions=1 + 49, classes=11))
    x = np.random.default_rng(1).normal(size=(2, 56, 56, 3)).astype(np.float32)
    expected = torch_logits(torch, arrays, x, heads)
    got = jax.jit(models.vit_from_timm(arrays, heads=heads))(x)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * abs(expected).max())
