"""What of a classifier's output is measured."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

READOUTS = ("probs", "logits", "top1")


def readout(
    f: Callable[[Array], Float[Array, "b k"]], kind: str
) -> Callable[[Array], Float[Array, "b ..."]]:
    """A classifier's probabilities, logits, or the probability of its first choice.

    Args:
        f: images to logits [B, K].
        kind: ``"probs"``, softmax over the K classes (what the paper measures);
            ``"logits"``, ``f`` itself; ``"top1"``, the probability [B] of whatever
            class is the likeliest.

    Raises:
        ValueError: an unknown kind, or logits that are not [B, K] (at the call).

    >>> import jax.numpy as jnp
    >>> from eqnets import measure
    >>> net, x = jnp.log, jnp.array([[1.0, 3.0]])  # logits log 1 and log 3
    >>> measure.readout(net, "probs")(x).round(5).tolist()
    [[0.25, 0.75]]
    >>> measure.readout(net, "top1")(x).round(5).tolist()
    [0.75]
    """
    if kind not in READOUTS:
        raise ValueError(f"kind must be one of {', '.join(READOUTS)}; got {kind!r}")
    if kind == "logits":
        return f

    def probabilities(x: Array) -> Float[Array, "b k"]:
        logits = f(x)
        if jnp.ndim(logits) != 2:
            raise ValueError(
                f"readout {kind!r} needs logits [B, K], got {jnp.shape(logits)}: take "
                "kind='logits' for outputs of another form"
            )
        return jax.nn.softmax(logits)

    def first_choice(x: Array) -> Float[Array, " b"]:
        p = probabilities(x)
        return jnp.take_along_axis(p, p.argmax(-1, keepdims=True), -1)[:, 0]

    return probabilities if kind == "probs" else first_choice
