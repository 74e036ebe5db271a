"""Fill a network with named arrays; every name and shape must agree."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx


class Source(NamedTuple):
    """Where the array of one variable comes from.

    Attributes:
        name: its name in the file.
        convert: from the layout in the file to that of the variable.
    """

    name: str
    convert: Callable[[np.ndarray], np.ndarray] = np.asarray


Path = tuple[str | int, ...]


def arrays_of(model: nnx.Module) -> list[tuple[Path, nnx.Variable]]:
    """Every variable of ``model`` with its path, random keys left out."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    return list(nnx.to_flat_state(state))


def fill(
    model: nnx.Module,
    arrays: Mapping[str, Any],
    source: Callable[[Path], Source],
    *,
    ignore: Callable[[str], bool] = lambda name: False,
) -> None:
    """Set every array of ``model`` from ``arrays``, in place and all or none.

    Views of the model share its arrays, so they change too. The model may come from
    ``nnx.eval_shape``: this takes a moment where drawing random weights first takes
    many seconds.

    Args:
        model: the network.
        arrays: ``{name: array}``. Their number type becomes that of the variable.
        source: from the path of a variable, such as ``("blocks", 3, "norm", "bias")``,
            to its name in ``arrays`` and its layout.
        ignore: true for names that need not be used.

    Raises:
        ValueError: names are missing or unknown, or shapes differ; each kind of
            problem is listed by name, up to five of each.
    """
    variables = dict(arrays_of(model))
    sources = {path: source(path) for path in variables}
    names = {s.name for s in sources.values()}
    unknown = [n for n in arrays if n not in names and not ignore(n)]
    new: dict[Path, Any] = {}
    wrong = []
    for path, variable in variables.items():
        name = sources[path].name
        if name not in arrays:
            continue
        value = _converted(sources[path], arrays[name])
        if value is None or value.shape != variable.shape:
            shape, mine = np.shape(arrays[name]), dotted_name(path)
            wrong.append(f"{name!r} is {shape}, for {mine!r} of {variable.shape}")
        else:
            new[path] = jnp.asarray(value, variable.dtype)
    _refuse(
        {
            "missing": [repr(n) for n in sorted(names - set(arrays))],
            "unknown": [repr(n) for n in unknown],
            "mis-shaped": wrong,
        }
    )
    for path, variable in variables.items():
        variable.set_value(new[path])


def dotted(path: Path) -> Source:
    """The source of a variable in a file of `save_weights`."""
    return Source(dotted_name(path))


def dotted_name(path: Path) -> str:
    """The path joined by dots, such as ``blocks.3.norm.bias``."""
    return ".".join(map(str, path))


def _converted(source: Source, array: Any) -> np.ndarray | None:
    try:
        return source.convert(np.asarray(array))
    except ValueError:  # it has another number of axes
        return None


def _refuse(problems: Mapping[str, list[str]], shown: int = 5) -> None:
    """Raise one error for all problems, if there are any."""
    lines = []
    for what, entries in problems.items():
        more = f" and {len(entries) - shown} more" if len(entries) > shown else ""
        if entries:
            lines.append(f"{what} arrays: {', '.join(entries[:shown])}{more}")
    if lines:
        raise ValueError("; ".join(lines))
