"""Training of a regression network: Adam, mean squared error, early stopping."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from eqnets import models

LOOKS = 100  # how often the validation error is measured


def train(
    model: nnx.Module,
    x: np.ndarray,
    y: np.ndarray,
    *,
    steps: int,
    seed: int,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    batch: int = 500,
    rate: float = 3e-3,
    penalty: Callable | None = None,
    augment: tuple | None = None,
) -> nnx.Module:
    """The model after ``steps`` of Adam on shuffled minibatches.

    Args:
        model: maps ``[B, n]`` to ``[B, m]``.
        x: inputs ``[N, n]``.
        y: targets ``[N, m]``.
        steps: gradient steps.
        seed: of the minibatches (and of the group elements).
        validation: inputs and targets; if given, the model of the smallest error on
            them, of `LOOKS` times that it is measured, is returned.
        batch: the size of a minibatch, at most N.
        rate: the learning rate, constant.
        penalty: a function of the model added to the loss.
        augment: (elements, rep_in, rep_out) to train on transformed examples, each by
            one of the elements ``[K, d, d]``.
    """
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    optimiser = optax.adam(rate)
    state = optimiser.init(params)
    reps = augment[1:] if augment else None
    step = jax.jit(partial(_step, graph, optimiser, penalty, reps))
    error = jax.jit(partial(_error, graph))
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    rng = np.random.default_rng(seed)
    pool = jnp.asarray(augment[0], jnp.float32) if augment else None
    best, chosen = np.inf, None
    rows_of = minibatches(rng, len(x), min(batch, len(x)), steps)
    for count, rows in enumerate(rows_of, 1):
        g = None if pool is None else pool[rng.integers(len(pool), size=len(rows))]
        params, state = step(params, rest, state, x[rows], y[rows], g)
        if validation and (count % max(steps // LOOKS, 1) == 0 or count == steps):
            found = float(error(params, rest, *validation))
            if chosen is None or found < best or np.isnan(best):
                best, chosen = found, params
    return nnx.merge(graph, chosen if validation else params, rest)


def _error(graph, params, rest, x, y):
    return ((nnx.merge(graph, params, rest)(x) - y) ** 2).mean()


def _step(graph, optimiser, penalty, reps, params, rest, state, x, y, elements):
    def loss(params):
        model = nnx.merge(graph, params, rest)
        if elements is None:
            out = model(x)
        else:
            out = models.augmented(model, *reps, x, elements)
        value = ((out - y) ** 2).mean()
        return value if penalty is None else value + penalty(model)

    updates, state = optimiser.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state


def minibatches(rng, n: int, batch: int, steps: int):
    """``steps`` arrays of indices: epochs of shuffled examples, the rest left out."""
    done = 0
    while done < steps:
        order = rng.permutation(n)
        for start in range(0, n - batch + 1, batch):
            if done == steps:
                return
            done += 1
            yield order[start : start + batch]


def mean_squared_error(model, x, y, *, batch: int = 1000) -> float:
    """The mean squared error over all examples."""
    apply = jax.jit(lambda v: model(v))
    x = np.asarray(x, np.float32)
    out = [np.asarray(apply(x[i : i + batch])) for i in range(0, len(x), batch)]
    return float(((np.concatenate(out) - y) ** 2).mean())


def equivariance_error(model, group, rep_in, rep_out, x, *, samples: int = 20) -> float:
    """|f(gx) - g f(x)| / |f(x)|, root mean square over examples and elements g."""
    apply = jax.jit(lambda v: model(v))
    y = np.asarray(apply(jnp.asarray(x, jnp.float32)), float)
    off = 0.0
    for g in models.group_samples(group, jax.random.key(7), samples):
        moved = np.asarray(apply(jnp.asarray(rep_in.rho_apply(g, x), jnp.float32)))
        off += ((moved - rep_out.rho_apply(g, y)) ** 2).mean() / samples
    return float(np.sqrt(off / (y**2).mean()))
