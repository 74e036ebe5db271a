"""Training of any network on examples that a group transforms."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Num

from eqnets.groups import MatrixGroup, checks
from eqnets.nn.equivariant import AnyArray, vectors
from eqnets.reps import Rep


def group_samples(
    group: MatrixGroup,
    key: Array,
    count: int,
    *,
    scale: float | Sequence[float] | np.ndarray = 1.0,
) -> Num[np.ndarray, "count d d"]:
    """Random elements ``[count, d, d]`` by `MatrixGroup.sample`, drawn on the host.

    Args:
        group: to draw from.
        key: a JAX random key.
        count: how many.
        scale: of the exponentials, as for `MatrixGroup.sample`.

    Raises:
        TypeError, ValueError: ``count`` is not a positive integer.
        ValueError: ``scale`` is negative or not finite, or of another length.

    >>> import jax
    >>> import numpy as np
    >>> from eqnets import groups, models
    >>> g = models.group_samples(groups.SO(3), jax.random.key(0), 5)
    >>> g.shape, bool(np.allclose(g @ g.swapaxes(1, 2), np.eye(3)))  # rotations
    ((5, 3, 3), True)
    """
    keys = jax.random.split(key, checks.count(count, "count"))
    return np.stack([group.sample(k, scale=scale) for k in keys])


def augmented(
    apply: Callable[[Array], Array],
    rep_in: Rep,
    rep_out: Rep,
    x: Num[AnyArray, "b n"],
    elements: Num[AnyArray, "b d d"],
) -> Num[Array, "b m"]:
    """rho_out(g)^-1 f(rho_in(g) x), a g for each example: augmentation in training.

    Trained to give y, f learns rho_out(g) y at rho_in(g) x. The loss is measured in the
    frame of the data, so that non-compact groups do not blow it up.

    Args:
        apply: the network f, ``[B, n] -> [B, m]``.
        rep_in: the representation of the input, of one group.
        rep_out: the representation of the output.
        x: inputs ``[B, n]``.
        elements: a group element for each, ``[B, d, d]``.

    Returns:
        ``[B, m]``.

    Raises:
        ValueError: the last axis of ``x`` has another size.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from eqnets import groups, models, reps
    >>> G = groups.cyclic(3)
    >>> V, x = reps.vector(G), jnp.ones((2, 3))
    >>> elements = models.group_samples(G, jax.random.key(0), 2)
    >>> double = lambda x: 2 * x  # commutes with everything
    >>> models.augmented(double, V, V, x, elements).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """
    x = vectors(x, rep_in)
    elements = jnp.asarray(elements, x.dtype)
    y = apply(jax.vmap(rep_in.rho_apply)(elements, x))
    return jax.vmap(rep_out.rho_apply)(jnp.linalg.inv(elements), y)
