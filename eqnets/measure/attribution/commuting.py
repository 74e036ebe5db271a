"""Layers that commute with the action by construction, whose contribution is zero.

A channelwise affine map, a 1x1 convolution, a dense layer on tokens, a residual sum do
the same at every place, and linearly: X(a y + b) = a X y as long as X takes constants
to zero. Their contribution need not be computed. The total is computed apart from the
contributions, so that a layer taken for commuting by mistake would show as a residual.
"""

from collections.abc import Mapping

import numpy as np
from jax.extend.core import Literal

from eqnets.actions import Action

from .graph import Graph, Op, Value
from .grouping import Layer
from .layout import Layout
from .placement import Places
from .rules import NEUTRAL

_SUMS = frozenset({"add", "add_any", "sub", "neg", "convert_element_type", "copy"})


def absorb(
    graph: Graph, layers: tuple[Layer, ...], places: Places, action: Action
) -> tuple[tuple[Layer, ...], np.ndarray]:
    """Join commuting layers to the layer that they read from.

    Returns:
        The layers that are left, and for each of ``layers`` its place among them, or
        -1 where it contributes nothing.
    """
    ops = [op for op in graph.ops if op.moving]
    home = {v: g for g, x in enumerate(layers) for i in x.ops for v in ops[i].outputs}
    constants = {v: op for op in graph.ops if not op.moving for v in op.outputs}
    owner = list(range(len(layers)))
    for g, layer in enumerate(layers):
        mine = [ops[i] for i in layer.ops]
        sources = [home[v] for op in mine for v in op.moving_inputs() if v in home]
        before = [s for s in sources if s < g]
        if before and all(_commutes(op, places, constants, action) for op in mine):
            owner[g] = owner[before[0]]
    kept = [g for g in range(len(layers)) if owner[g] == g]
    members: dict[int, list[int]] = {g: [] for g in kept}
    for g, layer in enumerate(layers):
        members[owner[g]] += layer.ops
    joined = tuple(
        Layer(layers[g].name, layers[g].kind, tuple(sorted(members[g]))) for g in kept
    )
    rows = [kept.index(g) if owner[g] == g else -1 for g in range(len(layers))]
    return joined, np.array(rows)


def _commutes(
    op: Op, places: Places, constants: Mapping[Value, Op], action: Action
) -> bool:
    """Whether an operation is a linear map done alike at every place."""
    moving = op.moving_inputs()
    layouts = [places[v] for v in (*moving, *op.outputs)]
    if any(x.lost or x.open for x in layouts):
        return False
    if not any(x.spatial and x.whole for x in layouts):
        return not any(x.spatial for x in layouts)
    result = places[op.outputs[0]]
    if op.name in NEUTRAL | {"slice", "split"}:
        return _samples(places[moving[0]]) == _samples(result)
    if op.name in _SUMS | {"mul", "div"}:
        if any(places[v] != result for v in moving):
            return False
        others = [a for a in op.inputs if a not in moving]
        if not all(_even(a, result, constants) for a in others):
            return False
        if op.name == "mul":
            return len(moving) == 1
        if op.name == "div":
            return moving == [op.inputs[0]]
        return not others or action.annihilates_constants
    if op.name == "conv_general_dilated":
        p, kernel = op.equation.params, op.inputs[1].aval.shape
        window = [kernel[i] for i in p["dimension_numbers"].rhs_spec[2:]]
        still = {*window, *p["window_strides"], *p["lhs_dilation"]} == {1}
        return still and not any(map(any, p["padding"])) and len(moving) == 1
    if op.name == "dot_general":
        summed, shared = op.equation.params["dimension_numbers"]
        side = next(k for k, a in enumerate(op.inputs) if a is moving[0])
        used = [*summed[side], *shared[side]]
        return len(moving) == 1 and all(places[moving[0]].dims[i] is None for i in used)
    return False


def _samples(layout: Layout) -> list:
    """The factors that hold the image, in order, with what stands around them."""
    dims = [d for d in layout.dims if d is not None]
    fringe = [(d.before, d.after) for d in dims if d.before or d.after]
    return [fringe, [f for d in dims for f in d.factors if f.axis]]


def _even(atom: object, layout: Layout, constants: Mapping[Value, Op]) -> bool:
    """Whether a constant is the same at every place of the image."""
    if isinstance(atom, Literal) or not atom.aval.shape:
        return not atom.aval.shape
    return all(
        dim is None or _constant_along(atom, i, constants)
        for i, dim in enumerate(layout.dims)
    )


def _constant_along(atom: object, axis: int, constants: Mapping[Value, Op]) -> bool:
    if atom.aval.shape[axis] == 1:
        return True
    op = constants.get(atom)
    if op is None or op.name != "broadcast_in_dim":
        return False
    kept = op.equation.params["broadcast_dimensions"]
    return axis not in kept or op.inputs[0].aval.shape[kept.index(axis)] == 1
