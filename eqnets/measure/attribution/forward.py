"""All contributions by forward mode, a few layers at a time.

The network is cut into segments in which ``chunk`` layers begin. The tangents of these
layers start there, one after the other, and are pushed in one batch through the
segments behind; what lies before a layer costs nothing. A segment is compiled twice (to
start, to push), whatever the number of layers.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .engine import Network, constants, needed_constants
from .graph import Op, Value
from .pooling import max_pool_tangents

# The place of the tangent of the whole network, before those of its layers.
WHOLE = -1
# Tangents of a value: one row for each layer that has begun, or None for zero.
Rows = Float[Array, "_k ..."] | None


@dataclasses.dataclass(frozen=True)
class Segment:
    """A run of operations.

    Attributes:
        ops: positions of its operations.
        starts: the layers that begin here.
        touches: the layers that any of its operations belong to.
        consts: the constants it reads.
        reads: the values it needs from before, those of later segments included.
        writes: the values it leaves to later segments.
    """

    ops: tuple[int, ...]
    starts: tuple[int, ...]
    touches: frozenset[int]
    consts: tuple[Value, ...]
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


class Forward:
    """The compiled segments of one network.

    Args:
        network: what to run.
        chunk: tangents in a batch, at least 2.
    """

    def __init__(self, network: Network, chunk: int):
        self.network, self.chunk = network, max(chunk, 2)
        self.segments = cut(network, self.chunk)
        self.wanted = needed_constants(network)
        self.prepare = jax.jit(constants(network))
        self._moved_input = jax.jit(lambda x: network.action.tangent(x)[None])
        self._moved_output = jax.jit(lambda y: network.generator(network.output, y))
        self._compiled = jax.jit(self._push, static_argnums=(0, 1))

    def __call__(
        self, consts: list[Any], x: Array
    ) -> tuple[Float[Array, "_l _b ..."], Float[Array, "_b ..."]]:
        """The contributions of all layers to every output, and the Lie derivative."""
        held = dict(zip(self.wanted, self.prepare(consts), strict=True))
        states: list[list[Array]] = [[x]]
        found = []
        for first, origin in enumerate(self.segments):
            rows: list[Rows] = [None] * len(states[first])
            if not first:
                rows = [self._moved_input(x)]
            for at in range(first, len(self.segments)):
                segment = self.segments[at]
                arrays = [held[v] for v in segment.consts]
                # Layers that come again further on; most never do.
                mine = origin.starts if segment.touches & {*origin.starts} else ()
                state, rows = self._compiled(at, mine, arrays, states[at], rows)
                if len(states) == at + 1:
                    states.append(state)
            found.append(rows[-1][: len(origin.starts)])
            states[first] = []  # no later layer needs it
        total, *_ = found[0]
        still = self._moved_output(states[-1][-1])
        if still is not None:
            total = total - still
        return jnp.concatenate(found)[1:], total

    def _push(
        self,
        at: int,
        layers: tuple[int, ...],
        consts: list[Array],
        state: list[Array],
        rows: list[Rows],
    ) -> tuple[list[Array], list[Rows]]:
        """Values behind a segment, and their tangents for the batch of ``layers``."""
        segment = self.segments[at]
        walk = Walk(self.network, layers)
        walk.values |= dict(zip(segment.consts, consts, strict=True))
        walk.values |= dict(zip(segment.reads, state, strict=True))
        walk.rows |= dict(zip(segment.reads, rows, strict=True))
        for i in segment.ops:
            walk.step(self.network.ops[i], self.network.layer_at[i])
        return (
            [walk.values[v] for v in segment.writes],
            [self._full(walk.values[v], walk.rows[v]) for v in segment.writes],
        )

    def _full(self, y: Array, rows: Rows) -> Rows:
        """A row for every layer of a batch, so that all batches have one shape."""
        if not jnp.issubdtype(y.dtype, jnp.inexact):
            return None
        return _pad(rows, self.chunk, y)


class Walk:
    """Operation after operation, with the tangents of a batch of layers.

    Attributes:
        values: of the network.
        rows: tangents of each, as layers read them that did not make it.
    """

    def __init__(self, network: Network, layers: Sequence[int]):
        self.network = network
        self.row_of = {g: k for k, g in enumerate(layers)}
        self.values: dict[Value, Array] = {}
        self.rows: dict[Value, Rows] = {}
        self._inside: dict[Value, Rows] = {}
        self._moves: dict[Value, Array | None] = {}

    def step(self, op: Op, g: int) -> None:
        """Carry the batch through one operation of layer ``g``."""
        inputs = [
            (self.values[a], self._enter(a, g))
            if isinstance(a, Value)
            else (a.val, None)
            for a in op.inputs
        ]
        out, rows = push(op, [y for y, _ in inputs], [d for _, d in inputs])
        for value, y, d in zip(op.outputs, out, rows, strict=True):
            self.values[value], self._inside[value] = y, d
            leaves = g in self.row_of and self.network.crosses(value)
            self.rows[value] = self._moved(value, d, g, -1) if leaves else d

    def _enter(self, value: Value, g: int) -> Rows:
        if not value.moving:
            return None
        own = self.network.layer_of.get(value) == g
        if own and value in self._inside:
            return self._inside[value]
        if g not in self.row_of or (own and not self.network.crosses(value)):
            return self.rows[value]
        return self._moved(value, self.rows[value], g, 1)

    def _moved(self, value: Value, rows: Rows, g: int, sign: int) -> Rows:
        """``rows`` with the generator added to that of layer ``g``."""
        if value not in self._moves:
            self._moves[value] = self.network.generator(value, self.values[value])
        v = self._moves[value]
        if v is None:
            return rows
        k = self.row_of[g]
        have = 0 if rows is None else len(rows)
        if k == have:  # begins here
            return jnp.concatenate([*([] if rows is None else [rows]), sign * v[None]])
        rows = _pad(rows, max(have, k + 1), v)
        return rows.at[k].add(sign * v)


def push(
    op: Op, inputs: Sequence[Any], rows: Sequence[Rows]
) -> tuple[list[Array], list[Rows]]:
    """The outputs of an operation and their tangents, for a batch of tangents."""
    active = [i for i, d in enumerate(rows) if d is not None]
    if not active:
        return op.evaluate(inputs), [None] * len(op.outputs)
    if op.name == "reduce_window_max":
        return op.evaluate(inputs), [max_pool_tangents(op, inputs[0], rows[0])]
    size = max(len(rows[i]) for i in active)
    batch = [_pad(rows[i], size, inputs[i]) for i in active]

    def at(*moving: Array) -> list[Array]:
        values = list(inputs)
        for i, y in zip(active, moving, strict=True):
            values[i] = y
        return op.evaluate(values)

    def along(*tangents: Array) -> tuple[list[Array], list[Array]]:
        out, d = jax.jvp(at, tuple(inputs[i] for i in active), tangents)
        smooth = [jnp.issubdtype(y.dtype, jnp.inexact) for y in out]
        return out, [e for e, s in zip(d, smooth, strict=True) if s]

    out, d = jax.vmap(along, out_axes=(None, 0))(*batch)
    rest = iter(d)
    smooth = [jnp.issubdtype(y.dtype, jnp.inexact) for y in out]
    return out, [next(rest) if s else None for s in smooth]


def _pad(rows: Rows, size: int, y: Any) -> Float[Array, "_k ..."]:
    """``rows`` with zeros for layers that have not begun."""
    have = 0 if rows is None else len(rows)
    if have == size:
        return rows
    zeros = jnp.zeros((size - have, *jnp.shape(y)), jnp.result_type(y))
    return zeros if rows is None else jnp.concatenate([rows, zeros])


def cut(network: Network, chunk: int) -> list[Segment]:
    """Segments in which ``chunk`` tangents begin, that of the whole network first."""
    begins = [0, *(layer.ops[0] for layer in network.layers)]
    bounds = itertools.pairwise([*begins[::chunk], len(network.ops)])
    runs = [tuple(range(*ends)) for ends in bounds]
    last = {v: at for at, ops in enumerate(runs) for v in _read(network, ops)}
    last[network.output] = len(runs)
    segments = []
    state = (network.graph.inputs[0],)
    for at, ops in enumerate(runs):
        made = [v for i in ops for v in network.ops[i].outputs]
        live = [v for v in (*state, *made) if last.get(v, -1) > at]
        writes = tuple(sorted(live, key=lambda v: v is network.output))
        tangents = range(at * chunk, min((at + 1) * chunk, len(begins)))
        segments.append(
            Segment(
                ops,
                tuple(WHOLE + k for k in tangents),
                frozenset(network.layer_at[i] for i in ops),
                tuple(v for v in _read(network, ops) if not v.moving),
                state,
                writes,
            )
        )
        state = writes
    return segments


def _read(network: Network, ops: Sequence[int]) -> dict[Value, None]:
    """The values that operations read, each once, in order."""
    atoms = (a for i in ops for a in network.ops[i].inputs)
    return dict.fromkeys(a for a in atoms if isinstance(a, Value))
