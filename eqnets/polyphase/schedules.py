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

    Args:
        every: counts, such as epochs, between two steps.
        rate: the factor of each.
        start: the first temperature.
        minimum: the last one.

    >>> from eqnets import polyphase
    >>> float(polyphase.step_decay(10, 0.5)(25))
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
        ValueError: as `linear_milestones`.

    >>> from eqnets import polyphase
    >>> temperature = polyphase.hold_milestones([50, 100], [0.5, 0.25])
    >>> [float(temperature(epoch)) for epoch in (0, 50, 99, 100)]
    [1.0, 0.5, 0.5, 0.25]
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

    >>> from eqnets import polyphase
    >>> float(polyphase.linear_milestones([11, 21], [0.5, 0.1])(6))
    0.75
    """
    edges, values = _checked(milestones, temperatures)
    if edges[0] > 1:
        edges, values = [1, *edges], [start, *values]
    x, y = jnp.asarray(edges, jnp.float32), jnp.asarray(values, jnp.float32)

    def schedule(count: Count) -> Array:
        return jnp.interp(jnp.asarray(count, jnp.float32), x, y)

    return schedule


_LINEAR = {
    "imagenet_multistep": {62: 0.5, 82: 0.05, 90: 0.01},
    "imagenet_multistep02": {65: 0.75, 85: 0.1, 90: 0.05},
    "imagenet_multistep03": {62: 0.5, 90: 0.25},
    "segm_multistep": {0: 1.0, 62: 0.5, 82: 0.05, 90: 0.01},
    "segm_multistep_850501": {0: 0.8, 62: 0.5, 82: 0.05, 90: 0.01},
    "segm_multistep_warmup": {10: 0.5, 60: 0.15, 82: 0.05, 90: 0.01},
    "segm_multistep_warmup2": {10: 0.4, 100: 0.1},
    "segm_multistep_warmup_resnet101": {10: 0.5, 80: 0.3, 100: 0.125, 125: 0.01},
    "segm_multistep_warmup_resnet101_convex": {80: 0.3, 125: 0.125},
}
_DECAY = {
    "stepdecay": (10, 0.85, 0.0),
    "stepdecay_limit": (10, 0.85, 0.025),
    "stepdecay_limit_p5": (10, 0.85, 0.5),
    "imagenet_stepdecay_limit": (10, 0.825, 0.025),
    "imagenet_stepdecay_limit_1e": (1, 0.97, 0.1),
}
_HOLD = {"multistep": {50: 0.7, 100: 0.5, 150: 0.3}}


def published_schedule(name: str) -> Schedule:
    """A schedule of the public LPS code by the name it has there, over epochs.

    ``"stepdecay"`` is that of the paper's CIFAR-10 networks, ``"imagenet_multistep"``
    that of its ImageNet networks, and ``"segm_..."`` are those of segmentation.

    Raises:
        ValueError: there is no such name; those there are get listed.

    >>> from eqnets import polyphase
    >>> round(float(polyphase.published_schedule("imagenet_multistep")(90)), 3)
    0.01
    """
    if name in _LINEAR:
        return linear_milestones([*_LINEAR[name]], [*_LINEAR[name].values()])
    if name in _HOLD:
        return hold_milestones([*_HOLD[name]], [*_HOLD[name].values()])
    if name in _DECAY:
        every, rate, minimum = _DECAY[name]
        return step_decay(every, rate, minimum=minimum)
    names = sorted(_LINEAR | _HOLD | _DECAY)
    raise ValueError(f"expected a name among {names}, got {name!r}")


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
