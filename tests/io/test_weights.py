import os
import string

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx

from eqnets import functional, io

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool"]


def arrays():
    rng = np.random.default_rng(0)
    tree = {d: (9 * rng.normal(size=(2, 3, 4))).astype(d) for d in DTYPES}
    tree["bfloat16"] = np.arange(6).astype(ml_dtypes.bfloat16)
    tree["transposed"] = np.arange(6.0).reshape(2, 3).T
    tree["reversed"] = np.arange(6.0)[::-2]
    tree["scalar"] = np.float32(3.5)
    tree["empty"] = np.zeros((0, 3), np.float32)
    return tree


def test_safetensors_round_trip(tmp_path):
    path = tmp_path / "new" / "w.safetensors"
    tree = {"layers": {0: arrays(), 1: {"x": jnp.ones(3, jnp.bfloat16)}}}
    io.save_safetensors(path, tree)
    read = io.unflatten(io.load_safetensors(path))
    assert jax.tree.structure(read) == jax.tree.structure(tree)
    for got, expected in zip(jax.tree.leaves(read), jax.tree.leaves(tree), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    assert os.listdir(path.parent) == [path.name]


def test_flax_parameters_round_trip(tmp_path):
    model = nnx.List([nnx.Linear(3, 2, rngs=nnx.Rngs(0)) for _ in range(2)])
    params = functional.pure(nnx.Sequential(*model)).params
    io.save_safetensors(tmp_path / "w", params)
    read = io.unflatten(io.load_safetensors(tmp_path / "w"))
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_names_round_trip():
    rng = np.random.default_rng(0)
    letters = list(string.ascii_lowercase + "_") + ["0", "7"]

    def tree(depth):
        keys = {"".join(rng.choice(letters, rng.integers(1, 6))) for _ in range(4)}
        keys = {int(k) if k.isdigit() and str(int(k)) == k else k for k in keys}
        leaf = lambda: depth == 0 or rng.random() < 0.4
        return {k: 1 if leaf() else tree(depth - 1) for k in keys}

    for _ in range(50):
        nested = tree(3)
        assert io.unflatten(io.flatten(nested)) == nested


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a.b": 1}, "has no dot|have no dot"),
        ({"a": {"": 1}}, "not empty"),
        ({"a": {}}, "empty dictionary"),
        ({0: 1, "0": 2}, "two arrays"),
        ({(1,): 1}, "dotted name"),
    ],
)
def test_names_that_would_not_come_back_are_refused(tree, message):
    with pytest.raises(ValueError, match=message):
        io.flatten(tree)


@pytest.mark.parametrize("names", [("a", "a.b"), ("a.b", "a")])
def test_an_array_cannot_hold_others(names):
    with pytest.raises(ValueError, match="beginning"):
        io.unflatten(dict.fromkeys(names, 1))


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "w"
    io.save_safetensors(path, {"a": np.ones(2)})
    for bad in (jax.random.key(0), "word", None, np.array(["x"])):
        with pytest.raises(TypeError, match=r"'b\.c' is not an array of numbers"):
            io.save_safetensors(path, {"a": np.zeros(2), "b": {"c": bad}})
    np.testing.assert_array_equal(io.load_safetensors(path)["a"], np.ones(2))
    assert os.listdir(tmp_path) == ["w"]


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "w.safetensors"
    io.save_safetensors(path, arrays())
    whole = path.read_bytes()
    for size in (0, 4, 40, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"w\.safetensors.*truncated"):
            io.load_safetensors(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        io.load_safetensors(tmp_path / "missing")


def test_state_dicts_of_safetensors_lose_the_wrapper_name(tmp_path):
    path = tmp_path / "w.safetensors"
    io.save_safetensors(path, {"module": {"a": np.ones(2), "b": np.zeros(1)}})
    assert set(io.load_state_dict(path)) == {"a", "b"}


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'eqnets\[demo\]'"):
        io.load_safetensors(tmp_path / "w")
