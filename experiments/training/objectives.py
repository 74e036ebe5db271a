"""Losses and scores of the three kinds of task, as sums over examples."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.training.datasets import IGNORED

Sums = dict[str, jax.Array]


def loss(kind: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The mean over examples, or over pixels that count."""
    outputs = outputs.astype(jnp.float32)
    if kind == "regression":
        return jnp.mean((outputs - y) ** 2)
    if kind == "classification":
        return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()
    counted = y != IGNORED
    labels = jnp.where(counted, y, 0)
    each = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
    return jnp.sum(each * counted) / jnp.maximum(jnp.sum(counted), 1)


def sums(kind: str, outputs: jax.Array, y: jax.Array, weight: jax.Array) -> Sums:
    """What `scores` is made of, added up over a batch."""
    outputs = outputs.astype(jnp.float32)
    if kind == "regression":
        error = ((outputs - y) ** 2).mean(tuple(range(1, y.ndim)))
        return {"error": jnp.sum(weight * error), "count": jnp.sum(weight)}
    guess = jnp.argmax(outputs, -1)
    if kind == "classification":
        right = (guess == y).astype(jnp.float32)
        return {"right": jnp.sum(weight * right), "count": jnp.sum(weight)}
    classes = outputs.shape[-1]
    counted = (y != IGNORED) & (weight[:, None, None] > 0)
    pair = jnp.where(counted, y * classes + guess, classes**2)
    table = jnp.bincount(pair.ravel(), length=classes**2 + 1)[:-1]
    return {"confusion": table.reshape(classes, classes)}


def scores(kind: str, total: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy, mean intersection over union, or mean squared error."""
    if kind == "regression":
        return {"mse": float(total["error"] / total["count"])}
    if kind == "classification":
        return {"accuracy": float(total["right"] / total["count"])}
    table = total["confusion"].astype(np.float64)
    both = np.diag(table)
    union = table.sum(0) + table.sum(1) - both
    present = union > 0
    return {
        "miou": float((both[present] / union[present]).mean()),
        "pixel_accuracy": float(both.sum() / table.sum()),
    }
