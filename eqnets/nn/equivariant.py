"""Equivariant linear and bilinear layers: weights that live in the solved space."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Inexact, Num

from eqnets.nn.bilinear_forms import LiftedForm, bilinear_form
from eqnets.nn.components import Components, added, as_columns, as_vectors, split
from eqnets.nn.coupled_form import CoupledForm
from eqnets.nn.linear_forms import Gain, LinearForm, init, linear_form
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
        among: representations of a network, those of this layer and Scalar among them,
            that are split into the same irreps so that layers can hand on `components`.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is not a representation.
        ValueError: ``among`` lacks a representation of this layer.
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
        among: Sequence[Rep] | None = None,
        rngs: nnx.Rngs,
    ):
        check_rep(rep_in, "rep_in")
        check_rep(rep_out, "rep_out")
        among = _among(among, rep_in, rep_out)
        self.rep_in, self.rep_out, self.among = rep_in, rep_out, among
        self.kernel = parameters(init(self.form, rngs.params(), gain=gain))
        if bias:
            weights = init(self._bias_form, rngs.params(), gain=0.0)
            self.bias = parameters(weights)
        else:
            self.bias = None

    @property
    def form(self) -> LinearForm:
        """How W is made of the parameters."""
        return linear_form(self.rep_in, self.rep_out, self.among)

    @property
    def _bias_form(self) -> LinearForm:
        return linear_form(Scalar(self.rep_out.groups), self.rep_out, self.among)

    @property
    def rank(self) -> int:
        """The dimension of the space of equivariant W."""
        return self.form.rank

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``.

        Raises:
            ValueError: the last axis of ``x`` has another size.
        """
        x = vectors(x, self.rep_in)
        return as_vectors(self.columns(as_columns(x)), x.shape[:-1])

    def columns(self, x: Inexact[AnyArray, "n b"]) -> Inexact[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        y = self.form.apply(values(self.kernel), x)
        return y if self.bias is None else y + self._offset(y)

    def components(self, v: Components, like: Array) -> Components:
        """The same on isotypic components, in the precision of ``like``."""
        out = self.form.mix(values(self.kernel), v)
        if self.bias is None:
            return out
        return added(out, split(self.form.table, self.form.at[1], self._offset(like)))

    def _offset(self, like: Array) -> Array:
        return self._bias_form.apply(values(self.bias), jnp.ones((1, 1), like.dtype))

    def offset(self) -> np.ndarray:
        """The bias b ``[rep_out.size]``; zeros where there is none."""
        if self.bias is None:
            return np.zeros(self.rep_out.size, np.float32)
        kind = jnp.complex64 if self.rep_out.is_complex else jnp.float32
        return np.asarray(self._offset(jnp.zeros((), kind)))[:, 0]

    def matrix(self) -> np.ndarray:
        """W as a dense matrix ``[rep_out.size, rep_in.size]``."""
        kind = jnp.complex64 if self.form.is_complex else jnp.float32
        like = jnp.zeros((), kind)
        return np.asarray(self.form.matrix(values(self.kernel), like))


class EquivariantBilinear(nnx.Module):
    """y = B(x, x): all pairs of irreps of the input, coupled into the output's.

    Every pair of irreps of the input, invariants among them, is coupled into every
    irrep of the output that their product holds, by Clebsch-Gordan coefficients; of
    their copies, learned mixtures take part, so few that the layer costs less than a
    dense one. Chance enters by the initial weights alone, and no weight matrix per
    sample is formed: with m invariants and k copies of an irrep of dimension d, the
    largest product holds k d numbers for each sample, as the output does. For groups
    that are not reductive, products are those of one mixture of each kind of tensor
    with all of x.

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        gain: the order of the standard deviation of the outputs at initialisation, for
            inputs of unit variance: each way to couple two irreps has it.
        scale: outputs are multiplied by it, and weights start larger by as much: Adam,
            whose steps have one size, then learns them more slowly.
        invariants: whether invariants multiply each other and all other irreps; gates
            do so, too, at a lower cost.
        among: as for `EquivariantLinear`.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is not a representation.
        ValueError: ``scale`` is not positive, or ``among`` lacks a representation of
            this layer.
        BasisError: the solver is over budget.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.SO(3))
    >>> cross = nn.EquivariantBilinear(2 * V, V, rngs=nnx.Rngs(0))  # cross products
    >>> cross(jnp.ones((5, 6))).shape
    (5, 3)
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        *,
        gain: float = 0.1,
        scale: float = 1.0,
        invariants: bool = True,
        among: Sequence[Rep] | None = None,
        rngs: nnx.Rngs,
    ):
        check_rep(rep_in, "rep_in")
        check_rep(rep_out, "rep_out")
        among = _among(among, rep_in, rep_out)
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be a positive number, got {scale}")
        self.rep_in, self.rep_out = rep_in, rep_out
        self.invariants, self.scale, self.among = invariants, scale, among
        self.kernel = parameters(self.form.init(rngs.params(), gain / scale))

    @property
    def form(self) -> CoupledForm | LiftedForm:
        """How B is made of the parameters."""
        return bilinear_form(
            self.rep_in, self.rep_out, self.among, invariants=self.invariants
        )

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``, quadratic in ``x``.

        Raises:
            ValueError: the last axis of ``x`` has another size.
        """
        x = vectors(x, self.rep_in)
        return as_vectors(self.columns(as_columns(x)), x.shape[:-1])

    def columns(self, x: Inexact[AnyArray, "n b"]) -> Inexact[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        return self.scale * self.form.apply(values(self.kernel), x)

    def components(self, v: Components) -> Components:
        """The same on isotypic components."""
        out = self.form.couple(values(self.kernel), v)
        return {i: self.scale * part for i, part in out.items()}


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


def _among(among, rep_in, rep_out) -> tuple[Rep, ...] | None:
    """The representations of a network, among which those of a layer must be."""
    if among is None:
        return None
    among, one = tuple(among), Scalar(rep_out.groups)
    missing = [r for r in (one, rep_in, rep_out) if r not in among]
    if missing:
        raise ValueError(
            f"among must hold the representations of this layer and scalars, it lacks "
            f"{', '.join(map(str, missing))}: pass all those of the network, or None"
        )
    return among


def vectors(x: AnyArray, rep: Rep) -> Array:
    """Vectors of a representation; integers in the default floating point."""
    x = jnp.asarray(x)
    if x.ndim == 0 or x.shape[-1] != rep.size:
        raise ValueError(
            f"x must be vectors [..., {rep.size}] of {rep}, got shape {x.shape}"
        )
    return x.astype(
        jnp.result_type(x.dtype, jnp.complex64 if rep.is_complex else float)
    )
