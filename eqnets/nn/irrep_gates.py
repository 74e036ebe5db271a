"""Gates on isotypic components: the sigmoid of an invariant for each copy."""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from eqnets.nn.components import Components, constant, pieces, repeated
from eqnets.reps import Rep
from eqnets.reps.isotypic import IrrepTable, Summand, irrep_table

_RUNS = 8  # more runs of rows are taken at once


@dataclass(frozen=True, eq=False)
class IrrepGates:
    """Which copies of each irrep come out, and which invariants gate them.

    Attributes:
        rows: for each irrep of the output, the copies of the input, ``[m]``.
        gates: for each, the copies of the trivial irrep of the input, ``[m]``.
        trivial: the number of the trivial irrep.
        count: how many copies it has in the input.
    """

    rows: dict[int, np.ndarray]
    gates: dict[int, np.ndarray]
    trivial: int
    count: int

    def apply(self, v: Components) -> Components:
        """Components ``[m, d, B]`` times the sigmoids of their gates."""
        gates = jax.nn.sigmoid(v[self.trivial][:, 0].real)
        return {
            i: _taken(v[i], rows) * self._spread(gates, i, v[i].shape[1])
            for i, rows in self.rows.items()
        }

    def _spread(self, gates: Array, irrep: int, d: int) -> Array:
        """The gates of the copies of an irrep, ``[m, d, B]``."""
        at = self.gates[irrep]
        if _is_few_runs(at):
            return repeated(_taken(gates, at), d, 1)
        # A product with ones and zeros: the transpose of a gather is a slow scatter.
        return repeated(constant(np.eye(self.count)[at], gates) @ gates, d, 1)


@lru_cache(maxsize=64)
def irrep_gates(
    among: tuple[Rep, ...], which: tuple[int, int], places: tuple[int, ...]
) -> IrrepGates | None:
    """The gates of a layer, or None where it gates coordinates and not tensors.

    Args:
        among: the representations of the table.
        which: the numbers of those that go in and come out; the latter are the first
            coordinates of the former.
        places: for each coordinate that comes out, the one of the input that gates it.
    """
    table = irrep_table(*among)
    if table is None:
        return None
    entering, leaving = (_copies(table, number) for number in which)
    invariants = _invariants(table, which[0])
    rows, gates = {}, {}
    for i, copies in leaving.items():
        rows[i] = np.array([entering[i][copy] for copy in copies])
        gates[i] = np.empty(len(copies), int)
        for at, (positions, _) in enumerate(copies):
            gate = {places[p] for p in positions}
            if len(gate) > 1 or not gate <= invariants.keys():
                return None
            gates[i][at] = invariants[gate.pop()]
    if table.trivial is None:
        return None
    count = table.multiplicities(which[0])[table.trivial]
    return IrrepGates(rows, gates, table.trivial, count)


def _copies(table: IrrepTable, which: int) -> dict[int, dict[tuple, int]]:
    """For each irrep, (the coordinates of the tensor, its k-th copy in it) -> place."""
    found: dict[int, dict[tuple, int]] = {}
    for s in table.summands[which]:
        for positions in s.positions:
            for i, m in s.irreps:
                for k in range(m):
                    places = found.setdefault(i, {})
                    places[tuple(positions.tolist()), k] = len(places)
    return found


def _invariants(table: IrrepTable, which: int) -> dict[int, int]:
    """Coordinates that are invariants as they stand -> their copy of the irrep."""
    copies = _copies(table, which).get(table.trivial, {})
    plain = {
        int(p)
        for s in table.summands[which]
        if _is_scalar(s)
        for p in s.positions[:, 0]
    }
    return {
        positions[0]: at
        for (positions, _), at in copies.items()
        if positions[0] in plain and len(positions) == 1
    }


def _is_scalar(s: Summand) -> bool:
    return s.positions.shape[1] == 1 and s.is_identity


def _taken(x: Array, rows: np.ndarray) -> Array:
    """Rows of x, in one split where they are few runs."""
    if not _is_few_runs(rows):
        return x[rows]
    runs = _runs(rows)
    ends = np.unique([0, len(x), *(e for run in runs for e in (run[0], run[-1] + 1))])
    wanted = set(rows.tolist())
    parts = zip(ends, pieces(x, np.diff(ends).tolist(), 0), strict=False)
    kept = [part for start, part in parts if int(start) in wanted]
    return kept[0] if len(kept) == 1 else jnp.concatenate(kept)


def _is_few_runs(rows: np.ndarray) -> bool:
    return len(_runs(rows)) <= _RUNS and bool((np.diff(rows) > 0).all())


def _runs(rows: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
