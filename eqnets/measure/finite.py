"""The error at finite times: response curves and the group-sample error."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from eqnets.actions import Action

from .lee import Estimate, require_batch_axis
from .lie import (
    Function,
    OutputActions,
    along,
    checked_input,
    move_each,
    output_actions,
)
from .program import Program, trace


@dataclasses.dataclass(frozen=True)
class Response:
    """How far the output has moved after time t, and how fast it sets off.

    Attributes:
        t: times [T].
        distance: |rho_out(-t) f(rho(t) x) - f(x)| [T, B].
        slope: |L_X f(x)| [B]; distance ~ slope |t| near 0.
    """

    t: Float[np.ndarray, " t"]
    distance: Float[np.ndarray, "t b"]
    slope: Float[np.ndarray, " b"]


def response(
    f: Function,
    action: Action,
    x: Array,
    ts: Sequence[float] | Array | np.ndarray,
    *,
    action_out: PyTree[Action] | None = None,
) -> Response:
    """The equivariance error over a range of t, beside its tangent at 0.

    Args:
        f: a function of images.
        action: the one-parameter action.
        x: images [B, H, W, C].
        ts: times [T], in the action's units.
        action_out: how the output moves; see `lie_derivative`.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> r = measure.response(
    ...     lambda x: x.mean((1, 2)), actions.brightness(), x, [0.0, 0.5])
    >>> r.distance.shape, bool(abs(r.distance[1] - 0.5 * r.slope).max() < 1e-6)
    ((2, 2), True)
    """
    x = checked_input((action,), x)
    ts = np.asarray(ts, np.float64)
    program, consts = trace(f, x)
    outs = output_actions(program.out, (action,), action_out, x.shape)
    require_batch_axis(program, len(x))
    moves = [out[0] for out in outs]
    start, slope = _along(program, consts, x, _tangent(action, x))
    slope = [d - a.tangent(y) for a, d, y in zip(moves, slope, start, strict=True)]
    distance = []
    for t in ts:
        moved = _forward(program, consts, _flow(action, x, t))
        back = [_flow(a, y, -t) for a, y in zip(moves, moved, strict=True)]
        distance.append(_norm([b - s for b, s in zip(back, start, strict=True)]))
    rows = np.asarray(distance, np.float64).reshape(len(ts), len(x))
    return Response(ts, rows, np.asarray(_norm(slope), np.float64))


# The network is compiled once for all actions and times: what an action does to the
# input is computed apart and enters as an array.
_along = jax.jit(along, static_argnums=0)
_forward = jax.jit(lambda program, consts, x: program(consts, x), static_argnums=0)
_flow = jax.jit(lambda action, x, t: action(x, t), static_argnums=0)
_tangent = jax.jit(lambda action, x: action.tangent(x), static_argnums=0)


def group_sample_error(
    f: Function,
    action: Action,
    x: Array,
    key: Key[Array, ""],
    *,
    samples: int,
    max_t: float,
    action_out: PyTree[Action] | None = None,
) -> Estimate:
    """Mean over random t of |rho_out(-t) f(rho(t) x) - f(x)|, t uniform in +-max_t.

    The expected group-sample error of Gruver et al. (2022), D.4, where translations
    run over +-5 pixels: max_t = 5 / W. Each image draws its own times.

    Args:
        f: a function of images.
        action: the one-parameter action.
        x: images [B, H, W, C].
        key: for the times.
        samples: times for each image.
        max_t: range of the times, in the action's units.
        action_out: how the output moves; see `lie_derivative`.

    Returns:
        ``.mean``, ``.stderr`` over images, ``.per_example`` [B] (mean over samples).

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, or ``samples`` or ``max_t`` that is not positive.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> options = {"key": jax.random.key(1), "samples": 2, "max_t": 0.5}
    >>> error = measure.group_sample_error(
    ...     lambda x: x.mean((1, 2)), actions.brightness(), x, **options)
    >>> error.per_example.shape, error.mean > 0
    ((2,), True)
    """
    if samples < 1 or not max_t > 0:
        raise ValueError(
            f"samples must be at least 1 and max_t positive; got {samples}, {max_t}"
        )
    x = checked_input((action,), x)
    program, consts = trace(f, x)
    outs = output_actions(program.out, (action,), action_out, x.shape)
    require_batch_axis(program, len(x))
    wide = jnp.promote_types(x.dtype, jnp.float32)
    times = jax.random.uniform(key, (samples, len(x)), wide, -max_t, max_t)
    error = _sampled(program, action, outs, consts, x, times)
    return Estimate(np.asarray(error, np.float64).mean(0))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sampled(
    program: Program,
    action: Action,
    outs: OutputActions,
    consts: list[Array],
    x: Array,
    times: Float[Array, "s b"],
) -> Float[Array, "s b"]:
    start = program(consts, x)

    def at(t: Float[Array, " b"]) -> Float[Array, " b"]:
        moved = program(consts, move_each(action, x, t))
        back = [move_each(out[0], y, -t) for out, y in zip(outs, moved, strict=True)]
        return _norm([b - s for b, s in zip(back, start, strict=True)])

    return jax.lax.map(at, times)


@jax.jit
def _norm(leaves: list[Array]) -> Float[Array, " b"]:
    """Euclidean norm over everything but the batch."""
    flat = [
        v.reshape(len(v), -1).astype(jnp.promote_types(v.dtype, jnp.float32))
        for v in leaves
    ]
    return jnp.sqrt(sum(jnp.sum(v**2, -1) for v in flat))
