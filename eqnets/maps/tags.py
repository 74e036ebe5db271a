"""Marking the output of one layer inside a computation, whatever it is written with."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, PyTree

PREFIX = "eqnets.maps:"


def tag(x: Array, name: str) -> Array:
    """Return ``x`` ``[...]``, marked so that `cut` finds it under ``name``.

    For layers that are not modules: wrap the value in a plain function and cut there.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> f = lambda x: maps.tag(jnp.tanh(x), "hidden").sum(-1)
    >>> cut = maps.cut(f, "hidden")
    >>> x = jnp.ones((2, 3))
    >>> bool(jnp.allclose(cut.psi(cut.phi(x)), f(x)))
    True
    """
    return checkpoint_name(x, PREFIX + name)


class Marked:
    """A model whose layer ``name`` marks its output: ``run(x)`` is the model's output.

    Attributes:
        calls: the structures of the layer's outputs in the calls of the last ``run``.
    """

    def __init__(self, model: Any, layer: str):
        if not callable(model):
            raise TypeError(f"expected a model to call, got {type(model).__name__}")
        self.model, self.layer = model, layer
        self.calls: list[Any] = []
        if _is_linen(model):
            self.run = self._run_linen
        elif _is_function(model):
            self.run, self.calls = self._run_function, [None]
        else:
            self.run = self._run_object
            find(model, layer)

    def label(self, leaf: int = 0) -> str:
        """What marks the leaf of that number of the output."""
        return f"{PREFIX}{self.layer}" + (f":{leaf}" if leaf else "")

    def _mark(self, out: PyTree[Array]) -> PyTree[Array]:
        leaves, tree = jax.tree.flatten(out)
        self.calls.append(tree)
        marked = [checkpoint_name(x, self.label(i)) for i, x in enumerate(leaves)]
        return jax.tree.unflatten(tree, marked)

    def _run_function(self, x: Array) -> tuple[PyTree[Array], list[Array]]:
        return self.model(x), []

    def _run_object(self, x: Array) -> tuple[PyTree[Array], list[Array]]:
        self.calls.clear()
        with _calls_changed(find(self.model, self.layer), self._mark):
            return self.model(x), []

    def _run_linen(self, x: Array) -> tuple[PyTree[Array], list[Array]]:
        # Linen makes its submodules inside the call; it hands out what they return.
        module, variables = self.model.unbind()
        out, kept = module.apply(
            variables,
            x,
            capture_intermediates=lambda _, method: method == "__call__",
            mutable=["intermediates"],
        )
        found = kept["intermediates"]
        for part in self.layer.replace(".", "/").split("/"):
            if part not in found:
                raise ValueError(_unknown(self.layer, part, found))
            found = found[part]
        if "__call__" not in found:
            raise ValueError(_unknown(self.layer, "__call__", found))
        results = found["__call__"]
        self.calls = [jax.tree.structure(r) for r in results]
        return out, jax.tree.leaves(results[0])


def find(model: Any, layer: str) -> Any:
    """The submodule of a model at a path such as ``"blocks.3.project"``.

    Raises:
        ValueError: there is none; the message names what there is.
    """
    part = model
    for name in layer.split("."):
        names = children(part)
        if name not in names:
            raise ValueError(_unknown(layer, name, names))
        part = names[name]
    if not callable(part) or _is_function(part):
        raise ValueError(
            f"{layer!r} is a {type(part).__name__}, not a module to cut behind: mark "
            "the value with maps.tag(x, name) inside a plain function instead"
        )
    return part


def children(part: Any) -> dict[str, Any]:
    """What a path may name inside a module, a list, a tuple or a dictionary."""
    if isinstance(part, dict):
        return {str(k): v for k, v in part.items()}
    names = {}
    if hasattr(part, "shape"):  # arrays and what wraps them
        return {}
    if hasattr(part, "__getitem__") and hasattr(part, "__len__"):
        with contextlib.suppress(Exception):
            names = {str(i): part[i] for i in range(len(part))}
    for name, value in getattr(part, "__dict__", {}).items():
        if not name.startswith("_") and (callable(value) or _is_container(value)):
            names.setdefault(name, value)
    return names


@contextlib.contextmanager
def _calls_changed(part: Any, change: Callable[[Any], Any]) -> Iterator[None]:
    """Pass on what calls of one object return through ``change``."""
    kind = type(part)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return change(kind.__call__(self, *args, **kwargs))

    # Calls look up the class, so the object gets a class of its own for a while. Past
    # its own __setattr__, which may hold modules to be immutable where JAX traces.
    own = type(kind.__name__, (kind,), {"__call__": call})
    object.__setattr__(part, "__class__", own)
    try:
        yield
    finally:
        object.__setattr__(part, "__class__", kind)


def _is_function(model: Any) -> bool:
    kinds = inspect.isfunction, inspect.ismethod, inspect.isbuiltin
    wrapped = hasattr(model, "func") or hasattr(model, "__wrapped__")
    return any(kind(model) for kind in kinds) or wrapped or inspect.isclass(model)


def _is_container(value: Any) -> bool:
    return isinstance(value, list | tuple | dict) or type(value).__name__ in (
        "List",
        "Dict",
    )


def _is_linen(model: Any) -> bool:
    return all(hasattr(model, name) for name in ("apply", "unbind", "scope"))


def _unknown(layer: str, name: str, names: Any) -> str:
    known = ", ".join(sorted(map(str, names))) or "nothing"
    return f"there is no {name!r} on the way to the layer {layer!r}; here are: {known}"
