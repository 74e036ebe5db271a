"""The dense baseline of the equivariant networks."""

import itertools
from collections.abc import Sequence

import jax
from flax import nnx
from jax import Array
from jaxtyping import Num

from eqnets.groups.checks import count
from eqnets.nn.equivariant import AnyArray
from eqnets.polyphase.phases import Number
from eqnets.reps import Rep


class MLP(nnx.Module):
    """Dense layers with x sigmoid(x) between them; see `mlp`.

    Weights start by Glorot's rule, as in the published baseline of Finzi et al. (2021).

    Args:
        sizes: of the input, of each hidden layer and of the output.
        rngs: initialises the parameters.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is not positive, or there are fewer than two.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> models.MLP((3, 4, 2), rngs=nnx.Rngs(0))(jnp.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(self, sizes: Sequence[int], *, rngs: nnx.Rngs):
        if len(sizes) < 2:
            raise ValueError(
                "sizes must hold those of the input, of each hidden layer and of the "
                f"output, at least two, got {tuple(sizes)}"
            )
        sizes = [count(n, f"sizes[{i}]") for i, n in enumerate(sizes)]
        init = nnx.initializers.glorot_normal()
        self.layers = nnx.List(
            nnx.Linear(a, b, kernel_init=init, rngs=rngs)
            for a, b in itertools.pairwise(sizes)
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

    Raises:
        TypeError: a size is neither a representation nor an integer.
        ValueError: a size is not positive.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> models.mlp(6, 1, ch=16, rngs=nnx.Rngs(0))(jnp.ones((5, 6))).shape
    (5, 1)
    """
    first, last = (
        r.size if isinstance(r, Rep) else count(r, name)
        for name, r in (("rep_in", rep_in), ("rep_out", rep_out))
    )
    ch, num_layers = count(ch, "ch"), count(num_layers, "num_layers", least=0)
    return MLP([first, *[ch] * num_layers, last], rngs=rngs)
