"""Sums that do not depend on the order of their terms, and orders that ties keep.

A circular shift permutes the samples of a polyphase component. Floating-point
addition is not associative, so the score of a component changes in its last bits
and now and then an argmax flips: the "100% consistent" networks are not. Here the
terms are rounded to integers on a common power-of-two grid (one rounding per term,
whatever its place) and the integers are summed, which is exact in any order.

The grid has two limbs of ``30 - log2(n)`` bits, so sums are at least as accurate as
float32 sums. Of values that are not finite and below ``2 ** 126`` the sum is nan.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int, Shaped

from eqnets.polyphase.layout import Layout


class FixedSum(NamedTuple):
    """A non-negative-low-limb integer ``high * 2 ** bits + low``.

    Attributes:
        high: the upper limb, signed.
        low: the lower limb, in ``[0, 2 ** bits)``: pairs compare lexicographically.
        bits: the width of a limb; one unit of the sum is ``2 ** (-2 bits)``.
    """

    high: Int[Array, "..."]
    low: Int[Array, "..."]
    bits: int


def scales(
    parts: Sequence[Float[Array, "..."]], axes: tuple[int, ...]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Powers of two ``down`` and ``up = 1 / down`` with every ``|x| * down < 1``.

    Args:
        parts: arrays of one shape.
        axes: the reduced axes, kept with size 1, over all parts.

    Returns:
        ``down``, and ``up``, which is nan where some ``x`` is not finite or too large
        for the grid, so that what is scaled back is nan as a floating-point sum is.
    """
    maxima = [jnp.max(jnp.abs(p), axis=axes, keepdims=True) for p in parts]
    largest = maxima[0]
    for m in maxima[1:]:
        largest = jnp.maximum(largest, m)
    # 2 ** -e must itself be a normal float32, also for a component of zeros.
    exponent = jnp.clip(jnp.frexp(largest)[1], -120, 126)
    one = jnp.ones((), largest.dtype)
    up = jnp.where(largest < 2.0**126, jnp.ldexp(one, exponent), jnp.nan)
    return jnp.ldexp(one, -exponent), up


def fixed_sum(unit: Float[Array, "..."], axes: tuple[int, ...]) -> FixedSum:
    """The exact sum over ``axes`` of values in (-1, 1), rounded to two limbs.

    >>> import jax.numpy as jnp
    >>> total = fixed_sum(jnp.array([0.5, 0.25, -0.125]), (0,))
    >>> float((total.high + total.low * 2.0**-total.bits) * 2.0**-total.bits)
    0.625
    """
    count = math.prod(unit.shape[a] for a in axes)
    bits = 30 - math.ceil(math.log2(max(count, 1)))
    scaled = unit * 2.0**bits
    # Truncation, not rounding to nearest: cheaper, and just as blind to position.
    upper = scaled.astype(jnp.int32)
    lower = ((scaled - upper.astype(unit.dtype)) * 2.0**bits).astype(jnp.int32)
    # Both limbs in one pass over the data: two sums take two and a half times as long.
    high, low = lax.reduce(
        (upper, lower),
        (jnp.int32(0), jnp.int32(0)),
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        [a % unit.ndim for a in axes],
    )
    carry = low >> bits
    return FixedSum(high + carry, low - (carry << bits), bits)


def ranks(
    keys: Sequence[Shaped[Array, "*batch p"]],
) -> tuple[Int[Array, "*batch p"], Bool[Array, ""]]:
    """Lexicographic ranks of the components, most significant key first.

    Returns:
        For each component the number of components below it, and whether any
        example has a tie at the top.
    """
    below = jnp.zeros((), bool)
    equal = jnp.ones((), bool)
    for key in keys:
        mine, other = key[..., :, None], key[..., None, :]
        below = below | (equal & (other < mine))
        equal = equal & (other == mine)
    rank = jnp.sum(below, axis=-1, dtype=jnp.int32)
    top = rank == jnp.max(rank, axis=-1, keepdims=True)
    return rank, jnp.any(jnp.sum(top, axis=-1) > 1)


