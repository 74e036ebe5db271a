"""Networks that may break their symmetry: everywhere a little, or in the head alone."""

import itertools
from functools import partial

from flax import nnx
from jax import Array
from jaxtyping import Num

from eqnets.groups import MatrixGroup, checks
from eqnets.models.emlp import EMLP, EMLPBlock, Width, layer_reps
from eqnets.nn import ResidualPathwayLinear
from eqnets.nn.equivariant import AnyArray, vectors
from eqnets.polyphase.phases import Number
from eqnets.reps import Rep, scalar


def residual_emlp(
    rep_in: Rep,
    rep_out: Rep,
    group: MatrixGroup,
    *,
    ch: Width = 384,
    num_layers: int = 3,
    bilinear: bool | None = None,
    free_scale: float = 1e-3,
    rngs: nnx.Rngs,
) -> EMLP:
    """An `emlp` with a free matrix beside each equivariant one, gates included.

    Train it with `eqnets.nn.prior_penalty` (Finzi, Benton & Wilson, 2021b).

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        group: the group of the hidden layers.
        ch: as for `emlp`.
        num_layers: the number of hidden layers.
        bilinear: as for `emlp`.
        free_scale: the size of the free weights at initialisation, relative to He's.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: a representation belongs to another group.

    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> G = groups.cyclic(4)
    >>> V = reps.vector(G)
    >>> net = models.residual_emlp(V, V, G, ch=V, num_layers=1, rngs=nnx.Rngs(0))
    >>> all(v < 0.01 for v in models.violations(net))  # it starts nearly symmetric
    True
    """
    reps = layer_reps(rep_in, rep_out, group, ch, num_layers)
    linear = partial(ResidualPathwayLinear, free_scale=free_scale)
    return EMLP(reps, bilinear=bilinear, linear=linear, rngs=rngs)


def violations(net: EMLP) -> list[float]:
    """How much of each layer breaks the symmetry, 0 to 1; the head last.

    See `eqnets.nn.ResidualPathwayLinear.violation`.

    Args:
        net: of `residual_emlp`.

    Raises:
        TypeError: ``net`` has no residual pathways.

    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> G = groups.cyclic(4)
    >>> V = reps.vector(G)
    >>> make = lambda scale: models.residual_emlp(
    ...     V, V, G, ch=V, num_layers=1, free_scale=scale, rngs=nnx.Rngs(0))
    >>> models.violations(make(0.0)), min(models.violations(make(1.0))) > 0.1
    ([0.0, 0.0], True)
    """
    layers = [net]
    if isinstance(net, EMLP):
        layers = [*(block.linear for block in net.blocks), net.head]
    if not all(isinstance(layer, ResidualPathwayLinear) for layer in layers):
        raise TypeError(
            "net must have residual pathways, as models.residual_emlp returns, got "
            f"{type(net).__name__}"
        )
    return [layer.violation() for layer in layers]


class FreeHead(nnx.Module):
    """An equivariant trunk under a dense head that may break the symmetry.

    Args:
        rep_in: the representation of the input.
        outputs: the size of the output.
        group: the group of the trunk.
        ch: as for `emlp`.
        num_layers: the number of hidden layers.
        rngs: initialises the parameters.

    Raises:
        TypeError: ``outputs`` is not an integer.
        ValueError: it is not positive, or as for `emlp`.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> G = groups.cyclic(4)
    >>> V = reps.vector(G)
    >>> net = models.FreeHead(V, 2, G, ch=12, num_layers=1, rngs=nnx.Rngs(0))
    >>> net(jnp.ones((3, 4))).shape
    (3, 2)
    """

    def __init__(
        self,
        rep_in: Rep,
        outputs: int,
        group: MatrixGroup,
        *,
        ch: Width = 384,
        num_layers: int = 3,
        rngs: nnx.Rngs,
    ):
        *reps, _ = layer_reps(rep_in, scalar(group), group, ch, num_layers)
        self.rep_in = rep_in
        self.blocks = nnx.List(
            EMLPBlock(a, b, rngs=rngs) for a, b in itertools.pairwise(reps)
        )
        outputs = checks.count(outputs, "outputs")
        self.head = nnx.Linear(reps[-1].size, outputs, rngs=rngs)

    def __call__(
        self,
        x: Num[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., outputs]``; the options are not used."""
        x = vectors(x, self.rep_in)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
