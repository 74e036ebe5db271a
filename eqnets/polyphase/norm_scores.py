"""Adaptive polyphase sampling: score a component by its norm.

Source: Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks",
2021; equation (5) of Rojas-Gomez et al., 2022.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.fixed_point import (
    fixed_sum,
    ordered_scores,
    plain_derivative,
    scales,
)
from eqnets.polyphase.layout import Layout, interleave, interleaved, stacked
from eqnets.polyphase.phases import AnyArray, check_phases


def norm_scores(
    phases: Float[AnyArray, "..."], p: int | float | str = 2, *, ndim: int = 2
) -> Float[Array, "*batch p"]:
    """The norm of every component over space and channels, in its exact order.

    The norms are summed in fixed point: a circular shift of the image permutes the
    scores bit for bit, and components of equal norm are ordered by their content
    (see `eqnets.polyphase.fixed_point`), by at most a few units in the last
    place. With ``p = inf`` after a max-pool, where all norms are equal, the content
    decides.

    Args:
        phases: ``[..., P, *space, C]``, from `polyphase.split`.
        p: the order of the norm: a number of at least 1, ``math.inf``, or ``"min"``
            for minus the 2-norm, which selects the *smallest* component.
        ndim: the number of spatial axes.

    Returns:
        ``[..., P]``, in float32 or wider, in the units of ``phases``.

    Raises:
        ValueError: ``p`` is none of these, or ``phases`` lacks axes.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> phases = jnp.array([[3.0, -4.0], [0.0, 1.0]])[..., None]
    >>> polyphase.norm_scores(phases, p=2, ndim=1)
    Array([5., 1.], dtype=float32)
    """
    check_phases(phases, None, ndim)
    return _scores(jnp.asarray(phases), p, stacked(ndim))


def image_norm_scores(
    x: Float[AnyArray, "..."], stride: int, p: int | float | str = 2, *, ndim: int = 2
) -> Float[Array, "*batch p"]:
    """`norm_scores` of ``split(x, stride)``, without forming the split.

    Args:
        x: ``[..., *space, C]``.
        stride: the sampling stride ``s``, in samples.
        p: as for `norm_scores`.
        ndim: the number of spatial axes.

    Returns:
        ``[..., P]`` with ``P = s ** ndim``.

    Raises:
        ValueError: the stride does not divide every spatial size, or see
            `norm_scores`.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> x = jnp.array([3.0, 0.0, -4.0, 1.0])[:, None]
    >>> polyphase.image_norm_scores(x, 2, ndim=1).tolist()  # of x[::2] and x[1::2]
    [5.0, 1.0]
    """
    return _scores(interleave(x, stride, ndim), p, interleaved(ndim))


@partial(jax.jit, static_argnames=("p", "layout"))
def _scores(x: Array, p: int | float | str, layout: Layout) -> Array:
    if p == "min":
        order, sign = 2.0, -1
    elif isinstance(p, str) or not p >= 1:
        raise ValueError(f'p must be a number >= 1, math.inf or "min", got {p!r}')
    else:
        order, sign = float(p), 1
    exact = partial(_exact_norms, order=order, sign=sign, layout=layout)
    plain = partial(_plain_norms, order=order, sign=sign, layout=layout)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return plain_derivative(exact, plain)(wide)


def _exact_norms(x: Array, order: float, sign: int, layout: Layout) -> Array:
    axes = (*layout.space, -1)
    down, up = scales([x], (*layout.phase, *axes))
    unit = jnp.abs(x) * down
    up = up.reshape(*up.shape[: x.ndim - len(layout.phase) - len(axes)], 1)
    if math.isinf(order):
        values = sign * layout.join(jnp.max(unit, axis=axes), trailing=0)
        return ordered_scores(values * up, [values], x, layout)
    total = fixed_sum(_power(unit, order), axes)
    high, low = (layout.join(limb, trailing=0) for limb in total[:2])
    step = jnp.asarray(2.0**-total.bits, x.dtype)
    values = sign * _root((high + low * step) * step, order) * up
    return ordered_scores(values, [sign * high, sign * low], x, layout)


def _plain_norms(x: Array, order: float, sign: int, layout: Layout) -> Array:
    axes = (*layout.space, -1)
    if math.isinf(order):
        norms = jnp.max(jnp.abs(x), axis=axes)
    else:
        norms = _root(jnp.sum(_power(jnp.abs(x), order), axes), order)
    return sign * layout.join(norms, trailing=0)


def _power(magnitude: Array, order: float) -> Array:
    if order == 1:
        return magnitude
    return magnitude * magnitude if order == 2 else magnitude**order


def _root(total: Array, order: float) -> Array:
    # The norm of zero has the subgradient zero; the power alone would give nan.
    positive = jnp.where(total > 0, total, 1)
    root = jnp.sqrt(positive) if order == 2 else positive ** (1 / order)
    return jnp.where(total > 0, root, 0)
