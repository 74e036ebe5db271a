"""The dense baseline, and training it on transformed examples."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Num

from eqnets.groups import MatrixGroup
from eqnets.nn.equivariant import AnyArray
from eqnets.polyphase.phases import Number
from eqnets.reps import Rep


class MLP(nnx.Module):
    """Dense layers with x sigmoid(x) between them; see `mlp`.

    Args:
        sizes: of the input, of each hidden layer and of the output.
        rngs: initialises the parameters.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> models.MLP((3, 4, 2), rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(self, sizes: Sequence[int], *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)
        )

    def __call__(
        self,
        x: Num[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Num[Array, "..."]:
        """``[..., sizes[0]] -> [..., sizes[-1]]``; the options are not used."""
        *hidden, last = self.layers
        for layer in hidden:
            x = jax.nn.silu(layer(x))
        return last(x)


def mlp(
    rep_in: Rep | int,
    rep_out: Rep | int,
    *,
    ch: int = 384,
    num_layers: int = 3,
    rngs: nnx.Rngs,
) -> MLP:
    """A dense network of the shape of `emlp`, without its symmetry.

    Args:
        rep_in: the input's representation or size.
        rep_out: the output's representation or size.
        ch: the size of the hidden layers.
        num_layers: their number.
        rngs: initialises the parameters.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> models.mlp(6, 1, ch=16, rngs=nnx.Rngs(0))(jnp.ones((5, 6))).shape
    (5, 1)
    """
    sizes = [r.size if isinstance(r, Rep) else int(r) for r in (rep_in, rep_out)]
    return MLP([sizes[0], *[ch] * num_layers, sizes[1]], rngs=rngs)


def group_samples(
    group: MatrixGroup, key: Array, count: int
) -> Num[np.ndarray, "count d d"]:
    """Random elements ``[count, d, d]`` by `MatrixGroup.sample`, drawn on the host.

    Args:
        group: to draw from.
        key: a JAX random key.
        count: how many.

    >>> import jax
    >>> import numpy as np
    >>> from eqnets import groups, models
    >>> g = models.group_samples(groups.SO(3), jax.random.key(0), 5)
    >>> g.shape, bool(np.allclose(g @ g.swapaxes(1, 2), np.eye(3)))  # rotations
    ((5, 3, 3), True)
    """
    return np.stack([group.sample(k) for k in jax.random.split(key, count)])


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
    elements = jnp.asarray(elements, x.dtype)
    y = apply(jax.vmap(rep_in.rho_apply)(elements, x))
    return jax.vmap(rep_out.rho_apply)(jnp.linalg.inv(elements), y)
