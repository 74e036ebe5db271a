"""A small writer of both formats stands in for PyTorch; one test compares with it."""

import collections
import io as stdio
import os
import pickle
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

from eqnets import io

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
FORMATS = ["legacy", "zip"]


class Tensor:
    """A tensor as the pickle sees it: a strided view of a flat array."""

    def __init__(self, flat, shape=None, strides=None, offset=0):
        self.flat, self.offset = flat, offset
        self.shape = flat.shape if shape is None else shape
        self.strides = (1,) * len(self.shape) if strides is None else strides


class Pickler(pickle.Pickler):
    """Writes tensors as PyTorch does, and collects the storages."""

    def __init__(self, stream, names, legacy):
        super().__init__(stream, protocol=2)
        self.names, self.legacy, self.storages = names, legacy, {}

    def persistent_id(self, obj):
        if not isinstance(obj, np.ndarray):
            return None
        key = str(id(obj))
        self.storages[key] = obj
        kind = self.names[STORAGES[obj.dtype.name]]
        pid = ("storage", kind, key, "cpu", obj.size)
        return (*pid, None) if self.legacy else pid

    def reducer_override(self, obj):
        if not isinstance(obj, Tensor):
            return NotImplemented
        none = collections.OrderedDict()
        args = (obj.flat, obj.offset, obj.shape, obj.strides, False, none)
        return self.names["_rebuild_tensor_v2"], args


