"""Solved bases, in memory and on disk, keyed by the content of the constraints."""

import os
import tempfile
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

from eqnets.reps.basis import Basis, DenseBasis, LabelBasis, SparseBasis
from eqnets.reps.factored import FactoredBasis, Isotypic

_VERSION = 2
_LIMIT = 2**28  # bytes of arrays kept in memory


class MemoryCache:
    """A thread-safe map that forgets what was used longest ago."""

    def __init__(self, limit: int = _LIMIT):
        self._items: OrderedDict[str, tuple[Basis, int]] = OrderedDict()
        self._limit, self._lock = limit, threading.Lock()

    def get(self, key: str) -> Basis | None:
        """The basis, or None."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key][0]

    def put(self, key: str, basis: Basis, size: int) -> None:
        """Keep a basis whose arrays take ``size`` bytes."""
        with self._lock:
            self._items[key] = (basis, size)
            while sum(s for _, s in self._items.values()) > self._limit:
                self._items.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()


def nbytes(basis: Basis) -> int:
    """Bytes of the arrays that define a basis."""
    return sum(a.nbytes for a in basis.arrays().values())


def cache_folder(cache: object) -> Path | None:
    """The disk cache to use: the argument, else EQNETS_CACHE, else none.

    Raises:
        TypeError: ``cache`` is not a path.
    """
    if cache is None:
        found = os.environ.get("EQNETS_CACHE")
        return Path(found) if found else None
    if not isinstance(cache, (str, os.PathLike)):
        raise TypeError(
            f"cache must be a folder (str or path) or None, got {type(cache).__name__}"
        )
    return Path(cache)


def store(folder: Path, key: str, basis: Basis) -> None:
    """Write a basis under a temporary name and move it in place.

    The move is atomic, so a reader sees the whole file or none, however many write.
    An unwritable folder is no reason to fail: the basis is already there.
    """
    kind = type(basis).__name__
    header = {"version": _VERSION, "key": key, "kind": kind, "method": basis.method}
    header |= {"rank": basis.rank, "complex": np.iscomplexobj(np.zeros(0, basis.dtype))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **_header(header), **basis.arrays())
            os.replace(name, folder / f"{key}.npz")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError:
        return


def load(folder: Path, key: str) -> Basis | None:
    """A stored basis, or None where there is none or the file is not sound."""
    path = folder / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        if int(arrays["_version"]) != _VERSION or str(arrays["_key"]) != key:
            return None
        basis = _rebuilt(str(arrays["_kind"]), arrays)
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile):
        return None
    if basis is None or basis.rank != int(arrays["_rank"]):
        return None
    basis.method = str(arrays["_method"])
    return basis


def _header(values):
    return {f"_{name}": np.array(value) for name, value in values.items()}


def _rebuilt(kind, arrays):
    dtype = np.complex128 if arrays["_complex"] else np.float64
    if kind == "LabelBasis":
        rank = int(arrays["_rank"])
        return LabelBasis(arrays["labels"], rank, arrays.get("weights"), dtype)
    if kind == "DenseBasis":
        return DenseBasis(arrays["q"])
    if kind == "SparseBasis":
        shape = tuple(int(n) for n in arrays["shape"])
        return SparseBasis(arrays["rows"], arrays["cols"], arrays["values"], shape)
    if kind == "FactoredBasis":
        count = sum(name.startswith("left") for name in arrays)
        parts = [
            Isotypic(arrays[f"left{i}"], arrays[f"right{i}"], arrays[f"endo{i}"])
            for i in range(count)
        ]
        return FactoredBasis(parts, tuple(arrays["shape"]), dtype)
    return None
