"""From scores to weights: which component, or which mixture, is kept.

All functions return weights ``[..., P]`` that are non-negative and sum to one.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from eqnets.polyphase.phases import AnyArray, Number


def argmax_select(scores: Float[AnyArray, "*batch p"]) -> Float[Array, "*batch p"]:
    """All weight on the component of the highest score (paper, equation 7).

    The scores of this package order components that would tie by their content;
    equal scores that remain go to the first component.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> polyphase.argmax_select(jnp.array([0.1, 0.7, 0.2]))
    Array([0., 1., 0.], dtype=float32)
    """
    scores = jnp.asarray(scores)
    return jax.nn.one_hot(
        jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=scores.dtype
    )


def softmax_select(
    scores: Float[AnyArray, "*batch p"], temperature: Number
) -> Float[Array, "*batch p"]:
    """The convex mixture ``softmax(scores / temperature)`` (paper, equation 20).

    Args:
        scores: ``[..., P]`` logits.
        temperature: positive; lower is closer to `argmax_select`.

    >>> import jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> polyphase.softmax_select(jnp.log(jnp.array([1.0, 3.0])), 1.0).round(5).tolist()
    [0.25, 0.75]
    """
    return jax.nn.softmax(jnp.asarray(scores) / temperature, axis=-1)


def gumbel_select(
    key: Array,
    scores: Float[AnyArray, "*batch p"],
    temperature: Number,
) -> Float[Array, "*batch p"]:
    """A soft sample, ``softmax((scores + Gumbel noise) / temperature)``.

    What training uses (paper, equation 17; Jang et al., 2017).

    Args:
        key: a JAX random key.
        scores: ``[..., P]`` logits.
        temperature: positive; lower is closer to a hard sample.

    Returns:
        ``[..., P]``, positive, summing to one.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> scores = jnp.array([0.0, 2.0])
    >>> soft = polyphase.gumbel_select(jax.random.key(0), scores, 1.0)
    >>> hard = polyphase.gumbel_select(jax.random.key(0), scores, 1e-3)
    >>> soft.shape, float(hard.max()), int(hard.argmax()) == int(soft.argmax())
    ((2,), 1.0, True)
    """
    scores = jnp.asarray(scores)
    noise = jax.random.gumbel(key, scores.shape, scores.dtype)
    return softmax_select(scores + noise, temperature)


def straight_through_select(
    key: Array,
    scores: Float[AnyArray, "*batch p"],
    temperature: Number,
) -> Float[Array, "*batch p"]:
    """A hard sample with the gradient of the soft one of `gumbel_select`.

    Args:
        key: a JAX random key.
        scores: ``[..., P]`` logits.
        temperature: of the soft sample, positive.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import polyphase
    >>> pick = lambda s: polyphase.straight_through_select(jax.random.key(0), s, 1.0)
    >>> scores = jnp.array([0.0, 2.0])
    >>> sorted(pick(scores).round(6).tolist())
    [0.0, 1.0]
    >>> bool(abs(jax.grad(lambda s: pick(s)[0])(scores)).max() > 0)
    True
    """
    soft = gumbel_select(key, scores, temperature)
    return soft + jax.lax.stop_gradient(argmax_select(soft) - soft)
