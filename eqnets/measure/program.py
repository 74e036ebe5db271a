"""Any callable as a compiled program whose arrays are arguments.

Closing a compiled function over a model bakes its parameters in as constants (slow to
compile, and stale after the next training step). Here a callable is traced at every
call, the arrays it closes over are taken out, and programs that print alike share one
compilation, whatever the values of their arrays. This needs no knowledge of the
framework: plain functions, Flax NNX and Linen modules and pytree modules alike.
"""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, subjaxprs
from jaxtyping import Array, PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A traced function of one array; equal programs can share a compilation.

    Attributes:
        jaxpr: the trace; its constants are arguments of the call.
        out: shapes and dtypes of the outputs, in the structure of the result.
        key: what equality means.
    """

    jaxpr: Any
    out: PyTree[jax.ShapeDtypeStruct]
    key: Hashable

    def __call__(self, consts: list[Any], x: Array) -> list[Array]:
        """The leaves of the function's result at ``x``."""
        return jax.core.eval_jaxpr(self.jaxpr, consts, x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def trace(
    f: Callable[[Array], PyTree[Array]], x: Array, *, origin: Callable | None = None
) -> tuple[Program, list[Any]]:
    """Trace ``f`` at the shape of ``x``: the program and the arrays it closes over.

    Args:
        f: what to trace.
        x: an array of the shape to trace at.
        origin: the object that lasts from call to call, where ``f`` is made anew.

    Raises:
        TypeError: ``f`` is not callable or returns something that is not an array.
        ValueError: ``f`` changes its own state when called, as a network in training
            mode does.
    """
    if not callable(f):
        raise TypeError(
            "f must be a function of an array of images (a module, or a function that "
            f"closes over one); got {type(f).__name__}"
        )
    shape = jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))
    try:
        # A new function at every call: JAX remembers traces by the function's identity
        # and would hand back the arrays that a module held the first time.
        closed, out = jax.make_jaxpr(lambda x: f(x), return_shape=True)(shape)
    except Exception as error:
        if type(error).__name__ == "TraceContextError":
            raise ValueError(
                "the network changes its own state when it is called (batch statistics "
                "or dropout keys): measure its evaluation view, "
                "eqnets.functional.evaluation(model)"
            ) from error
        raise
    text = str(closed.jaxpr)
    key = (_origin(origin or f), text, jax.tree.structure(out), _private(closed))
    return Program(closed.jaxpr, out, key), list(closed.consts)


def _origin(f: Callable) -> Hashable:
    """What tells two callables apart beyond their trace: the code, else the object."""
    code = getattr(getattr(f, "__func__", f), "__code__", None)
    return code or id(f)


def _private(closed: ClosedJaxpr) -> Hashable:
    """Identity of arrays buried in inner programs, which are not arguments."""
    found, stack = [], [closed.jaxpr]
    while stack:
        jaxpr = stack.pop()
        for equation in jaxpr.eqns:
            for value in jax.tree.leaves(list(equation.params.values())):
                if isinstance(value, ClosedJaxpr):
                    found += map(id, value.consts)
        stack.extend(subjaxprs(jaxpr))
    return tuple(found)
