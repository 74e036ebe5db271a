"""Equivariant linear and bilinear layers: weights that live in the solved space."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Num

from eqnets.nn.bilinear_forms import bilinear_form
from eqnets.nn.components import as_columns, as_vectors
from eqnets.nn.linear_forms import Gain, init, linear_form
from eqnets.polyphase.phases import AnyArray
from eqnets.reps import Rep
from eqnets.reps.base import Scalar


class EquivariantParam(nnx.Param):
    """A free parameter of a space of equivariant maps.

    ``nnx.state(model, nn.EquivariantParam)`` is the state that holds these alone.

    >>> import jax
    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> net = nnx.Sequential(nn.EquivariantLinear(V, V, rngs=nnx.Rngs(0)))
    >>> sum(p.size for p in jax.tree.leaves(nnx.state(net, nn.EquivariantParam)))
    5
    """


class EquivariantLinear(nnx.Module):
    """y = W x + b with rho_out(g) W = W rho_in(g) and rho_out(g) b = b.

    The parameters are the free ones: as many as the space of equivariant W (and b) has
    dimensions, found by `eqnets.reps` (Finzi, Welling & Wilson, 2021).

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        bias: whether to add an invariant b.
        gain: the standard deviation of the outputs at initialisation, for inputs of
            unit variance (He's rule, block by block); a function of the dimension of an
            irrep gives each irrep its own.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is not a representation.
        BasisError: the solver is over budget.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> layer = nn.EquivariantLinear(V, V, bias=False, rngs=nnx.Rngs(0))
    >>> layer.rank, layer(jnp.ones((2, 4))).shape  # circulant: four weights, not 16
    (4, (2, 4))
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        *,
        bias: bool = True,
        gain: Gain = 1.0,
        rngs: nnx.Rngs,
    ):
        check_rep(rep_in, "rep_in")
        check_rep(rep_out, "rep_out")
        self.rep_in, self.rep_out = rep_in, rep_out
        weights = init(linear_form(rep_in, rep_out), rngs.params(), gain=gain)
        self.kernel = parameters(weights)
        if bias:
            form = linear_form(_one(rep_out), rep_out)
            self.bias = parameters(init(form, rngs.params(), gain=0.0))
        else:
            self.bias = None

    @property
    def rank(self) -> int:
        """The dimension of the space of equivariant W."""
        return linear_form(self.rep_in, self.rep_out).rank

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``.

        Raises:
            ValueError: the last axis of ``x`` has another size.
        """
        x = vectors(x, self.rep_in)
        return as_vectors(self.columns(as_columns(x)), x.shape[:-1])

    def columns(self, x: Num[AnyArray, "n b"]) -> Num[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        y = linear_form(self.rep_in, self.rep_out).apply(values(self.kernel), x)
        return y if self.bias is None else y + self._offset(y)

    def _offset(self, like: Array) -> Array:
        form = linear_form(_one(self.rep_out), self.rep_out)
        return form.apply(values(self.bias), jnp.ones((1, 1), like.dtype))

    def offset(self) -> np.ndarray:
        """B as a vector ``[rep_out.size]``; zeros where there is none."""
        if self.bias is None:
            return np.zeros(self.rep_out.size, np.float32)
        kind = jnp.complex64 if self.rep_out.is_complex else jnp.float32
        return np.asarray(self._offset(jnp.zeros((), kind)))[:, 0]

    def matrix(self) -> np.ndarray:
        """W as a dense matrix ``[rep_out.size, rep_in.size]``."""
        form = linear_form(self.rep_in, self.rep_out)
        like = jnp.zeros((), jnp.complex64 if form.is_complex else jnp.float32)
        return np.asarray(form.matrix(values(self.kernel), like))


class EquivariantBilinear(nnx.Module):
    """y = B(x, x): all pairs of irreps of the input, coupled into the output's.

    Every pair of irreps of the input, invariants among them, is coupled into every
    irrep of the output that their product holds, by Clebsch-Gordan coefficients; of
    their copies, learned mixtures take part, so few that the layer costs less than a
    dense one. Chance enters by the initial weights alone, and no weight matrix per
    sample is formed: with m invariants and k copies of an irrep of dimension d, the
    largest product holds k d numbers for each sample, as the output does.

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        gain: the standard deviation of the outputs at initialisation, for inputs of
            unit variance.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is not a representation.
        BasisError: the solver is over budget.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.SO(3))
    >>> cross = nn.EquivariantBilinear(2 * V, V, rngs=nnx.Rngs(0))  # cross products
    >>> cross(jnp.ones((5, 6))).shape
    (5, 3)
    """

    def __init__(self, rep_in: Rep, rep_out: Rep, *, gain: float = 0.1, rngs: nnx.Rngs):
        check_rep(rep_in, "rep_in")
        check_rep(rep_out, "rep_out")
        self.rep_in, self.rep_out = rep_in, rep_out
        form = bilinear_form(rep_in, rep_out)
        self.kernel = parameters(form.init(rngs.params(), gain))

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``, quadratic in ``x``.

        Raises:
            ValueError: the last axis of ``x`` has another size.
        """
        x = vectors(x, self.rep_in)
        return as_vectors(self.columns(as_columns(x)), x.shape[:-1])

    def columns(self, x: Num[AnyArray, "n b"]) -> Num[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        return bilinear_form(self.rep_in, self.rep_out).apply(values(self.kernel), x)


def parameters(arrays: dict[str, Array]) -> nnx.Pytree:
    """Arrays as equivariant parameters of a module."""
    return nnx.Dict({name: EquivariantParam(a) for name, a in arrays.items()})


def values(params: nnx.Pytree) -> dict[str, Array]:
    """The arrays again."""
    return {name: p[...] for name, p in params.items()}


def check_rep(rep: object, name: str) -> None:
    """Raise TypeError where ``rep`` is no representation."""
    if not isinstance(rep, Rep):
        raise TypeError(
            f"{name} must be a representation such as reps.vector(G), got {rep!r}"
        )


def vectors(x: AnyArray, rep: Rep) -> Array:
    """Vectors of a representation, in floating point."""
    x = jnp.asarray(x)
    if x.ndim == 0 or x.shape[-1] != rep.size:
        raise ValueError(
            f"x must be vectors [..., {rep.size}] of {rep}, got shape {x.shape}"
        )
    dtype = jnp.result_type(x.dtype, jnp.complex64 if rep.is_complex else x.dtype)
    return x.astype(jnp.result_type(dtype, jnp.bfloat16))


def _one(rep: Rep) -> Rep:
    return Scalar(rep.groups)
