"""Vectors of a representation as isotypic components, and back.

The component of an irrep of dimension d that occurs m times is ``[m, d, B]``. The group
acts on the axis d only, so equivariant layers are free to mix the copies.

Vectors are columns, ``[N, B]``: summands are then contiguous rows, and every product
with parameters is one matrix product without a transpose.
"""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from eqnets.reps.isotypic import IrrepTable

Components = dict[int, Array]  # irrep number -> [m, d, B]

_COPIES = 64  # more of them are one operation


def split(table: IrrepTable, which: int, x: Array) -> Components:
    """The components ``[m, d, B]`` of columns ``[N, B]``."""
    found: dict[int, list[Array]] = {}
    for s, rows in zip(table.summands[which], _rows(table, which, x), strict=True):
        v = rows.reshape(*s.positions.shape, x.shape[-1])
        if not s.is_identity:
            v = constant(s.analysis.T, x) @ v
        sizes = [m * table.dims[i] for i, m in s.irreps]
        for (number, _), part in zip(s.irreps, pieces(v, sizes, 1), strict=True):
            d = table.dims[number]
            shape = (part.shape[0] * part.shape[1] // d, d, x.shape[-1])
            found.setdefault(number, []).append(part.reshape(shape))
    return {i: _joined(parts, 0) for i, parts in found.items()}


def join(table: IrrepTable, which: int, components: Components) -> Array:
    """Columns ``[N, B]`` from their components; a missing one is zero."""
    some = next(iter(components.values()))
    columns, out = some.shape[-1], []
    shares = _shares(table, which, components)
    for s in table.summands[which]:
        copies, parts = len(s.positions), []
        for number, m in s.irreps:
            shape = (copies, m * table.dims[number], columns)
            if number in components:
                parts.append(next(shares[number]).reshape(shape))
            else:
                parts.append(jnp.zeros(shape, some.dtype))
        v = _joined(parts, 1)
        if not s.is_identity:
            v = constant(s.synthesis.T, v) @ v
        out.append(lax.collapse(v, 0, 2))
    order, v = _order(table, which), _joined(out, 0)
    return v if _is_run(order) else v[np.argsort(order)]


def complete(table: IrrepTable, which: int, v: Components, like: Array) -> Components:
    """Components with zeros for the missing ones, all ``[m, d, B]`` as ``like``."""
    return {
        i: jnp.broadcast_to(
            v.get(i, jnp.zeros((), like.dtype)), (m, table.dims[i], like.shape[-1])
        )
        for i, m in table.multiplicities(which).items()
    }


def added(v: Components, w: Components) -> Components:
    """The sum of two vectors; a missing component is zero."""
    return {i: v[i] + w[i] if i in v and i in w else v.get(i, w.get(i)) for i in v | w}


def pieces(x: Array, sizes: list[int], axis: int) -> list[Array]:
    """Consecutive parts along an axis.

    One split, not many slices: its transpose is one concatenation, where the transpose
    of each slice would be an array of zeros as large as ``x``.
    """
    return list(lax.split(x, sizes, axis)) if len(sizes) > 1 else [x]


def mixed(w: Array, v: Array) -> Array:
    """Copies mixed by a matrix, ``[m, k], [m, d, B] -> [k, d, B]``.

    A product of two matrices, whose derivative XLA turns into two more; of the same as
    an einsum over three axes it makes transposed copies of the whole batch.
    """
    return (w.T @ lax.collapse(v, 1)).reshape(w.shape[1], *v.shape[1:])


def repeated(x: Array, n: int, axis: int) -> Array:
    """Copies of x along a new axis.

    Copies, not a broadcast: their transpose is a sum of n slices, which XLA fuses with
    what follows, where that of a broadcast is a reduction over a middle axis, for which
    it has no fast code on CPU.
    """
    if n > _COPIES:
        return jnp.repeat(jnp.expand_dims(x, axis), n, axis)
    return jnp.concatenate([jnp.expand_dims(x, axis)] * n, axis)


def constant(array: np.ndarray, like: Array) -> Array:
    """A NumPy constant in the precision of ``like``, complex only where it is."""
    dtype = like.dtype
    if np.iscomplexobj(array) and not jnp.iscomplexobj(like):
        dtype = jnp.result_type(dtype, jnp.complex64)
    return jnp.asarray(array, dtype)


def as_columns(x: Array) -> Array:
    """Vectors ``[..., N]`` as columns ``[N, B]``."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).T


def as_vectors(y: Array, lead: tuple) -> Array:
    """Columns ``[N, B]`` as vectors ``[*lead, N]``."""
    return y.T.reshape(*lead, y.shape[0])


def _rows(table, which, x):
    """The rows of each summand."""
    order = _order(table, which)
    v = x if _is_run(order) else x[order]
    return pieces(v, [s.positions.size for s in table.summands[which]], 0)


def _shares(table, which, components) -> dict[int, Iterator[Array]]:
    """Each component cut into what the summands hold, in their order."""
    sizes: dict[int, list[int]] = {}
    for s in table.summands[which]:
        for number, m in s.irreps:
            sizes.setdefault(number, []).append(m * len(s.positions))
    return {i: iter(pieces(v, sizes[i], 0)) for i, v in components.items()}


def _order(table, which) -> np.ndarray:
    return np.concatenate([s.positions.ravel() for s in table.summands[which]])


def _is_run(flat: np.ndarray) -> bool:
    return bool((np.diff(flat) == 1).all())


def _joined(parts: list[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis)
