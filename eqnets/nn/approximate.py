"""Layers that may break a symmetry, and say by how much."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Inexact, Num

from eqnets.groups.checks import count
from eqnets.nn.equivariant import (
    EquivariantLinear,
    EquivariantParam,
    check_rep,
    vectors,
)
from eqnets.nn.linear_forms import Gain, value
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
    `prior_penalty` to the loss. Over complex representations free weights are complex.

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
        # Complex numbers as two real ones, as in equivariant layers.
        lead = (2,) if self._is_complex else ()
        draw = jax.random.normal(rngs.params(), (*lead, rep_in.size, rep_out.size))
        fan = rep_in.size * (2 if lead else 1)
        self.free = FreeParam(draw * free_scale / np.sqrt(fan))
        self.free_bias = FreeParam(jnp.zeros((*lead, rep_out.size)))

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
        weights, bias = self._free(x)
        return self.equivariant(x) + x @ weights + bias

    def columns(self, x: Inexact[AnyArray, "n b"]) -> Inexact[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        weights, bias = self._free(x)
        return self.equivariant.columns(x) + weights.T @ x + bias[:, None]

    def matrix(self) -> np.ndarray:
        """W_eq + W_free as a dense matrix ``[rep_out.size, rep_in.size]``."""
        return self.equivariant.matrix() + self._free_arrays()[0].T

    def offset(self) -> np.ndarray:
        """b_eq + b_free as a vector ``[rep_out.size]``."""
        return self.equivariant.offset() + self._free_arrays()[1]

    @property
    def _is_complex(self) -> bool:
        return self.rep_in.is_complex or self.rep_out.is_complex

    def _free(self, like: Array) -> tuple[Array, Array]:
        """W_free^T and b_free in the precision of ``like``."""
        params = self.free[...], self.free_bias[...]
        weights, bias = (value(p, like, self._is_complex) for p in params)
        return weights, bias

    def _free_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        kind = jnp.complex64 if self._is_complex else jnp.float32
        weights, bias = self._free(jnp.zeros((), kind))
        return np.asarray(weights), np.asarray(bias)

    def violation(self) -> float:
        """How much of the weights and biases breaks the symmetry, 0 to 1.

        ``|F - P F| / |E + F|`` of the equivariant (W, b) = E and the free ones F, with
        P the projection on equivariant ones: what F holds of those is no violation. It
        is 0 where all are zero.
        """
        weights, bias = self._free_arrays()
        parts = [
            (self.rep_in >> self.rep_out, weights.T.ravel(), self.matrix()),
            (self.rep_out, bias, self.offset()),
        ]
        broken = whole = 0.0
        for rep, v, both in parts:
            v = v.astype(complex if np.iscomplexobj(v) else float)
            broken += np.linalg.norm(v - equivariant_basis(rep).project(v)) ** 2
            whole += np.linalg.norm(both) ** 2
        return float(np.sqrt(broken / whole)) if whole else 0.0


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
        TypeError: ``kernels`` is not an integer.
        ValueError: a representation does not permute coordinates, or there is no
            kernel.

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
        kernels = count(kernels, "kernels")
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
