"""Cutting a model in two behind one of its layers: f = psi o phi."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.extend.core.primitives import name_p
from jaxtyping import Array, PyTree

from .tags import Marked

#: Primitives that only call another program, which is written out in their place.
CALLS = ("jit", "closed_call", "core_call", "remat", "remat2", "checkpoint")
#: The relative difference that psi(phi(x)) may have from f(x), in rounding units.
SAME = 1e4


class LeakError(ValueError):
    """The rest of the model uses the input beside the layer's output.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> residual = lambda x: x + maps.tag(2 * x, "branch")
    >>> maps.cut(residual, "branch", x=jnp.ones((1, 2)))
    Traceback (most recent call last):
        ...
    eqnets.maps.cut.LeakError: ...
    """


class Cut:
    """A model in two parts with psi(phi(x)) = f(x); see `cut`.

    The parameters are those that the model had when a shape of x was first seen.

    Attributes:
        layer: where the model is cut.

    >>> import jax.numpy as jnp
    >>> from eqnets import maps
    >>> parts = maps.Cut(lambda x: 2 * maps.tag(x + 1, "sum"), "sum")
    >>> parts.phi(jnp.zeros((1, 2))).tolist(), parts(jnp.zeros((1, 2))).tolist()
    ([[1.0, 1.0]], [[2.0, 2.0]])
    """

    def __init__(self, model: Any, layer: str):
        self.layer = layer
        self._marked = Marked(model, layer)
        self._parts: dict[Any, _Parts] = {}
        self._inputs: dict[Any, tuple[tuple[int, ...], Any]] = {}

    def phi(self, x: Array) -> PyTree[Array]:
        """The output of the layer, as far as it is read; nothing after is computed."""
        x = jnp.asarray(x)
        parts = self._of(x.shape, x.dtype)
        if not parts.verified and not isinstance(x, jax.core.Tracer):
            self._verify(parts, x)
        return parts.phi(x)

    def psi(self, z: PyTree[Array]) -> PyTree[Array]:
        """The model's output from the output of the layer; nothing before is computed.

        Raises:
            ValueError: no x has been seen yet that leads to a ``z`` of this shape; call
                ``phi`` once, or give `cut` an example.
        """
        shapes = jax.tree.map(jnp.shape, z, is_leaf=lambda v: hasattr(v, "shape"))
        key = _per_example(shapes)
        if key not in self._inputs:
            seen = [k[0] for k in self._inputs]
            raise ValueError(
                f"psi of {self.layer!r} takes what phi returns, per example one of "
                f"{seen}; got {key[0]}. The shape of the input has to be known: call "
                "phi(x) first, or cut(model, layer, x=example)"
            )
        (example, rows), dtype = self._inputs[key]
        batch = jax.tree.leaves(z)[0].shape[0]
        x_shape = (batch * rows[0] // rows[1], *example[1:])
        return self._of(x_shape, dtype).psi(z)

    def __call__(self, x: Array) -> PyTree[Array]:
        """psi(phi(x))."""
        return self.psi(self.phi(x))

    def _of(self, shape: tuple[int, ...], dtype: Any) -> "_Parts":
        key = (tuple(shape), jnp.dtype(dtype))
        if key not in self._parts:
            parts = _Parts(self._marked, jax.ShapeDtypeStruct(*key))
            rows = (shape[0], jax.tree.leaves(parts.z)[0].shape[0])
            shapes = jax.tree.map(lambda leaf: leaf.shape, parts.z)
            seen = _per_example(shapes)
            self._inputs.setdefault(seen, ((tuple(shape), rows), key[1]))
            if parts.traced:  # parameters that are being differentiated do not stay
                return parts
            self._parts[key] = parts
        return self._parts[key]

    def _verify(self, parts: "_Parts", x: Array) -> None:
        whole = self._marked.model(x)
        again = parts.psi(parts.phi(x))
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
            a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
            scale = max(np.abs(a).max(initial=0), 1e-30)
            eps = jnp.finfo(jnp.result_type(x)).eps
            if not np.abs(a - b).max(initial=0) <= SAME * eps * scale:
                raise ValueError(
                    f"psi(phi(x)) differs from the model by {np.abs(a - b).max():.3g} "
                    f"at the layer {self.layer!r}: does the model draw random numbers "
                    "or change its state when it is called? Cut its evaluation view"
                )
        parts.verified = True


def cut(model: Any, layer: str, *, x: Array | None = None) -> Cut:
    """Cut a model behind a layer: phi(x) is its output, and psi(phi(x)) the model's.

    The model is traced and its computation split, so that phi runs nothing behind the
    layer and psi nothing before it. The split is made, checked for leaks and verified
    (psi(phi(x)) = f(x)) for each shape of x when it is first seen.

    Where a layer returns several arrays and the rest of the model reads one of them
    alone, phi returns that array: residual blocks of `eqnets.models.resnet` also return
    the weights of their selection, or None. Where it reads more, phi returns all.

    Args:
        model: a Flax NNX module in evaluation mode, a bound Linen module, any callable
            Python object that holds its layers in attributes, lists or dictionaries, or
            a plain function that marks a value with `tag`.
        layer: the path of the layer, ``"blocks.3.project"``, or the tag's name.
        x: an example of the input, such as images ``[B, H, W, C]``, of which only the
            shape matters to later calls: with it errors show now rather than at the
            first ``phi``.

    Raises:
        TypeError: the model is not callable.
        ValueError: there is no such layer, or it is not called exactly once.
        LeakError: (a ValueError) psi would need x, as inside a residual block.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import maps
    >>> layers = [nnx.Linear(n, 4, rngs=nnx.Rngs(n)) for n in (3, 4)]
    >>> net, x = nnx.Sequential(*layers), jnp.ones((1, 3))
    >>> parts = maps.cut(net, "layers.0")
    >>> parts.phi(x).shape, bool(jnp.allclose(parts.psi(parts.phi(x)), net(x)))
    ((1, 4), True)
    """
    made = Cut(model, layer)
    if x is not None:
        made.phi(x)
    return made


class _Parts:
    """phi and psi for one shape of x, compiled, their arrays as arguments."""

    def __init__(self, marked: Marked, x: jax.ShapeDtypeStruct):
        flat, out_tree, kept = _trace(marked, x)
        n_out = out_tree.num_leaves
        variables, outputs = _marked_variables(marked, flat, kept, n_out)
        self.verified = False
        (image,) = flat.jaxpr.invars
        back, uses = needed(flat.jaxpr, outputs, known=variables)
        if image in uses and image not in variables:
            raise LeakError(
                f"behind {marked.layer!r} the model still uses its input, past the "
                "layer's output: a residual or dense connection goes around it. Cut at "
                "the whole block instead"
            )
        read = [v for v in variables if v in uses]
        if not read:
            raise ValueError(
                f"the model's output does not depend on the layer {marked.layer!r}"
            )
        tree = marked.calls[0]  # None: one value, marked by a tag
        if len(read) == 1:
            tree, variables = None, read
        leaves = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in variables]
        self.z = leaves[0] if tree is None else jax.tree.unflatten(tree, leaves)
        front, _ = needed(flat.jaxpr, variables, known=())
        consts = list(flat.consts)
        self.traced = any(isinstance(c, jax.core.Tracer) for c in consts)
        bound = flat.jaxpr.constvars

        @jax.jit
        def run_phi(consts: list[Array], x: Array) -> list[Array]:
            return _evaluate(front, [*bound, image], [*consts, x], variables)

        @jax.jit
        def run_psi(consts: list[Array], leaves: list[Array]) -> list[Array]:
            return _evaluate(back, [*bound, *variables], [*consts, *leaves], outputs)

        tree = jax.tree.structure(self.z)
        self.phi = lambda x: jax.tree.unflatten(tree, run_phi(consts, x))
        self.psi = lambda z: jax.tree.unflatten(
            out_tree, run_psi(consts, jax.tree.leaves(z))
        )


def _trace(marked: Marked, x: jax.ShapeDtypeStruct) -> tuple[Any, Any, int]:
    """The program of the marked model with all calls written out, and its outputs."""
    out, kept = [], []

    def run(x: Array) -> list[Array]:
        y, extra = marked.run(x)
        leaves, tree = jax.tree.flatten(y)
        out[:], kept[:] = [tree], [len(extra)]
        return [*leaves, *extra]

    try:
        closed = jax.make_jaxpr(run)(x)
    except Exception as error:
        if type(error).__name__ == "TraceContextError":
            raise ValueError(
                "the model changes its own state when it is called (batch statistics, "
                "dropout keys, an nnx.jit inside): cut its evaluation view, "
                "eqnets.functional.evaluation(model), and jit what you make of it"
            ) from error
        raise
    jaxpr = closed.jaxpr
    both = [*jaxpr.constvars, *jaxpr.invars]

    def written_out(x: Array) -> list[Array]:
        return _evaluate(
            jaxpr.eqns, both, [*closed.consts, x], jaxpr.outvars, inline=True
        )

    return jax.make_jaxpr(written_out)(x), out[0], kept[0]


def _marked_variables(
    marked: Marked, flat: Any, kept: int, n_out: int
) -> tuple[list[Any], list[Any]]:
    """The variables of the layer's output, and those of the model's output."""
    outputs = flat.jaxpr.outvars[:n_out]
    if len(marked.calls) != 1:
        raise ValueError(
            f"the layer {marked.layer!r} is called {len(marked.calls)} times in one "
            "pass; a model can be cut only where there is one call: mark one value "
            "with maps.tag, or cut at another layer"
        )
    if kept:
        return list(flat.jaxpr.outvars[n_out:]), outputs
    tree = marked.calls[0]
    count = 1 if tree is None else tree.num_leaves
    variables = []
    for i in range(count):
        named = [
            eqn.outvars[0]
            for eqn in flat.jaxpr.eqns
            if eqn.primitive is name_p and eqn.params["name"] == marked.label(i)
        ]
        if len(named) != 1:
            raise ValueError(
                f"{marked.layer!r} marks {len(named)} values in one pass of the model, "
                "not one: the layer is inside a loop (lax.scan, vmap of a function), "
                "or there is no maps.tag of this name"
            )
        variables += named
    return variables, outputs


def needed(
    jaxpr: Any, outputs: Sequence[Any], *, known: Sequence[Any]
) -> tuple[list[Any], set[Any]]:
    """The equations that outputs depend on, those before known variables left out.

    Returns:
        The equations in order, and all variables that they and the outputs read.
    """
    uses = {v for v in outputs if not isinstance(v, core.Literal)}
    known = set(known)
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if any(v in uses and v not in known for v in eqn.outvars):
            kept.append(eqn)
            uses |= {v for v in eqn.invars if not isinstance(v, core.Literal)}
    return kept[::-1], uses


def _evaluate(
    eqns: Sequence[Any],
    variables: Sequence[Any],
    values: Sequence[Any],
    outputs: Sequence[Any],
    *,
    inline: bool = False,
) -> list[Any]:
    env = dict(zip(variables, values, strict=True))
    given = set(variables)

    def read(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else env[v]

    for eqn in eqns:
        arguments = [read(v) for v in eqn.invars]
        inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
        if inline and eqn.primitive.name in CALLS and inner is not None:
            program = getattr(inner, "jaxpr", inner)
            results = _evaluate(
                program.eqns,
                [*program.constvars, *program.invars],
                [*getattr(inner, "consts", ()), *arguments],
                program.outvars,
                inline=True,
            )
        else:
            params = eqn.primitive.get_bind_params(eqn.params)
            results = eqn.primitive.bind(*arguments, **params)
            results = results if eqn.primitive.multiple_results else [results]
        # An output that is the known value itself must not be computed over it.
        found = zip(eqn.outvars, results, strict=True)
        env.update({v: r for v, r in found if v not in given})
    return [read(v) for v in outputs]


def _per_example(shapes: PyTree) -> tuple[Any, Any]:
    """Shapes without their first axis, and how they are nested; to be looked up."""

    def is_shape(s: Any) -> bool:
        return isinstance(s, tuple) and all(isinstance(n, int) for n in s)

    leaves, tree = jax.tree.flatten(shapes, is_leaf=is_shape)
    return tuple(tuple(s[1:]) for s in leaves), tree
