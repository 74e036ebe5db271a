"""Lie derivatives of any JAX function: one forward-mode derivative each."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from eqnets.actions import Action, identity
from eqnets.actions.tokens import TokenAction

from .program import Program, trace

Function = Callable[[Array], PyTree[Array]]
# The action of each output leaf, for each input action: hashable, hence static.
OutputActions = tuple[tuple[Action, ...], ...]


def lie_derivative(
    f: Function, action: Action, action_out: PyTree[Action] | None = None
) -> Function:
    """The Lie derivative of ``f``: zero exactly where ``f`` is equivariant.

    L_X f(x) = d/dt rho_out(-t) f(rho(t) x) at 0 = J_f(x)[X x] - X_out f(x), by one
    ``jax.jvp`` (Gruver et al. 2022, eq. 3). The returned function compiles itself.

    Args:
        f: any function of images [B, H, W, C] (or of what ``action`` acts on) returning
            a pytree of arrays: a plain function, a Flax NNX or bound Linen module, a
            pytree module.
        action: how the input moves.
        action_out: how the output moves: one action, or a pytree of them that is a
            prefix of the output. None decides by shape: an output [B, h, w, K] moves
            like an image at its own resolution, tokens of an
            `actions.on_tokens` action like their grid, anything else must
            not move (`actions.identity`).

    Returns:
        A function of the same input; its result has the structure and the shapes of
        ``f``'s, per unit of the action's t.

    Raises:
        TypeError: an input or an output that is not of a floating dtype.
        ValueError: an input that the action does not act on or cannot move, an output
            that ``action_out`` does not act on, a network in training mode.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions, measure
    >>> x = jnp.arange(8.0).reshape(1, 2, 4, 1) ** 2
    >>> mean = measure.lie_derivative(
    ...     lambda x: x.mean((1, 2)), actions.translation("x", boundary="wrap"))
    >>> bool(abs(mean(x)).max() < 1e-5)
    True
    """

    def derivative(x: Array) -> PyTree[Array]:
        several = lie_derivatives(f, [action], action_out)(x)
        return jax.tree.map(lambda leaf: leaf[0], several)

    return derivative


def lie_derivatives(
    f: Function,
    actions: Sequence[Action],
    action_out: PyTree[Action] | None = None,
) -> Function:
    """Lie derivatives under several actions, with one shared forward pass.

    As `lie_derivative`; every output has a new leading axis, one entry for each
    of ``actions``. ``action_out`` holds for all of them.

    Args:
        f: see `lie_derivative`.
        actions: how the input moves, one after another.
        action_out: see `lie_derivative`.

    Returns:
        A function of the same input; an output ``[B, ...]`` of ``f`` becomes
        ``[len(actions), B, ...]``.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, or no actions.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> both = [actions.translation("x", boundary="wrap"), actions.brightness()]
    >>> measure.lie_derivatives(lambda x: x.mean((1, 2)), both)(x).shape
    (2, 2, 1)
    """
    actions = tuple(actions)
    if not actions:
        raise ValueError("actions must name at least one action; got none")

    def derivatives(x: Array) -> PyTree[Array]:
        x = checked_input(actions, x)
        program, consts = trace(f, x)
        outs = output_actions(program.out, actions, action_out, x.shape)
        leaves = _compiled(program, actions, outs, consts, x)[1]
        return jax.tree.unflatten(jax.tree.structure(program.out), leaves)

    return derivatives


def push(
    program: Program,
    actions: tuple[Action, ...],
    outs: OutputActions,
    consts: list[Array],
    x: Array,
) -> tuple[list[Array], list[Array]]:
    """The leaves of f(x), and of its Lie derivatives [K, ...]; to be jitted."""
    v = [a.tangent(x) for a in actions]
    if len(v) == 1:
        y, dy = along(program, consts, x, v[0])
        dy = [d[None] for d in dy]
    elif len(v) == 2 or jax.default_backend() != "cpu":
        forward = functools.partial(along, program, consts, x)
        y, dy = jax.vmap(forward, out_axes=(None, 0))(jnp.stack(v))
    else:
        # On a CPU many tangents at once fall out of the caches: three take 6.3 forward
        # passes in one vmap and 3.9 one by one, ten take 19 and 10 in pairs.
        y, linear = jax.linearize(functools.partial(program, consts), x)
        pairs = 2 - len(v) % 2
        dy = jax.lax.map(linear, jnp.stack(v), batch_size=pairs)
    for i, (value, leaf_actions) in enumerate(zip(y, outs, strict=True)):
        if any(a != identity() for a in leaf_actions):
            dy[i] = dy[i] - jnp.stack([a.tangent(value) for a in leaf_actions])
    return y, dy


def along(
    program: Program, consts: list[Array], x: Array, v: Array
) -> tuple[list[Array], list[Array]]:
    """The leaves of f(x) and of its derivative along ``v``."""
    return jax.jvp(functools.partial(program, consts), (x,), (v,))


_compiled = jax.jit(push, static_argnums=(0, 1, 2))


def move_each(action: Action, x: Array, t: Float[Array, " b"]) -> Array:
    """Every image [B, ...] moved by a time of its own."""
    return jax.vmap(lambda image, s: action(image[None], s)[0])(x, t)


def checked_input(actions: Sequence[Action], x: Array) -> Array:
    """``x`` as an array that every action moves.

    Raises:
        TypeError: not a floating dtype.
        ValueError: a shape that an action does not act on, or cannot move.
    """
    for action in actions:
        action.check(x)
        if not action.moves(jnp.shape(x)):
            raise ValueError(
                f"the input {jnp.shape(x)} does not move under {action.name}, so the "
                "result would be 0 whatever the function does: give an input with more "
                "than one pixel along the axes that the action moves"
            )
    return jnp.asarray(x)


def output_actions(
    out: PyTree[jax.ShapeDtypeStruct],
    actions: tuple[Action, ...],
    action_out: PyTree[Action] | None,
    shape: tuple[int, ...],
) -> OutputActions:
    """For each leaf of the output, the action that it moves by, for each input action.

    Raises:
        TypeError: an output that is not of a floating dtype, or ``action_out`` holds
            something that is not an action.
        ValueError: ``action_out`` does not fit the output, or an output's shape leaves
            open whether it is an image.
    """
    leaves = jax.tree.leaves(out)
    for leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"the function returns {leaf.dtype}{list(leaf.shape)}, which has no "
                "derivative: measure its logits or probabilities instead of labels"
            )
    if action_out is None:
        return tuple(
            tuple(_by_shape(a, leaf.shape, shape) for a in actions) for leaf in leaves
        )
    named = _broadcast(action_out, out)
    for action, leaf in zip(named, leaves, strict=True):
        if not isinstance(action, Action):
            raise TypeError(
                "action_out must hold actions (eqnets.actions), one for each output or "
                f"for all; got {type(action).__name__}"
            )
        try:
            action.check(leaf)
        except ValueError as error:
            raise ValueError(
                f"action_out does not fit the output {list(leaf.shape)}: {error}"
            ) from error
    return tuple((action,) * len(actions) for action in named)


def _broadcast(action_out: PyTree[Action], out: PyTree) -> list[Action]:
    try:
        tree = jax.tree.broadcast(action_out, out)
    except ValueError as error:
        raise ValueError(
            "action_out must be one action or a tree of them that is a prefix of the "
            f"output's structure, {jax.tree.structure(out)}"
        ) from error
    return jax.tree.leaves(tree)


def _by_shape(
    action: Action, shape: tuple[int, ...], input_shape: tuple[int, ...]
) -> Action:
    """The spec's guess at the root: images move, known tokens move, others do not."""
    batch = input_shape[0] if input_shape else None
    if isinstance(action, TokenAction):
        n = action.prefix + action.grid[0] * action.grid[1]
        same = len(shape) == 3 and shape[:2] == (batch, n)
        return action if same else identity()
    if len(shape) != 4 or shape[0] != batch or len(input_shape) != 4:
        return identity()
    wide = (shape[2] / shape[1]) / (input_shape[2] / input_shape[1])
    if not 0.5 <= wide <= 2:
        raise ValueError(
            f"the output {list(shape)} has four axes but not the shape of the input "
            f"images {list(input_shape)}: say how it moves with action_out= (an action "
            "of eqnets.actions; actions.identity() if it must not move)"
        )
    return action
