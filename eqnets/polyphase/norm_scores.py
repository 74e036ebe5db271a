"""Adaptive polyphase sampling: score a component by its norm.

Source: Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks",
2021; equation (5) of Rojas-Gomez et al., 2022.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.fixed_point import (
    fixed_sum,
    magnitude_exponent,
    ordered_scores,
    plain_derivative,
)
from eqnets.polyphase.phases import AnyArray, check_phases, components


def norm_scores(
    phases: Float[AnyArray, "..."], p: int | float | str = 2, *, ndim: int = 2
) -> Float[Array, "*batch p"]:
    """The norm of every component over space and channels, in its exact order.

    The norms are summed in fixed point: a circular shift of the image permutes the
    scores bit for bit, and components of equal norm are ordered by their content
    (see :mod:`eqnets.polyphase.fixed_point`), by at most a few units in the last
    place. With ``p = inf`` after a max-pool, where all norms are equal, the content
    decides.

    Args:
        phases: ``[..., P, *space, C]``, from :func:`~eqnets.polyphase.split`.
        p: the order of the norm: a number of at least 1, ``math.inf``, or ``"min"``
            for minus the 2-norm, which selects the *smallest* component.
        ndim: the number of spatial axes.

    Returns:
        ``[..., P]``, in float32 or wider, in the units of ``phases``.

    Raises:
        ValueError: ``p`` is none of these, or ``phases`` lacks axes.

    >>> import jax.numpy as jnp
    >>> phases = jnp.array([[3.0, -4.0], [0.0, 1.0]])[..., None]
    >>> norm_scores(phases, p=2, ndim=1)
    Array([5., 1.], dtype=float32)
    """
    check_phases(phases, None, ndim)
    return _phase_scores(jnp.asarray(phases), p, ndim)


@partial(jax.jit, static_argnames=("p", "ndim"))
def _phase_scores(phases: Array, p: int | float | str, ndim: int) -> Array:
    axis = -ndim - 2
    parts = [jnp.take(phases, k, axis=axis) for k in range(phases.shape[axis])]
    return _scores(parts, p, ndim)


@partial(jax.jit, static_argnames=("stride", "p", "ndim"))
def image_norm_scores(
    x: Float[AnyArray, "..."], stride: int, p: int | float | str = 2, *, ndim: int = 2
) -> Float[Array, "*batch p"]:
    """:func:`norm_scores` of ``split(x, stride)``, without forming the split."""
    return _scores(components(x, stride, ndim=ndim), p, ndim)


def _scores(parts: Sequence[Array], p: int | float | str, ndim: int) -> Array:
    if p == "min":
        order, sign = 2.0, -1
    elif isinstance(p, str) or not p >= 1:
        raise ValueError(f'p must be a number >= 1, math.inf or "min", got {p!r}')
    else:
        order, sign = float(p), 1
    dtype = jnp.promote_types(parts[0].dtype, jnp.float32)
    exact = partial(_exact_norms, order=order, sign=sign, ndim=ndim)
    plain = partial(_plain_norms, order=order, sign=sign, ndim=ndim)
    return plain_derivative(exact, plain)([part.astype(dtype) for part in parts])


def _exact_norms(parts: list[Array], order: float, sign: int, ndim: int) -> Array:
    axes = tuple(range(-ndim - 1, 0))
    exponent = magnitude_exponent(parts, axes)
    down = jnp.ldexp(jnp.ones((), parts[0].dtype), -exponent)
    up = jnp.ldexp(
        jnp.ones((), down.dtype), exponent.reshape(exponent.shape[: -ndim - 1])
    )
    units = [jnp.abs(part) * down for part in parts]
    if math.isinf(order):
        values = jnp.stack([jnp.max(u, axis=axes) for u in units], axis=-1)
        return ordered_scores(
            sign * values * up[..., None], [sign * values], parts, ndim
        )
    sums = [fixed_sum(_power(u, order), axes) for u in units]
    high = jnp.stack([s.high for s in sums], axis=-1)
    low = jnp.stack([s.low for s in sums], axis=-1)
    bits = sums[0].bits
    total = (high + low * jnp.asarray(2.0**-bits, down.dtype)) * 2.0**-bits
    values = sign * _root(total, order) * up[..., None]
    return ordered_scores(values, [sign * high, sign * low], parts, ndim)


def _plain_norms(parts: list[Array], order: float, sign: int, ndim: int) -> Array:
    axes = tuple(range(-ndim - 1, 0))
    if math.isinf(order):
        norms = [jnp.max(jnp.abs(part), axis=axes) for part in parts]
    else:
        norms = [_root(jnp.sum(_power(jnp.abs(p), order), axes), order) for p in parts]
    return sign * jnp.stack(norms, axis=-1)


def _power(magnitude: Array, order: float) -> Array:
    if order == 1:
        return magnitude
    return magnitude * magnitude if order == 2 else magnitude**order


def _root(total: Array, order: float) -> Array:
    # The norm of zero has the subgradient zero; the power alone would give nan.
    positive = jnp.where(total > 0, total, 1)
    root = jnp.sqrt(positive) if order == 2 else positive ** (1 / order)
    return jnp.where(total > 0, root, 0)
