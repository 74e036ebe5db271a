"""Layers that may break a symmetry, and say by how much."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Num

from eqnets.nn.equivariant import (
    EquivariantLinear,
    EquivariantParam,
    check_rep,
    vectors,
)
from eqnets.nn.linear_forms import Gain
from eqnets.nn.nonlinearities import is_permutation
from eqnets.polyphase.phases import AnyArray
from eqnets.reps import Rep, equivariant_basis


class FreeParam(nnx.Param):
    """A parameter that is under no constraint.

    ``nnx.state(model, nn.FreeParam)`` is the state that holds these alone.

    >>> import jax
    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> layer = nn.ResidualPathwayLinear(V, V, rngs=nnx.Rngs(0))
    >>> free = jax.tree.leaves(nnx.state(layer, nn.FreeParam))
    >>> sum(p.size for p in free)  # 4 x 4 weights, 4 biases
    20
    """


class ResidualPathwayLinear(nnx.Module):
    """y = (W_eq + W_free) x + b_eq + b_free (Finzi, Benton & Wilson, 2021b).

    Two Gaussian priors, of a large variance on the equivariant part and a small one on
    the free part, make the network as symmetric as the data let it be: add
    `prior_penalty` to the loss.

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        gain: of the equivariant weights, as in `EquivariantLinear`.
        free_scale: the free weights start as He's, times this.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is not a representation.
        BasisError: the solver is over budget.

    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> layer = nn.ResidualPathwayLinear(V, V, free_scale=0.0, rngs=nnx.Rngs(0))
    >>> layer.violation()  # nothing free yet: equivariant
    0.0
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        *,
        gain: Gain = 1.0,
        free_scale: float = 1e-3,
        rngs: nnx.Rngs,
    ):
        self.equivariant = EquivariantLinear(rep_in, rep_out, gain=gain, rngs=rngs)
        shape = (rep_in.size, rep_out.size)
        draw = jax.random.normal(rngs.params(), shape)
        self.free = FreeParam(draw * free_scale / np.sqrt(rep_in.size))
        self.free_bias = FreeParam(jnp.zeros(rep_out.size))

    @property
    def rep_in(self) -> Rep:
        """The representation of the input."""
        return self.equivariant.rep_in

    @property
    def rep_out(self) -> Rep:
        """The representation of the output."""
        return self.equivariant.rep_out

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``."""
        x = vectors(x, self.rep_in)
        free = x @ self.free[...].astype(x.dtype) + self.free_bias[...].astype(x.dtype)
        return self.equivariant(x) + free

    def columns(self, x: Num[AnyArray, "n b"]) -> Num[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        free = self.free[...].astype(x.dtype).T @ x
        bias = self.free_bias[...].astype(x.dtype)[:, None]
        return self.equivariant.columns(x) + free + bias

    def matrix(self) -> np.ndarray:
        """W_eq + W_free as a dense matrix ``[rep_out.size, rep_in.size]``."""
        return self.equivariant.matrix() + np.asarray(self.free[...]).T

    def offset(self) -> np.ndarray:
        """b_eq + b_free as a vector ``[rep_out.size]``."""
        return self.equivariant.offset() + np.asarray(self.free_bias[...])

    def violation(self) -> float:
        """How much of the weights breaks the symmetry, 0 to 1.

        ``|W_free - P W_free| / |W_eq + W_free|`` with P the projection on equivariant
        matrices: what W_free holds of those is no violation.
        """
        free = np.asarray(self.free[...], float).T
        basis = equivariant_basis(self.rep_in >> self.rep_out)
        kept = basis.project(free.ravel()).reshape(free.shape)
        return float(np.linalg.norm(free - kept) / np.linalg.norm(self.matrix()))


def prior_penalty(
    model: nnx.Module, *, equivariant: float = 1e6, free: float = 1.0
) -> Array:
    """Minus the log prior: |theta_eq|^2 / (2 v_eq) + |theta_free|^2 / (2 v_free).

    Two weight decays (paper, Sec. 4). Divide by the number of training examples to add
    it to a mean loss.

    Args:
        model: a module with parameters `EquivariantParam` and `FreeParam`.
        equivariant: the prior variance of the equivariant parameters.
        free: the prior variance of the free ones.

    Raises:
        ValueError: a variance that is not positive.

    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> layer = nn.ResidualPathwayLinear(V, V, rngs=nnx.Rngs(0))
    >>> loose, tight = (nn.prior_penalty(layer, free=v) for v in (1.0, 1e-4))
    >>> bool(tight > loose)
    True
    """
    total = jnp.zeros(())
    for kind, variance in ((EquivariantParam, equivariant), (FreeParam, free)):
        if not variance > 0:
            raise ValueError(f"prior variances must be positive, got {variance}")
        for theta in jax.tree.leaves(nnx.state(model, kind)):
            total = total + (theta**2).sum() / (2 * variance)
    return total


class RelaxedGroupConv(nnx.Module):
    """y[o] = sum_l w_l[o] (W_l x)[o], each W_l equivariant (Wang et al., 2022).

    For regular representations W_l is a group convolution with kernel l, and w_l says
    how much of it is used at each group element. It starts as constant, where the layer
    is equivariant.

    Args:
        rep_in: a permutation representation of the input.
        rep_out: a permutation representation of the output.
        kernels: the number L of kernels.
        rngs: initialises the parameters.

    Raises:
        ValueError: a representation does not permute coordinates.

    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> R = reps.regular(groups.rotations(4))
    >>> layer = nn.RelaxedGroupConv(R, R, rngs=nnx.Rngs(0))
    >>> round(layer.violation(), 6), layer.relaxed.shape
    (0.0, (2, 4))
    """

    def __init__(self, rep_in: Rep, rep_out: Rep, *, kernels: int = 2, rngs: nnx.Rngs):
        check_rep(rep_in, "rep_in")
        check_rep(rep_out, "rep_out")
        if not (is_permutation(rep_in) and is_permutation(rep_out)):
            raise ValueError(
                "relaxed weights need representations that permute coordinates, such "
                f"as reps.regular(G); got {rep_in} and {rep_out}; use "
                "ResidualPathwayLinear for others"
            )
        self.rep_in, self.rep_out, self.kernels = rep_in, rep_out, kernels
        layers = [
            EquivariantLinear(rep_in, rep_out, bias=False, rngs=rngs)
            for i in range(kernels)
        ]
        self.layers = nnx.List(layers)
        start = np.full((kernels, rep_out.size), kernels**-0.5, np.float32)
        self.relaxed = FreeParam(jnp.asarray(start))

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``."""
        x = vectors(x, self.rep_in)
        w = self.relaxed[...].astype(x.dtype)
        return sum(w[i] * layer(x) for i, layer in enumerate(self.layers))

    def violation(self) -> float:
        """The spread of each w_l over the coordinates, relative to its size."""
        w = np.asarray(self.relaxed[...], float)
        kept = equivariant_basis(self.rep_out).project(w)
        return float(np.linalg.norm(w - kept) / np.linalg.norm(w))
