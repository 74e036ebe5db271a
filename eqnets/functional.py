"""A Flax module as a pure function of plain dictionaries of arrays.

Measurements differentiate ``apply(params, state, x)`` under ``jax.jit``, ``jax.vmap``,
``jax.jvp`` and ``jax.grad``. An NNX module is an object with state, and these
transformations see through that only if the arrays enter as arguments. So `pure` takes
a module apart once, into arrays in plain dictionaries and a structure without arrays,
and ``apply`` builds a fresh module around whatever arrays or tracers it is given:
nothing that happens inside can reach the original.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx
from flax.core import meta, unfreeze

Tree = dict[Any, Any]
"""Nested dictionaries whose leaves are arrays."""


class Pure(NamedTuple):
    """A network taken apart; ``apply(params, state, x)`` is its output.

    Attributes:
        apply: ``apply(params, state, x, *args, **kwargs)``, a pure function. Keep it:
            a new one for each call would be compiled for each call.
        params: what training changes (``nnx.Param``, or Linen's ``"params"``).
        state: every other array: batch statistics, fixed filters, random keys.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import functional
    >>> net = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    >>> apply, params, state = functional.pure(net)
    >>> sorted(params), sorted(state)
    (['bias', 'scale'], ['mean', 'var'])
    >>> apply(params, state, jnp.ones((2, 3))).shape
    (2, 3)
    """

    apply: Callable[..., Any]
    params: Tree
    state: Tree


def evaluation(model: Any) -> nnx.Module:
    """Return a view of an NNX module with batch statistics frozen and no dropout.

    The view shares the arrays of ``model``, whose own mode does not change. A network
    without such layers is as good as it is.

    Raises:
        TypeError: ``model`` is not an NNX module.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import functional
    >>> net = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((4, 4))
    >>> bool((functional.evaluation(net)(x) == x).all()), bool((net(x) == x).all())
    (True, False)
    """
    if not isinstance(model, nnx.Module):
        raise TypeError(
            f"expected a flax.nnx.Module, got {_kind(model)}; a Linen module is put "
            "in evaluation by its own arguments, such as train=False"
        )
    return nnx.view(
        model, use_running_average=True, deterministic=True, raise_if_not_found=False
    )


def named(model: nnx.Module) -> nnx.Module:
    """Return an evaluation view whose parts say their path when they are called.

    Every public method of a part runs under ``jax.named_scope("@path/of/the/part")``,
    so that traced operations know the module they come from; the marker ``@`` means
    that the path is complete. A part that hangs on several places has its first path.

    Raises:
        TypeError: ``model`` is not an NNX module.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import functional
    >>> net = functional.named(nnx.Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0))))
    >>> trace = jax.make_jaxpr(net)(jnp.ones((1, 2)))
    >>> sorted({str(e.source_info.name_stack) for e in trace.eqns})
    ['@layers/0']
    """
    view = evaluation(model)
    # Deeper parts first would give a shared part its longest path.
    parts = sorted(nnx.iter_modules(view), key=lambda part: len(part[0]))
    for path, part in parts:
        if path:
            part.__class__ = _scoped(type(part), "@" + "/".join(map(str, path)))
    return view


@functools.lru_cache(maxsize=4096)
def _scoped(kind: type, scope: str) -> type:
    """A subclass whose methods run under a named scope."""

    def under_scope(method: Callable) -> Callable:
        @functools.wraps(method)
        def run(*args: Any, **kwargs: Any) -> Any:
            with jax.named_scope(scope):
                return method(*args, **kwargs)

        return run

    own = [c for c in kind.__mro__ if c not in nnx.Module.__mro__]
    methods = {
        name: under_scope(value)
        for c in reversed(own)
        for name, value in vars(c).items()
        if inspect.isfunction(value) and (name == "__call__" or name[0] != "_")
    }
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **methods})


def pure(model: Any, variables: Mapping | None = None, **options: Any) -> Pure:
    """Take a Flax module apart into a pure function and its arrays.

    NNX modules are taken in evaluation mode, see `evaluation`. What a call would
    change in the module's state is dropped.

    Args:
        model: an NNX module, or a Linen module.
        variables: for a Linen module, what its ``init`` returned; needless if the
            module is bound to its variables.
        **options: keyword arguments for every call of the module, fixed at compile
            time, such as ``train=False``.

    Raises:
        TypeError: ``model`` is not a Flax module, or ``variables`` are missing or
            given to an NNX module.
        ValueError: ``variables`` has no ``"params"``.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import functional
    >>> f = functional.pure(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    >>> y, dy = jax.jvp(lambda x: f.apply(f.params, f.state, x),
    ...                 (jnp.ones((1, 3)),), (jnp.ones((1, 3)),))
    >>> bool(jnp.allclose(y, dy))  # at zero bias: a linear map is its own derivative
    True
    >>> sorted(f.params)
    ['bias', 'kernel']
    """
    if isinstance(model, nnx.Module):
        if variables is not None:
            raise TypeError(
                "an NNX module holds its own variables; call pure(model) alone"
            )
        return _pure_nnx(model, options)
    if isinstance(model, linen.Module):
        return _pure_linen(model, variables, options)
    hint = " (this is a class: make an instance)" if isinstance(model, type) else ""
    raise TypeError(
        f"expected a Flax module (flax.nnx or flax.linen), got {_kind(model)}{hint}; a "
        "plain function apply(params, state, x) needs no conversion"
    )


def reinitialized(model: Any, key: jax.Array) -> Any:
    """Return a network of the same structure that has seen no training.

    Kernels, arrays of two axes or more, are drawn from a normal distribution of
    variance 2 / fan-in (He et al. 2015); scales and variances are 1, biases and means
    0; anything else, such as fixed filters, stays. ``model`` does not change.

    Args:
        model: an NNX module, or a Linen module that is bound to its variables.
        key: a random key.

    Raises:
        TypeError: ``model`` is not a Flax module, or not bound.

    >>> import jax
    >>> from flax import nnx
    >>> from eqnets import functional
    >>> net = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    >>> new = functional.reinitialized(net, jax.random.key(1))
    >>> new.kernel.shape, bool((new.kernel[...] != net.kernel[...]).all())
    ((3, 2), True)
    """
    if isinstance(model, nnx.Module):
        graph, params, stats, rest = nnx.split(model, nnx.Param, nnx.BatchStat, ...)
        new = _redrawn({"params": _plain(params), "stats": _plain(stats)}, key)
        return nnx.merge(graph, new["params"], new["stats"], rest)
    if isinstance(model, linen.Module) and model.scope is not None:
        module, variables = model.unbind()
        variables = unfreeze(meta.unbox(variables))
        trained = {k: v for k, v in variables.items() if k in ("params", "batch_stats")}
        return module.bind({**variables, **_redrawn(trained, key)})
    raise TypeError(
        "expected an NNX module or a bound Linen module, whose parameters can be found "
        f"and drawn anew; got {_kind(model)}"
    )


def _redrawn(tree: Tree, key: jax.Array) -> Tree:
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    keys = jax.random.split(key, max(len(leaves), 1))
    new = []
    for (path, leaf), one in zip(leaves, keys, strict=True):
        name = str(getattr(path[-1], "key", path[-1]))
        if leaf.ndim > 1:
            spread = (2 * leaf.shape[-1] / leaf.size) ** 0.5
            leaf = spread * jax.random.normal(one, leaf.shape, leaf.dtype)
        elif name in ("scale", "var"):
            leaf = jnp.ones_like(leaf)
        elif name in ("bias", "mean"):
            leaf = jnp.zeros_like(leaf)
        new.append(leaf)
    return jax.tree.unflatten(structure, new)


def _pure_nnx(model: nnx.Module, options: dict[str, Any]) -> Pure:
    graphdef, params, state = nnx.split(evaluation(model), nnx.Param, ...)

    def apply(params: Tree, state: Tree, x: Any, *args: Any, **kwargs: Any) -> Any:
        # From plain arrays merge makes new Variables. From the Variables of a State
        # it would reuse them, and a jvp or vmap inside would then fail or leak.
        module = nnx.merge(graphdef, params, state)
        return module(x, *args, **options, **kwargs)

    return Pure(apply, _plain(params), _plain(state))


def _plain(state: Any) -> Tree:
    # A copy of the dictionaries; the arrays are shared, and immutable.
    return nnx.to_pure_dict(nnx.as_pure(state))


def _pure_linen(
    model: linen.Module, variables: Mapping | None, options: dict[str, Any]
) -> Pure:
    if variables is None and model.scope is not None:
        model, variables = model.unbind()
    if variables is None:
        raise TypeError(
            "a Linen module comes without its arrays; call pure(module, variables) "
            "with what module.init returned"
        )
    # Boxes that only carry sharding names are opened.
    collections = unfreeze(meta.unbox(variables))
    if "params" not in collections:
        raise ValueError(
            f"expected variables with the collection 'params', got "
            f"{sorted(collections)}; a bare dictionary of parameters is "
            "{'params': parameters}"
        )
    params = collections.pop("params")

    def apply(params: Tree, state: Tree, x: Any, *args: Any, **kwargs: Any) -> Any:
        return model.apply({"params": params, **state}, x, *args, **options, **kwargs)

    return Pure(apply, params, jax.tree.map(lambda leaf: leaf, collections))


def _kind(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
