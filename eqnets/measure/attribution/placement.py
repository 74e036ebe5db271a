"""Placing every activation of a network on the image."""

import contextlib
from collections.abc import Mapping

from . import contractions  # noqa: F401  its rules register themselves
from .graph import Graph, Op, Value, flatten
from .layout import Layout, plain
from .rules import ELEMENTWISE, RULES, lose, propagate

Places = dict[Value, Layout]
_ROUNDS = 8


def place(graph: Graph, of_input: Layout, stated: Mapping[Value, Layout]) -> Places:
    """The layout of every value that depends on the input.

    Args:
        graph: the network.
        of_input: the layout of its input.
        stated: layouts that the user gave.

    A value whose place is open takes it from a later sum with a placed one (the
    residual stream around a dense layer over tokens), so that the operations are gone
    through until nothing changes.
    """
    known = dict(stated)
    for _ in range(_ROUNDS):
        places = {graph.inputs[0]: of_input}
        found: Places = {}
        for op in graph.ops:
            if not op.moving:
                continue
            for value, layout in zip(op.outputs, _outputs(op, places), strict=True):
                places[value] = known.get(value, layout)
            if op.name in ELEMENTWISE:
                _learn(op, places, found)
        before = len(known)
        _follow_back(graph, places, found)
        known |= {v: layout for v, layout in found.items() if v not in known}
        if len(known) == before:
            break
    return places


def _outputs(op: Op, places: Places) -> list[Layout]:
    layouts = [
        places[v] if isinstance(v, Value) and v.moving else plain(len(v.aval.shape))
        for v in op.inputs
    ]
    body = _bodies(op)
    if body is not None and op.name not in RULES:
        return _through(op, body, layouts)
    if op.name == "split":
        return _split(op, layouts)
    layout = propagate(op, layouts)
    return [
        layout if len(v.shape) == len(layout.dims) else plain(len(v.shape))
        for v in op.outputs
    ]


def _bodies(op: Op) -> list | None:
    """The inner programs of an operation that stays whole, with its arguments."""
    params = op.equation.params
    if op.name == "custom_jvp_call":
        return [(params["call_jaxpr"], op.inputs)]
    if op.name == "cond" and not getattr(op.inputs[0], "moving", False):
        return [(branch, op.inputs[1:]) for branch in params["branches"]]
    return None


def _through(op: Op, bodies: list, layouts: list[Layout]) -> list[Layout]:
    """The layouts behind inner programs, which have to agree."""
    answers = []
    for closed, arguments in bodies:
        inner = flatten(closed.jaxpr)
        given = layouts[len(layouts) - len(arguments) :]
        places: Places = {}
        for value, layout in zip(inner.inputs, given, strict=True):
            value.moving = layout.spatial or layout.open or layout.lost is not None
            places[value] = layout
        for step in inner.ops:
            for value in step.outputs:
                value.moving = bool(step.moving_inputs())
            if not step.moving:
                continue
            for value, layout in zip(step.outputs, _outputs(step, places), strict=True):
                places[value] = layout
        answers.append([places.get(v, plain(len(v.aval.shape))) for v in inner.outputs])
    if any(answer != answers[0] for answer in answers):
        return [lose(op) for _ in op.outputs]
    return answers[0]


def _split(op: Op, layouts: list[Layout]) -> list[Layout]:
    """Parts of an axis that does not hold the image."""
    (source,), axis = layouts, op.equation.params["axis"]
    if source.dims[axis] is not None:
        return [lose(op) for _ in op.outputs]
    return [source for _ in op.outputs]


def _learn(op: Op, places: Places, found: Places) -> None:
    """Give the place of a sum to those of its terms that had none."""
    result = places[op.outputs[0]]
    if not result.spatial or result.open or result.lost:
        return
    for value in op.moving_inputs():
        unknown = places[value].open or places[value].lost is not None
        if unknown and value.shape == op.outputs[0].shape:
            found[value] = result


def _follow_back(graph: Graph, places: Places, found: Places) -> None:
    """Carry what was learnt back through operations that keep the axes in order."""
    for op in reversed(graph.ops):
        layout = found.get(op.outputs[0]) if op.outputs else None
        if layout is None:
            continue
        for value in op.moving_inputs():
            here = places[value]
            if not (here.open or here.lost):
                continue
            if op.name in ELEMENTWISE and value.shape == op.outputs[0].shape:
                found[value] = layout
            elif op.name == "transpose":
                order = op.equation.params["permutation"]
                with contextlib.suppress(ValueError):
                    back = tuple(layout.dims[order.index(i)] for i in range(len(order)))
                    found[value] = Layout(back)
