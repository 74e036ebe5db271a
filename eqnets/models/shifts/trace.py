"""Evaluate a traced network so that circular shifts commute with it.

A network is a list of primitive operations. Most commute with shifts as they are;
windows that stride or pad do not, and are evaluated at the component of their input
that has the largest norm, with circular borders ("input-select", see
`eqnets.nn.dropin`). What each value is known to be is carried along, so that it is
known in the end whether the network is invariant, and if not, where the proof stopped.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.extend import core

from eqnets.models.shifts import shapes, windows
from eqnets.models.shifts.kinds import Frame, Kind, Run, bind, border, still

_RULES = {**shapes.RULES, **windows.RULES}
_CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


def evaluate(
    run: Run,
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    values: Sequence[Any],
    kinds: Sequence[Kind],
) -> tuple[list[Any], list[Kind]]:
    """The outputs of a program, and what is known of them."""
    known: dict[Any, tuple[Any, Kind]] = {}

    def read(atom: Any) -> tuple[Any, Kind]:
        if isinstance(atom, core.Literal):
            return atom.val, still(atom.val)
        return known[atom]

    for var, value in zip(jaxpr.constvars, consts, strict=True):
        known[var] = (value, still(value))
    for var, value, kind in zip(jaxpr.invars, values, kinds, strict=True):
        known[var] = (value, kind)
    for eqn in jaxpr.eqns:
        pairs = [read(atom) for atom in eqn.invars]
        outs, after = _operation(run, eqn, [v for v, _ in pairs], [k for _, k in pairs])
        for var, value, kind in zip(eqn.outvars, outs, after, strict=True):
            known[var] = (value, kind)
    pairs = [read(atom) for atom in jaxpr.outvars]
    return [v for v, _ in pairs], [k for _, k in pairs]


def _operation(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> tuple[list, list[Kind]]:
    name = eqn.primitive.name
    nothing = [None] * len(eqn.outvars)
    moving = any(isinstance(k, Frame) for k in kinds)
    if None not in kinds:
        if not moving:
            return bind(eqn, values), shapes.still_outputs(eqn, kinds)
        if name in _CALLS:
            outer, run.scope = run.scope, run.layer_of(eqn)
            result = _call(run, eqn, values, kinds)
            run.scope = outer
            return result
        done = None
        padded = any(isinstance(k, Frame) and k.padded for k in kinds)
        if name in _RULES and (not padded or name in windows.RULES):
            done = _RULES[name](run, eqn, values, kinds)
        if done is not None:
            return done
        run.stop(eqn, "cannot be made to commute with shifts, or not by this converter")
    whole = [
        border(v, k) if isinstance(k, Frame) and k.padded else v
        for v, k in zip(values, kinds, strict=True)
    ]
    return bind(eqn, whole), nothing


def _call(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> tuple[list, list[Kind]]:
    """A function within the program."""
    name = eqn.primitive.name
    inner = eqn.params[_CALLS[name]]
    closed = inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ())
    if eqn.params.get("name") == "_pad":
        frame = _circular_border(closed, values, kinds[0])
        if frame is not None:
            return [values[0]], [frame]
    if not name.startswith("custom"):
        return evaluate(run, closed.jaxpr, closed.consts, values, kinds)
    # Its own derivative rule can stay if nothing within is to be evaluated otherwise.
    trial, found = Run(run.p, index=dict(run.index), scope=run.scope), []

    def look(*values: Any) -> list:
        outs, after = evaluate(trial, closed.jaxpr, closed.consts, values, kinds)
        found.extend(after)
        return outs

    jax.eval_shape(look, *values)
    if trial.replaced:
        return evaluate(run, closed.jaxpr, closed.consts, values, kinds)
    run.obstacles.extend(trial.obstacles)
    return bind(eqn, values), found


def _circular_border(
    inner: core.ClosedJaxpr, values: list, frame: Kind
) -> Frame | None:
    """The frame after ``jnp.pad(mode="wrap")``, recognised by where samples go."""
    before, after = jnp.shape(values[0]), inner.jaxpr.outvars[0].aval.shape
    grown = {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
    if not isinstance(frame, Frame) or frame.padded or not grown <= set(frame.axes):
        return None
    pads = []
    for axis in frame.axes:
        size = before[axis]
        line = _where_samples_go(inner, values, axis)
        low = int(-line[0] % size)
        if not (line == np.arange(-low, after[axis] - low) % size).all():
            return None
        pads.append((low, int(after[axis]) - size - low))
    return dataclasses.replace(frame, pads=tuple(pads))


def _where_samples_go(inner: core.ClosedJaxpr, values: list, axis: int) -> np.ndarray:
    """The input position of every output sample along an axis."""
    run = core.jaxpr_as_fun(inner)
    shape = jnp.shape(values[0])
    if any(export.is_symbolic_dim(n) for n in shape):
        # Only what is exported with its symbols can be called with a number for them.
        run = export.export(jax.jit(run))(*inner.in_avals).call
        shape = [1 if export.is_symbolic_dim(n) else n for n in shape]
    column = [-1 if i == axis else 1 for i in range(len(shape))]
    with jax.ensure_compile_time_eval():
        places = jnp.arange(shape[axis], dtype=jnp.float32).reshape(column)
        rest = [jnp.full(jnp.shape(v), -1, jnp.result_type(v)) for v in values[1:]]
        out = run(jnp.broadcast_to(places, shape), *rest)[0]
    line = tuple(slice(None) if i == axis else 0 for i in range(len(shape)))
    return np.asarray(out)[line].astype(int)
