"""Stochastic descent on features in memory, with early stopping on held-out ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree


class Descent(NamedTuple):
    """How to descend: Adam on random batches, the best held-out parameters kept.

    Attributes:
        steps: at most so many.
        rate: the learning rate.
        batch: examples a step.
        held_out: fraction of the examples that only decides when to stop.
        every: steps between two looks at the held-out examples.
        patience: looks without a better held-out loss before it stops.
        seed: of the split and of the batches.

    >>> from eqnets import maps
    >>> maps.Descent(steps=1000).patience  # what is not said stays as it is
    5
    """

    steps: int = 300
    rate: float = 1e-3
    batch: int = 64
    held_out: float = 0.2
    every: int = 20
    patience: int = 5
    seed: int = 0


class Found(NamedTuple):
    """The parameters with the least held-out loss, and how it went.

    Attributes:
        params: as they were given.
        history: training and held-out loss at every look, ``[looks, 2]``.
    """

    params: PyTree[Array]
    history: Float[np.ndarray, "looks 2"]


def descend(
    objective: Callable[..., Array],
    params: PyTree[Array],
    data: tuple[Array | np.ndarray, ...],
    how: Descent,
) -> Found:
    """Minimise ``objective(params, *batch)``; the start counts as the first look.

    So the result is on the held-out examples never worse than the start.

    Raises:
        ValueError: the options do not leave examples to train on and to hold out.
    """
    import optax

    n = len(data[0])
    out = max(1, round(how.held_out * n))
    if not 0 < how.held_out < 1 or out >= n or min(how.steps, how.every, how.batch) < 1:
        raise ValueError(
            f"{how} does not fit {n} examples: some must be left to train on, and "
            "steps, every and batch are at least 1"
        )
    order = np.random.default_rng(how.seed).permutation(n)
    held, rest = order[:out], order[out:]
    chain = optax.adam(how.rate)

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> Any:
        value, slope = jax.value_and_grad(objective)(params, *batch)
        change, state = chain.update(slope, state, params)
        return optax.apply_updates(params, change), state, value

    check = jax.jit(objective)

    def look(params: Any) -> float:
        total = 0.0
        for i in range(0, out, how.batch):
            rows = held[i : i + how.batch]
            total += len(rows) * float(check(params, *(d[rows] for d in data)))
        return total / out

    draw = np.random.default_rng((how.seed, 1))
    state, best = chain.init(params), (look(params), params)
    history, since, values = [(np.nan, best[0])], 0, []
    for i in range(1, how.steps + 1):
        rows = draw.choice(rest, min(how.batch, len(rest)), replace=False)
        batch = tuple(jnp.asarray(d[rows]) for d in data)
        params, state, value = step(params, state, batch)
        values.append(value)
        if i % how.every and i != how.steps:
            continue
        now = look(params)
        history.append((float(np.mean(values)), now))
        values = []
        since = 0 if now < best[0] else since + 1
        best = min(best, (now, params), key=lambda pair: pair[0])
        if since >= how.patience:
            break
    return Found(best[1], np.array(history))
