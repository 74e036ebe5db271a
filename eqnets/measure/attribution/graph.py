"""A traced function as one flat list of operations, each value with its own identity.

Calls (``jit``, ``remat``, ``custom_vjp``, loops of known length) are inlined, so that
every operation of the network can be seen, wherever the user put a ``jax.jit``. JAX
reuses one inner program for several calls; inlining makes new values for each of them,
since values that were shared by accident would be attributed to the wrong layer.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

_JAX = os.path.dirname(jax.__file__)
# The longest loop that is unrolled.
MAX_UNROLL = 256
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    # Under attribution the derivative is that of the function itself: forward mode
    # cannot run a rule that was written for reverse mode.
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}


@dataclasses.dataclass(eq=False)
class Value:
    """An array that flows through the network; it is compared by identity.

    Attributes:
        aval: its shape and dtype.
        moving: whether it depends on the input.
    """

    aval: Any
    moving: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.aval.shape


@dataclasses.dataclass(eq=False)
class Held:
    """An array that an inner program holds; like a literal, it has a value.

    Attributes:
        val: the array.
    """

    val: Any

    @property
    def aval(self) -> Any:
        """Its shape and dtype."""
        return jax.typeof(self.val)


Atom = Value | Literal | Held


@dataclasses.dataclass(eq=False)
class Op:
    """One operation.

    Attributes:
        equation: what JAX traced: the primitive and its parameters.
        within: the jaxpr that the equation stands in.
        inputs: values, literal numbers, arrays held by an inner program.
        outputs: new values.
        scope: the names around it, outermost first.
        call: the library function it belongs to (``softmax``) and the line that called
            it, or None.
    """

    equation: Any
    within: Any
    inputs: tuple[Atom, ...]
    outputs: tuple[Value, ...]
    scope: tuple[str, ...]
    call: tuple[str, str, int] | None

    @property
    def name(self) -> str:
        """The name of the primitive."""
        return self.equation.primitive.name

    @property
    def moving(self) -> bool:
        """Whether the result depends on the input of the network."""
        return any(v.moving for v in self.outputs)

    def moving_inputs(self) -> list[Value]:
        """The inputs that depend on the input of the network."""
        return [v for v in self.inputs if isinstance(v, Value) and v.moving]

    def evaluate(self, values: Sequence[Any]) -> list[Any]:
        """The outputs for these inputs; differentiable."""
        read = zip(self.equation.invars, values, strict=True)
        arrays = {v: y for v, y in read if not isinstance(v, Literal)}
        program = self.within.replace(
            constvars=[],
            invars=list(arrays),
            outvars=list(self.equation.outvars),
            eqns=[self.equation],
        )
        return jax.core.eval_jaxpr(program, (), *arrays.values())


@dataclasses.dataclass(frozen=True)
class Graph:
    """Operations in the order in which the function was traced.

    Attributes:
        ops: every operation.
        consts: the arrays that the function closes over.
        inputs: of the function.
        outputs: of the function.
    """

    ops: list[Op]
    consts: list[Value]
    inputs: list[Value]
    outputs: list[Atom]


def flatten(jaxpr: Any) -> Graph:
    """The operations of a jaxpr (not closed), calls inlined."""
    consts = [Value(v.aval) for v in jaxpr.constvars]
    inputs = [Value(v.aval, moving=True) for v in jaxpr.invars]
    ops: list[Op] = []
    outputs = _inline(jaxpr, consts, inputs, (), None, ops)
    return Graph(ops, consts, inputs, outputs)


def _inline(
    jaxpr: Any,
    consts: Sequence[Atom],
    inputs: Sequence[Atom],
    scope: tuple[str, ...],
    call: tuple[str, str, int] | None,
    ops: list[Op],
) -> list[Atom]:
    """Append the operations of ``jaxpr`` to ``ops``; return its outputs."""
    env: dict[Any, Atom] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Atom:
        return atom if isinstance(atom, Literal) else env[atom]

    for equation in jaxpr.eqns:
        values = [read(v) for v in equation.invars]
        inner_scope = _extend(scope, equation)
        inner_call = call or _library_call(equation)
        name = equation.primitive.name
        if name in _CALLS:
            inner, closed_over = _body(equation.params[_CALLS[name]])
            arrays = [Held(c) for c in closed_over]
            named = inner_call or _named_call(equation, inner)
            out = _inline(inner, arrays, values, inner_scope, named, ops)
        elif name == "scan" and equation.params["length"] <= MAX_UNROLL:
            out = _unroll(equation, values, inner_scope, ops)
        else:
            moving = any(isinstance(v, Value) and v.moving for v in values)
            out = [Value(v.aval, moving) for v in equation.outvars]
            ops.append(
                Op(equation, jaxpr, tuple(values), tuple(out), inner_scope, inner_call)
            )
        env.update(zip(equation.outvars, out, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _body(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    if isinstance(jaxpr, ClosedJaxpr):
        return jaxpr.jaxpr, jaxpr.consts
    return jaxpr, ()


def _unroll(
    equation: Any, values: Sequence[Atom], scope: tuple[str, ...], ops: list[Op]
) -> list[Atom]:
    """The steps of a scan one after the other; step i is scope ``[i]``."""
    p = equation.params
    body, held = _body(p["jaxpr"])
    arrays = [Held(c) for c in held]
    n_consts, n_carry = p["num_consts"], p["num_carry"]
    fixed, carry = values[:n_consts], list(values[n_consts : n_consts + n_carry])
    sequences = values[n_consts + n_carry :]
    order = range(p["length"])
    stacked: list[list[Atom]] = []
    for i in reversed(order) if p["reverse"] else order:
        step = (*scope, f"[{i}]")
        rows = [
            _apply(lambda a, i=i: lax.index_in_dim(a, i, 0, False), [s], step, ops)
            for s in sequences
        ]
        out = _inline(body, arrays, [*fixed, *carry, *rows], step, None, ops)
        carry = out[:n_carry]
        stacked.append(out[n_carry:])
    if p["reverse"]:
        stacked.reverse()
    columns = zip(*stacked, strict=True) if stacked and stacked[0] else ()
    joined = [
        _apply(lambda *rows: jax.numpy.stack(rows), list(c), scope, ops)
        for c in columns
    ]
    return [*carry, *joined]


def _apply(f: Any, inputs: list[Atom], scope: tuple[str, ...], ops: list[Op]) -> Atom:
    """Append what ``f`` does to ``inputs``."""
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in inputs]
    closed = jax.make_jaxpr(f)(*shapes)
    consts = [Held(c) for c in closed.consts]
    return _inline(closed.jaxpr, consts, inputs, scope, None, ops)[0]


def _extend(scope: tuple[str, ...], equation: Any) -> tuple[str, ...]:
    """``scope`` with the named scopes around an equation.

    A scope that begins with ``@`` holds a whole module path and starts afresh; einsum
    formulas, which JAX adds as scopes, are left out.
    """
    for element in equation.source_info.name_stack.stack:
        if type(element).__name__ != "Scope" or "->" in element.name:
            continue
        if element.name.startswith("@"):
            scope = tuple(part for part in element.name[1:].split("/") if part)
        else:
            scope = (*scope, *(p for p in element.name.split("/") if p))
    return scope


def _library_call(equation: Any) -> tuple[str, str, int] | None:
    """The function of JAX that user code called, with the place of the call."""
    traceback = equation.source_info.traceback
    called = None
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith(_JAX):
            if called is None or "<" in called or "." in called:
                return None
            return called, frame.file_name, frame.line_num
        called = frame.function_name
    return None


_calls = itertools.count()


def _named_call(equation: Any, inner: Any) -> tuple[str, str, int] | None:
    """A small compiled function without layers in it, such as ``silu``, by its name."""
    heavy = {"conv_general_dilated", "dot_general", "scan", "while"}
    for e in _equations(inner):
        if e.primitive.name in heavy or e.primitive.name.startswith("reduce_window"):
            return None
        if _extend((), e):
            return None
    name = equation.params.get("name")
    return (name.strip("_"), "", next(_calls)) if isinstance(name, str) else None


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for param in equation.params.values():
            body = getattr(param, "jaxpr", param)
            if hasattr(body, "eqns"):
                yield from _equations(body)