def impose_order(
    values: Float[Array, "*batch p"], rank: Int[Array, "*batch p"]
) -> Float[Array, "*batch p"]:
    """Move values by a few units in the last place so that they sort like ``rank``.

    Scores are then ordinary floats, and yet their order is the exact one.
    """
    order = _to_ordered(values)
    keep = rank[..., None, :] <= rank[..., :, None]
    least = jnp.iinfo(order.dtype).min
    floor = jnp.max(jnp.where(keep, (order - rank)[..., None, :], least), axis=-1)
    moved = _from_ordered(floor + rank, values.dtype)
    return jnp.where(jnp.isnan(values), values, moved)


def _to_ordered(values: Float[Array, "..."]) -> Int[Array, "..."]:
    """Floats to integers of the same order: consecutive floats, consecutive ints."""
    width = jnp.finfo(values.dtype).bits
    bits = jax.lax.bitcast_convert_type(values, jnp.dtype(f"int{width}"))
    return jnp.where(bits < 0, jnp.iinfo(bits.dtype).min - bits, bits)


def _from_ordered(order: Int[Array, "..."], dtype: jnp.dtype) -> Float[Array, "..."]:
    bits = jnp.where(order < 0, jnp.iinfo(order.dtype).min - order, order)
    return jax.lax.bitcast_convert_type(bits, dtype)


def ordered_scores(
    values: Float[Array, "*batch p"],
    keys: Sequence[Shaped[Array, "*batch p"]],
    source: Float[Array, "..."],
    layout: Layout,
) -> Float[Array, "*batch p"]:
    """Scores that sort like ``keys``, ties settled by the content of the components.

    The tie-break looks at two more invariants of a circular shift: the energy, and
    a weighted energy of differences between neighbours and channels. It runs only
    when some example is tied. Components that agree in these too keep equal scores.

    Args:
        values: the scores as floats.
        keys: exact keys in the same order, most significant first.
        source: the scored array, which holds the components.
        layout: where it holds them.
    """
    rank, tied = ranks(keys)

    def settle() -> Array:
        return ranks([rank, *_content_keys(source, layout)])[0]

    return impose_order(values, jax.lax.cond(tied, settle, lambda: rank))


def _content_keys(source: Array, layout: Layout) -> list[Array]:
    x = source.astype(jnp.promote_types(source.dtype, jnp.float32))
    unit = x * scales([x], (*layout.phase, *layout.space, -1))[0]
    channels = x.shape[-1]
    channel = 0.5 + 0.5 * jnp.arange(channels, dtype=x.dtype) / channels
    blend = unit
    for i, axis in enumerate(layout.space):
        blend = blend - jnp.roll(unit, -1, axis) * 0.5 ** (i + 1)
    energy = fixed_sum(unit * unit, (*layout.space, -1))
    pattern = fixed_sum(blend * blend * channel * 0.25, (*layout.space, -1))
    return [layout.join(limb, trailing=0) for limb in (*energy[:2], *pattern[:2])]


def plain_derivative(exact: Callable, plain: Callable) -> Callable:
    """The values of ``exact`` with the derivatives of ``plain``.

    Rounding has no useful derivative; the two functions agree up to rounding.
    """

    @jax.custom_jvp
    def function(*arguments: object) -> Array:
        return exact(*arguments)

    @function.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        return exact(*primals), jax.jvp(plain, primals, tangents)[1]

    return function


def invariant_mean(x: Float[Array, "..."], *, ndim: int = 2) -> Float[Array, "..."]:
    """The mean over space of ``[..., *space, C]``, equal bit for bit after any shift.

    Global pooling in fixed point: what makes the logits of a network whose features
    are shift-equivariant bit for bit invariant bit for bit (paper, equation 3). Nan
    where a value is not finite, or reaches 2^126.

    Args:
        x: ``[..., *space, C]``, floating.
        ndim: the number of spatial axes.

    Returns:
        ``[..., C]``.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> polyphase.invariant_mean(jnp.array([[1.0], [2.0], [4.5]]), ndim=1)
    Array([2.5], dtype=float32)
    """
    axes = tuple(range(-ndim - 1, -1))
    count = math.prod(x.shape[a] for a in axes)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def exact(x: Array) -> Array:
        down, up = scales([x], axes)
        total = fixed_sum(x * down, axes)
        step = jnp.asarray(2.0**-total.bits, x.dtype)
        value = (total.high + total.low * step) * step / count
        return value * jnp.squeeze(up, axes)

    mean = plain_derivative(exact, lambda x: jnp.mean(x, axis=axes))
    return mean(wide).astype(x.dtype)