@pytest.fixture
def write(tmp_path, monkeypatch):
    """``write(obj, form)`` -> the path of a file in that format."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    names = {n: type(n, (), {"__module__": "torch"}) for n in STORAGES.values()}
    for name, value in names.items():
        setattr(torch, name, value)

    def _rebuild_tensor_v2(*_):
        raise RuntimeError("never called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = names["_rebuild_tensor_v2"] = _rebuild_tensor_v2

    def write(obj, form):
        stream = stdio.BytesIO()
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "torch", torch)
            patch.setitem(sys.modules, "torch._utils", utils)
            pickler = Pickler(stream, names, form == "legacy")
            pickler.dump(obj)
        path = tmp_path / f"{form}.pth"
        path.write_bytes(FRAMES[form](stream.getvalue(), pickler.storages))
        return path

    return write


def legacy_frame(data, storages):
    header = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    keys = sorted(storages)
    out = b"".join(pickle.dumps(h, 2) for h in header) + data + pickle.dumps(keys, 2)
    for key in keys:
        out += storages[key].size.to_bytes(8, "little") + storages[key].tobytes()
    return out


def zip_frame(data, storages, compression=zipfile.ZIP_STORED, order="little"):
    stream = stdio.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("m/data.pkl", data)
        archive.writestr("m/byteorder", order)
        for key, flat in storages.items():
            archive.writestr(f"m/data/{key}", flat.tobytes())
    return stream.getvalue()


FRAMES = {"legacy": legacy_frame, "zip": zip_frame}


def flat_array(dtype, size=24):
    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return (np.arange(size) - 5 * (dtype != "uint8")).astype(dtype)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", STORAGES)
def test_every_number_type_and_strided_views(write, form, dtype):
    flat = flat_array(dtype)
    views = {
        "whole": Tensor(flat, (2, 3, 4), (12, 4, 1)),
        "transposed": Tensor(flat, (4, 3, 2), (1, 4, 12)),
        "columns": Tensor(flat, (6, 2), (4, 2), 1),
        "broadcast": Tensor(flat, (3, 5), (1, 0), 21),
        "scalar": Tensor(flat, (), (), 7),
        "empty": Tensor(flat, (2, 0), (0, 1), 24),
    }
    read = io.load_torch(write(views, form))
    full = flat.reshape(2, 3, 4)
    expected = {
        "whole": full,
        "transposed": full.T,
        "columns": flat.reshape(6, 4)[:, 1::2],
        "broadcast": np.repeat(flat[21:, None], 5, 1),
        "scalar": flat[7],
        "empty": np.zeros((2, 0), flat.dtype),
    }
    assert list(read) == list(views)
    for name, value in expected.items():
        assert read[name].dtype == flat.dtype
        np.testing.assert_array_equal(read[name], value, err_msg=name)
    assert np.shares_memory(read["whole"], read["columns"])


@pytest.mark.parametrize("form", FORMATS)
def test_containers_scalars_and_shared_storages(write, form):
    weight, other = flat_array("float32"), flat_array("int64", 3)
    state = collections.OrderedDict(a=Tensor(weight), b=Tensor(weight))
    state._metadata = {"": {"version": 1}}
    saved = {"state": state, "deep": {"x": [Tensor(other), (1, 2.5)]}}
    saved |= {0: True, "none": None, "word": "é"}
    read = io.load_torch(write(saved, form))
    assert list(read) == list(saved)
    assert type(read["state"]) is dict
    assert list(read["state"]) == ["a", "b"]
    assert np.shares_memory(read["state"]["a"], read["state"]["b"])
    np.testing.assert_array_equal(read["deep"]["x"][0], other)
    assert read["deep"]["x"][1] == (1, 2.5)
    assert read[0] is True
    assert read["none"] is None
    assert read["word"] == "é"


def test_zip_of_a_big_endian_machine(write, tmp_path):
    data = zipfile.ZipFile(write(Tensor(flat_array("int32")), "zip"))
    (key,) = [n for n in data.namelist() if "/data/" in n]
    swapped = {key.split("/")[-1]: flat_array("int32").byteswap()}
    path = tmp_path / "big.pth"
    path.write_bytes(zip_frame(data.read("m/data.pkl"), swapped, order="big"))
    np.testing.assert_array_equal(io.load_torch(path), flat_array("int32"))


class Hostile:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("touch {}",), f"{os.name}.system"),
        (eval, ("open({!r}, 'w')",), "__builtin__.eval"),
        (getattr, (str, "format"), "__builtin__.getattr"),
        (np.zeros, (3,), "numpy.zeros"),
        (types.SimpleNamespace, (), "types.SimpleNamespace"),
    ],
)
def test_a_hostile_pickle_is_refused(write, tmp_path, form, function, args, name):
    trace = tmp_path / "trace"
    args = tuple(a.format(str(trace)) if type(a) is str else a for a in args)
    path = write({"weight": Hostile(function, *args)}, form)
    with pytest.raises(ValueError, match=f"asks for '{name}'") as caught:
        io.load_torch(path)
    assert str(path) in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("where", range(5))
def test_each_pickle_of_a_legacy_file_is_restricted(tmp_path, where):
    parts = [0x1950A86A20F9469CFC6C, 1001, {}, {}, []]
    parts[where] = Hostile(os.system, "touch " + str(tmp_path / "trace"))
    path = tmp_path / "x.pth"
    path.write_bytes(b"".join(pickle.dumps(p, 2) for p in parts))
    with pytest.raises(ValueError, match="system"):
        io.load_torch(path)
    assert os.listdir(tmp_path) == ["x.pth"]


# Opcodes by hand: what a hostile writer could do with the names that are allowed.
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
)
VIEW = REBUILD + b"(" + STORAGE
CRAFTED = {
    "alters a function": (
        REBUILD + b"N}X\x0c\x00\x00\x00__defaults__Ns\x86b.",
        "no attribute '__defaults__'",
    ),
    "sets attributes": (REBUILD + b"}X\x01\x00\x00\x00aK\x01sb.", "__dict__"),
    "makes an instance": (b"ccollections\nOrderedDict\n)\x81.", "class argument"),
    "calls a number type": (b"ctorch\nFloatStorage\n(K\x01tR.", "not callable"),
    "gigabytes of memo": (b"Nr\xff\xff\xff\x7f.", "memo index 2147483647"),
    "reads beyond": (VIEW + b"K\x02(K\x03t(K\x01t\x89}tR.", "beyond its storage"),
    "negative stride": (VIEW + b"K\x02(K\x02t(J\xff\xff\xff\xfft\x89}tR.", "negative"),
    "negative offset": (VIEW + b"J\xff\xff\xff\xff(t(t\x89}tR.", "negative"),
    "shape of words": (VIEW + b"K\x00(Nt(K\x01t\x89}tR.", "expected int"),
    "missing stride": (VIEW + b"K\x00(K\x01t(t\x89}tR.", "strides"),
    "holds itself": (b"]q\x00h\x00a.", "holds itself"),
    "storage alone": (STORAGE + b".", "unsupported _Storage"),
    "unknown kind": (b"(X\x06\x00\x00\x00moduleNNNNtQ.", "unknown kind .* 'module'"),
    "conjugated": (VIEW + b"K\x00(t(t\x89}}K\x01K\x01stR.", "unsupported metadata"),
    "calls later": (b"cbuiltins\nexec\nX\x01\x00\x00\x001\x85R.", "builtins.exec"),
    "dotted name": (b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93.", "torch.os.system"),
    "instance of a class": (b"(ios\nsystem\n.", "os.system"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_pickles_are_refused(tmp_path, name):
    path, (data, message) = tmp_path / "x.pth", CRAFTED[name]
    storages = {"0": flat_array("float32", 4)}
    path.write_bytes(zip_frame(data, storages))
    with pytest.raises(ValueError, match=rf"x\.pth.*{message}"):
        io.load_torch(path)
    # The same opcodes with harmless numbers are read, before and after.
    path.write_bytes(zip_frame(VIEW + b"K\x02(K\x02t(K\x01t\x89}tR.", storages))
    np.testing.assert_array_equal(io.load_torch(path), storages["0"][2:])


def test_nested_references_do_not_grow(write):
    tree = [Tensor(flat_array("int8"))]
    for _ in range(60):
        tree = [tree, tree]
    read = io.load_torch(write(tree, "zip"))
    assert read[0] is read[1]


@pytest.mark.parametrize("form", FORMATS)
def test_every_truncation_is_an_error_that_names_the_file(write, form):
    path = write({"w": Tensor(flat_array("float32"))}, form)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=path.name):
            io.load_torch(path)


def test_a_legacy_file_that_claims_an_enormous_storage(write):
    path = write(Tensor(flat_array("float32")), "legacy")
    data = path.read_bytes()
    tail = 24 * 4 + 8
    path.write_bytes(data[:-tail] + (2**62).to_bytes(8, "little") + data[8 - tail :])
    with pytest.raises(ValueError, match="whole torch file"):
        io.load_torch(path)


def test_other_files_are_refused(write, tmp_path):
    for content in (b"", b"\x89PNG\r\n", pickle.dumps({"a": 1}), b"hello"):
        path = tmp_path / "x"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a file written by torch"):
            io.load_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="but not one written by torch"):
        io.load_torch(path)
    path.write_bytes(zip_frame(pickle.dumps({}), {}, zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="compressed"):
        io.load_torch(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        io.load_torch(tmp_path / "missing.pth")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        io.load_torch(tmp_path)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", None])
def test_state_dict_of_a_checkpoint(write, form, key):
    weights = {"module.a": Tensor(flat_array("float32"))}
    saved = weights if key is None else {key: weights, "epoch": 3, "args": {"lr": 0.1}}
    read = io.load_state_dict(write(saved, form))
    assert list(read) == ["a"]
    np.testing.assert_array_equal(read["a"], flat_array("float32"))


def test_files_without_named_arrays(write):
    with pytest.raises(ValueError, match="holds 'epoch', a int"):
        io.load_state_dict(write({"epoch": 3}, "zip"))
    with pytest.raises(ValueError, match="no dictionary of weights"):
        io.load_state_dict(write([Tensor(flat_array("int8"))], "zip"))


@pytest.mark.parametrize("form", FORMATS)
def test_files_of_pytorch_itself(tmp_path, form):
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0).reshape(2, 3, 4)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    tensors = {d: base.to(getattr(torch, d)) for d in (*STORAGES, "uint16")}
    saved = {
        "model": model.state_dict(),
        "weight": model[0].weight,
        "shape": base.shape,
        "lr": 0.1,
        **tensors,
        "transposed": base.permute(2, 1, 0)[1:],
        "expanded": base[..., None].expand(2, 3, 4, 2),
    }
    path = tmp_path / "x.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=form == "zip")
    read = io.load_torch(path)
    assert list(read) == list(saved)
    assert read["shape"] == tuple(base.shape)
    for name in (*tensors, "transposed", "expanded", "weight"):
        value = saved[name].detach()
        if name == "bfloat16":
            assert read[name].dtype == ml_dtypes.bfloat16
            value, read[name] = value.float(), read[name].astype(np.float32)
        np.testing.assert_array_equal(read[name], value.numpy())
    for name, value in saved["model"].items():
        np.testing.assert_array_equal(read["model"][name], value.numpy())
