"""Penalties that training makes small: consistency under an action, and its limit."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from eqnets.actions import Action

from .lie import Function, checked_input, move_each, output_actions


def consistency_regularizer(
    f: Function,
    action: Action,
    x: Array,
    key: Key[Array, ""],
    *,
    sigma: ArrayLike,
    action_out: PyTree[Action] | None = None,
) -> Float[Array, ""]:
    """Mean over images of |rho_out(-a) f(rho(a) x) - rho_out(-b) f(rho(b) x)|^2.

    The times a and b are drawn from N(0, sigma^2) for each image. For outputs that must
    not move this is the loss of the Pi-model (Gruver et al. 2022, eq. 7); for small
    sigma its expectation is 2 sigma^2 times `lie_regularizer` (eq. 8).

    Args:
        f: a function of images, to be differentiated in what it closes over: inside a
            loss, ``lambda x: model(x)``. It must not change its own state (normalise by
            running averages).
        action: the one-parameter action.
        x: images [B, H, W, C].
        key: for the times.
        sigma: standard deviation of the times, in the action's units.
        action_out: how the output moves; see `lie_derivative`.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, a ``sigma`` that is not positive, or an output without the
            batch axis.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> shift, key = actions.translation("x", boundary="wrap"), jax.random.key(1)
    >>> f = lambda x: x.mean((1, 2))
    >>> bool(measure.consistency_regularizer(f, shift, x, key, sigma=0.1) < 1e-10)
    True
    """
    if isinstance(sigma, int | float) and not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    x, outs = _prepared(f, action, x, action_out)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    times = sigma * jax.random.normal(key, (2, x.shape[0]), wide)

    def at(t: Float[Array, " b"]) -> list[Array]:
        leaves = jax.tree.leaves(f(move_each(action, x, t)))
        return [move_each(a, y, -t) for a, y in zip(outs, leaves, strict=True)]

    return _mean_square([a - b for a, b in zip(*map(at, times), strict=True)])


def lie_regularizer(
    f: Function,
    action: Action,
    x: Array,
    *,
    action_out: PyTree[Action] | None = None,
) -> Float[Array, ""]:
    """Mean over images of |L_X f(x)|^2: `lee` as a term of a training loss.

    Unlike `lee` it is made to be differentiated in what ``f`` closes over and to
    stand inside a compiled training step. One forward-mode derivative: about twice the
    price of f. What `consistency_regularizer` goes to as sigma does to 0
    (Gruver et al. 2022, eq. 8), without its noise.

    Args:
        f: as of `consistency_regularizer`.
        action: the one-parameter action.
        x: images [B, H, W, C].
        action_out: how the output moves; see `lie_derivative`.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, or an output without the batch axis.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> def loss(w):
    ...     f = lambda x: jnp.tanh(w * x).mean((1, 2))
    ...     return measure.lie_regularizer(f, actions.rotation(), x)
    >>> bool(jax.jit(jax.grad(loss))(1.0) > 0)
    True
    """
    x, outs = _prepared(f, action, x, action_out)
    y, dy = jax.jvp(lambda x: jax.tree.leaves(f(x)), (x,), (action.tangent(x),))
    return _mean_square(
        [d - a.tangent(value) for a, value, d in zip(outs, y, dy, strict=True)]
    )


def _prepared(
    f: Function, action: Action, x: Array, action_out: PyTree[Action] | None
) -> tuple[Array, list[Action]]:
    x = checked_input((action,), x)
    out = jax.eval_shape(f, x)
    for leaf in jax.tree.leaves(out):
        if not leaf.shape or leaf.shape[0] != x.shape[0]:
            raise ValueError(
                "every output needs the batch as its first axis: expected "
                f"[{x.shape[0]}, ...], got {list(leaf.shape)}"
            )
    return x, [a for (a,) in output_actions(out, (action,), action_out, x.shape)]


def _mean_square(leaves: Sequence[Array]) -> Float[Array, ""]:
    wide = [v.astype(jnp.promote_types(v.dtype, jnp.float32)) for v in leaves]
    return sum(jnp.sum(v**2) for v in wide) / wide[0].shape[0]
