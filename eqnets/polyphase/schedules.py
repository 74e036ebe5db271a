"""Temperatures of the Gumbel softmax over training: optax schedules, count -> value.

The count is the number of completed steps (or epochs, if that is what is counted).
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

Count = int | Int[Array, ""] | Int[np.ndarray, ""]
Schedule = Callable[[Count], Float[Array, ""]]


def step_decay(
    every: int, rate: float, *, start: int | float = 1.0, minimum: int | float = 0.0
) -> Schedule:
    """Multiply by ``rate`` after every ``every`` counts, not below ``minimum``.

    The CIFAR-10 recipe of Rojas-Gomez et al. (2022) is ``step_decay(10, 0.85)``.

    Raises:
        ValueError: ``every`` is not positive.

    >>> float(step_decay(10, 0.5)(25))
    0.25
    """
    if every < 1:
        raise ValueError(f"every must be a positive count, got {every}")

    def schedule(count: Count) -> Array:
        power = jnp.asarray(rate, jnp.float32) ** (jnp.asarray(count) // every)
        return jnp.maximum(start * power, minimum)

    return schedule


def hold_milestones(
    milestones: Sequence[int],
    temperatures: Sequence[int | float],
    *,
    start: int | float = 1.0,
) -> Schedule:
    """``start``, then ``temperatures[i]`` from count ``milestones[i]`` on.

    Raises:
        ValueError: as :func:`linear_milestones`.
    """
    edges, values = _checked(milestones, temperatures)
    table = jnp.asarray([start, *values], jnp.float32)

    def schedule(count: Count) -> Array:
        return table[jnp.sum(jnp.asarray(count) >= jnp.asarray(edges))]

    return schedule


def linear_milestones(
    milestones: Sequence[int],
    temperatures: Sequence[int | float],
    *,
    start: int | float = 1.0,
) -> Schedule:
    """From ``start`` at count 1 linearly through every milestone, then constant.

    A first milestone of 0 or 1 replaces the start. The ImageNet recipe is
    ``linear_milestones([62, 82, 90], [0.5, 0.05, 0.01])``.

    Raises:
        ValueError: no milestones, not as many temperatures, or not increasing.

    >>> float(linear_milestones([11, 21], [0.5, 0.1])(6))
    0.75
    """
    edges, values = _checked(milestones, temperatures)
    if edges[0] > 1:
        edges, values = [1, *edges], [start, *values]
    x, y = jnp.asarray(edges, jnp.float32), jnp.asarray(values, jnp.float32)

    def schedule(count: Count) -> Array:
        return jnp.interp(jnp.asarray(count, jnp.float32), x, y)

    return schedule


def _checked(
    milestones: Sequence[int], temperatures: Sequence[int | float]
) -> tuple[list[int], list[int | float]]:
    edges, values = list(milestones), list(temperatures)
    if not edges or len(edges) != len(values) or sorted(set(edges)) != edges:
        raise ValueError(
            "expected increasing milestones with one temperature each, "
            f"got {edges} and {values}"
        )
    return edges, values
