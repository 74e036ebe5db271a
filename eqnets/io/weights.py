"""Weights as ``{name: array}``: safetensors in and out, and torch files in."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .atomic import atomic_write_bytes
from .extras import extra_package
from .paths import existing_file
from .torch_pickle import load_torch

# Under these names training scripts save the weights beside the rest of a checkpoint.
_WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model")
# A wrapper for several devices adds this to every name.
_WRAPPER = "module."


def flatten(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Turn nested dictionaries into one with dotted names.

    Raises:
        ValueError: a key has a dot, is empty, or differs from another in type alone; a
            dictionary is empty.

    >>> from eqnets import io
    >>> io.flatten({"stem": {"kernel": 1}, "blocks": {0: {"bias": 2}}})
    {'stem.kernel': 1, 'blocks.0.bias': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(key, str | int) or str(key) == "" or "." in str(key):
            raise ValueError(
                f"cannot make a dotted name of the key {key!r}; use integers, or "
                "strings that are not empty and have no dot"
            )
        if not isinstance(value, Mapping):
            entries = {str(key): value}
        elif value:
            entries = {f"{key}.{name}": v for name, v in flatten(value).items()}
        else:
            raise ValueError(f"{key!r} is an empty dictionary, which has no name")
        if doubled := flat.keys() & entries.keys():
            raise ValueError(f"the name {min(doubled)!r} stands for two arrays")
        flat |= entries
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[Any, Any]:
    """Turn dotted names into nested dictionaries; numbers become integer keys.

    Raises:
        ValueError: a name is both an array and the beginning of another.

    >>> from eqnets import io
    >>> io.unflatten({"stem.kernel": 1, "blocks.0.bias": 2})
    {'stem': {'kernel': 1}, 'blocks': {0: {'bias': 2}}}
    """
    tree: dict[Any, Any] = {}
    for name, value in flat.items():
        *folders, leaf = (_key(part) for part in name.split("."))
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
            if not isinstance(node, dict):
                raise ValueError(f"the beginning of the name {name!r} is an array")
        if leaf in node:
            raise ValueError(f"the name {name!r} is the beginning of another")
        node[leaf] = value
    return tree


def _key(part: str) -> str | int:
    # Only "0", "1", ...: "01" must come back as it was.
    is_number = part.isascii() and part.isdigit() and str(int(part)) == part
    return int(part) if is_number else part


def save_safetensors(path: str | os.PathLike[str], tree: Mapping[Any, Any]) -> None:
    """Write nested dictionaries of arrays to a safetensors file, whole or not at all.

    Args:
        path: the file.
        tree: nested dictionaries, such as ``functional.pure(model).params``; the
            names in the file are the keys joined by dots.

    Raises:
        TypeError: a leaf is not an array of numbers, such as a random key.
        ValueError: see `flatten`.
        ImportError: the package safetensors is missing.

    >>> import tempfile
    >>> from flax import nnx
    >>> from eqnets import functional, io
    >>> params = functional.pure(nnx.Linear(2, 3, rngs=nnx.Rngs(0))).params
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.save_safetensors(f"{folder}/net.safetensors", params)
    ...     sorted(io.load_safetensors(f"{folder}/net.safetensors"))
    ['bias', 'kernel']
    """
    library = extra_package("safetensors.numpy", "demo")
    flat = {name: _array(name, value) for name, value in flatten(tree).items()}
    atomic_write_bytes(path, library.save(flat))


def _array(name: str, value: Any) -> np.ndarray:
    try:
        # The library writes the memory as it lies, so rows must be contiguous.
        array = np.asarray(value, order="C")
    except TypeError:
        array = None
    if array is None or array.dtype.hasobject or array.dtype.kind in "USMm":
        raise TypeError(
            f"{name!r} is not an array of numbers but {type(value).__name__}; leave it "
            "out (a random key is kept as jax.random.key_data)"
        )
    return array


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a safetensors file as ``{name: array}``; `unflatten` nests the names.

    Raises:
        FileNotFoundError, IsADirectoryError: ``path`` is not a file.
        ValueError: the file is truncated, corrupt, or of another kind.
        ImportError: the package safetensors is missing.

    >>> import tempfile
    >>> import numpy as np
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tree = {"head": {"bias": np.zeros(3), "kernel": np.ones((2, 3))}}
    ...     io.save_safetensors(f"{folder}/net.safetensors", tree)
    ...     flat = io.load_safetensors(f"{folder}/net.safetensors")
    >>> sorted(flat), io.unflatten(flat)["head"]["kernel"].shape
    (['head.bias', 'head.kernel'], (2, 3))
    """
    file = existing_file(path)
    library = extra_package("safetensors.numpy", "demo")
    try:
        return library.load_file(file)
    # The library's own error type says nothing of the file.
    except Exception as error:
        raise ValueError(
            f"{str(file)!r} is not a whole safetensors file; it may be truncated or "
            f"corrupt, so copy or download it anew ({error})"
        ) from error


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the named weights in a safetensors or torch file.

    Of a torch checkpoint that holds more, the dictionary ``state_dict``,
    ``model_state_dict`` or ``model`` is taken; ``module.`` before every name is cut.

    Raises:
        FileNotFoundError, IsADirectoryError: ``path`` is not a file.
        ValueError: the file is damaged, of an unknown kind, or holds no named arrays.
        ImportError: the package safetensors is missing and needed.

    >>> import tempfile
    >>> import numpy as np
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wrapped = {"module": {"fc": {"bias": np.zeros(3)}}}  # data-parallel
    ...     io.save_safetensors(f"{folder}/net.safetensors", wrapped)
    ...     list(io.load_state_dict(f"{folder}/net.safetensors"))
    ['fc.bias']
    """
    file = existing_file(path)
    if file.suffix == ".safetensors":
        return _unwrapped(load_safetensors(file))
    tree = load_torch(file)
    if isinstance(tree, dict):
        inner = [tree[k] for k in _WEIGHTS_KEYS if isinstance(tree.get(k), dict)]
        tree = inner[0] if inner else tree
    if not isinstance(tree, dict) or not tree:
        raise ValueError(f"{str(file)!r} holds no dictionary of weights")
    for name, value in tree.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise ValueError(
                f"{str(file)!r} holds {name!r}, a {type(value).__name__}, where named "
                "arrays were expected; save torch.save(model.state_dict(), path)"
            )
    return _unwrapped(tree)


def _unwrapped(flat: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if all(name.startswith(_WRAPPER) for name in flat):
        return {name.removeprefix(_WRAPPER): value for name, value in flat.items()}
    return flat
