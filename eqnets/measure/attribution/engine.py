"""Exact attribution: every edge between two layers carries y + (eps_g - eps_h) X y.

The output F is then a function of one number eps for each layer, and
C_g = dF/d eps_g is what layer g adds to the Lie derivative: the C_g sum to L_X f
identically, because equal eps cancel on all inner edges and leave the action on the
input and the one on the output.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array, Float

from eqnets.actions import Action, identity

from .graph import Graph, Op, Value
from .grouping import Layer
from .layout import Extent, tangent
from .placement import Places

Values = dict[Value, Array]
Eps = dict[int, Array]


@jax.custom_jvp
def inject(y: Array, v: Array, eps: Float[Array, ""]) -> Array:
    """``y``, with the derivative of y + eps v at eps = 0."""
    return y


@inject.defjvp
def _inject_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (y, v, _), (dy, _, d_eps) = primals, tangents
    return y, dy + d_eps.astype(y.dtype) * v


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A placed and grouped network, ready to be run.

    Attributes:
        graph: its operations.
        layers: its groups.
        places: where the image is in each value.
        action: how the input moves.
        action_out: how the output moves.
        extent: of the input.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    places: Places
    action: Action
    action_out: Action
    extent: Extent

    @functools.cached_property
    def ops(self) -> list[Op]:
        """The operations that depend on the input."""
        return [op for op in self.graph.ops if op.moving]

    @functools.cached_property
    def layer_of(self) -> dict[Value, int]:
        """The layer that made a value."""
        return {
            v: g
            for g, layer in enumerate(self.layers)
            for i in layer.ops
            for v in self.ops[i].outputs
        }

    @functools.cached_property
    def readers(self) -> dict[Value, set[int]]:
        """The layers that read a value."""
        found: dict[Value, set[int]] = {}
        for g, layer in enumerate(self.layers):
            for i in layer.ops:
                for v in self.ops[i].moving_inputs():
                    found.setdefault(v, set()).add(g)
        return found

    @functools.cached_property
    def output(self) -> Value:
        """The output of the network."""
        return self.graph.outputs[0]

    def crosses(self, value: Value) -> bool:
        """Whether a layer reads the value that did not make it."""
        made = {self.layer_of.get(value, -1)}
        return value is self.output or bool(self.readers.get(value, set()) - made)

    def generator(self, value: Value, y: Array) -> Array | None:
        """X y for an activation; the output moves by its own action."""
        if value is self.output:
            still = self.action_out == identity()
            return None if still else self.action_out.tangent(y)
        return tangent(self.action, y, self.places[value], self.extent)

    @functools.cached_property
    def layer_at(self) -> dict[int, int]:
        """The layer of each operation."""
        return {i: g for g, layer in enumerate(self.layers) for i in layer.ops}

    def run(self, ops: Sequence[int], values: Values, eps: Eps) -> Values:
        """Evaluate operations with every edge between two layers gated by ``eps``.

        Args:
            ops: positions of operations, in order.
            values: what they read, as layers read it that did not make it.
            eps: for each layer; a layer that is not named leaves its edges alone.

        Returns:
            ``values`` and those that the operations made.
        """
        outside = dict(values)
        inside: Values = {}
        moves: dict[Value, Array | None] = {}
        read: dict[tuple[Value, int], Array] = {}

        def gate(value: Value, y: Array, factor: Array) -> Array:
            if value not in moves:
                moves[value] = self.generator(value, y)
            v = moves[value]
            return y if v is None else inject(y, v, factor)

        def enter(value: Value, g: int) -> Array:
            own = self.layer_of.get(value) == g
            if own and value in inside:
                return inside[value]
            if g not in eps or not value.moving or (own and not self.crosses(value)):
                return outside[value]
            if (value, g) not in read:
                read[value, g] = gate(value, outside[value], eps[g])
            return read[value, g]

        for i in ops:
            op, g = self.ops[i], self.layer_at[i]
            out = op.evaluate(
                [enter(a, g) if isinstance(a, Value) else a.val for a in op.inputs]
            )
            for value, y in zip(op.outputs, out, strict=True):
                inside[value] = outside[value] = y
                if g in eps and self.crosses(value):
                    outside[value] = gate(value, y, -eps[g])
        return outside


def constants(network: Network) -> Callable[[list[Any]], list[Array]]:
    """A function from the arrays of the network to every constant its layers read."""
    wanted = needed_constants(network)

    def prepare(consts: list[Any]) -> list[Array]:
        values = dict(zip(network.graph.consts, consts, strict=True))
        for op in network.graph.ops:
            if op.moving:
                continue
            inputs = [values[a] if isinstance(a, Value) else a.val for a in op.inputs]
            values.update(zip(op.outputs, op.evaluate(inputs), strict=True))
        return [values[v] for v in wanted]

    return prepare


def needed_constants(network: Network) -> list[Value]:
    """The values that layers read and that do not depend on the input."""
    found: dict[Value, None] = {}
    for op in network.ops:
        for a in op.inputs:
            if isinstance(a, Value) and not a.moving:
                found[a] = None
    return list(found)
