"""Equivariant multilayer perceptrons (Finzi, Welling & Wilson, 2021)."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import SupportsIndex

from flax import nnx
from jax import Array
from jaxtyping import Inexact, Num

from eqnets.groups import MatrixGroup
from eqnets.groups.checks import count
from eqnets.models.allocate import uniform_rep
from eqnets.nn import (
    EquivariantBilinear,
    EquivariantLinear,
    GatedNonlinearity,
    ResidualPathwayLinear,
)
from eqnets.nn.components import (
    Components,
    added,
    as_columns,
    as_vectors,
    complete,
    join,
    split,
)
from eqnets.nn.coupled_form import CoupledForm
from eqnets.nn.equivariant import AnyArray, check_rep, vectors
from eqnets.nn.irrep_gates import IrrepGates
from eqnets.nn.linear_forms import IrrepForm, linear_form
from eqnets.nn.nonlinearities import gated, is_permutation
from eqnets.polyphase.phases import Number
from eqnets.reps import Rep
from eqnets.reps.base import Scalar

Width = SupportsIndex | Rep | Sequence[SupportsIndex | Rep]
Linear = Callable[..., EquivariantLinear | ResidualPathwayLinear]

# Chosen by validation errors, close to the reference code: tensors start the smaller,
# the more coordinates they have, and products are learned slowly.
_INVARIANTS = 0.66
_TENSORS = 2.0
_PRODUCTS = 0.5
_SCALE = 0.3


def small_gain(d: int) -> float:
    """The initial gain of a block of irreps of dimension d."""
    return _INVARIANTS if d == 1 else _TENSORS / d


class EMLPBlock(nnx.Module):
    """gate(h + B(h, h)) with h = W x + b: linear, bilinear, gated.

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        bilinear: whether the quadratic term is there; None leaves it out where
            ``rep_out`` only permutes coordinates, whose gates are pointwise.
        linear: the kind of the linear layer.
        among: the representations of the network, see `eqnets.nn.EquivariantLinear`.
        rngs: initialises the parameters.
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        *,
        bilinear: bool | None = None,
        linear: Linear = EquivariantLinear,
        among: tuple[Rep, ...] | None = None,
        rngs: nnx.Rngs,
    ):
        self.gate = GatedNonlinearity(rep_out)
        wide = self.gate.rep_in
        self.linear = linear(rep_in, wide, gain=small_gain, rngs=rngs)
        bilinear = not is_permutation(rep_out) if bilinear is None else bilinear
        if bilinear:
            # Invariants act by the gates.
            self.bilinear = EquivariantBilinear(
                wide,
                wide,
                gain=_PRODUCTS,
                scale=_SCALE,
                invariants=False,
                among=among,
                rngs=rngs,
            )
        else:
            self.bilinear = None

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``."""
        x = vectors(x, self.linear.rep_in)
        return as_vectors(self.columns(as_columns(x)), x.shape[:-1])

    def columns(self, x: Inexact[AnyArray, "n b"]) -> Inexact[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep_out.size, B]``."""
        h = self.linear.columns(x)
        if self.bilinear is not None:
            h = h + self.bilinear.columns(h)
        return self.gate.columns(h)

    def components(self, v: Components, gates: IrrepGates, like: Array) -> Components:
        """The same on isotypic components, in the shape and precision of ``like``."""
        table, which = self.linear.form.table, self.linear.form.at[1]
        h = complete(table, which, self.linear.components(v, like), like)
        if self.bilinear is not None:
            h = added(h, self.bilinear.components(h))
        return gates.apply(h)


class EMLP(nnx.Module):
    """Blocks and a linear head; see `emlp`.

    Args:
        reps: the representations of the input, of each hidden layer and of the output.
        bilinear: as for `emlp`.
        linear: makes the linear layers, such as `eqnets.nn.EquivariantLinear`.
        rngs: initialises the parameters.

    Raises:
        TypeError: one of ``reps`` is not a representation.
        ValueError: there are fewer than two, or a layer can be nothing but constant.

    Attributes:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        blocks: a linear layer, a quadratic term and gates each.
        head: the last linear layer.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> net = models.EMLP([V, 2 * V, V], rngs=nnx.Rngs(0))
    >>> x = jnp.array([1.0, 2.0, 3.0, 4.0])
    >>> bool(jnp.allclose(net(jnp.roll(x, 1)), jnp.roll(net(x), 1), atol=1e-5))
    True
    """

    def __init__(
        self,
        reps: Sequence[Rep],
        *,
        bilinear: bool | None = None,
        linear: Linear = EquivariantLinear,
        rngs: nnx.Rngs,
    ):
        if len(reps) < 2:
            raise ValueError(
                "reps must hold those of the input, of each hidden layer and of the "
                f"output, at least two, got {len(reps)}"
            )
        for i, rep in enumerate(reps):
            check_rep(rep, f"reps[{i}]")
        self.reps = tuple(reps)
        self.rep_in, self.rep_out = reps[0], reps[-1]
        self.among = None
        if linear is EquivariantLinear:
            wide = [gated(rep) for rep in reps[1:-1]]
            ones = [Scalar(rep.groups) for rep in (*reps, *wide)]
            self.among = tuple(dict.fromkeys([*ones, *reps, *wide]))
            linear = partial(linear, among=self.among)
            _check_reached(self.reps, self.among)
        self.blocks = nnx.List(
            EMLPBlock(
                a, b, bilinear=bilinear, linear=linear, among=self.among, rngs=rngs
            )
            for a, b in itertools.pairwise(reps[:-1])
        )
        self.head = linear(reps[-2], reps[-1], gain=small_gain, rngs=rngs)

    def __call__(
        self,
        x: Num[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep_out.size]``; the options are not used."""
        x = vectors(x, self.rep_in)
        h, gates = as_columns(x), self._gates()
        if gates is None:
            for block in self.blocks:
                h = block.columns(h)
            y = self.head.columns(h)
        else:
            y = self._in_irreps(h, gates)
        return as_vectors(y, x.shape[:-1])

    def _gates(self) -> list[IrrepGates] | None:
        """The gates of each block where layers can hand on components, else None."""
        inner = [layer for b in self.blocks for layer in (b.linear, b.bilinear)]
        layers = [layer for layer in (*inner, self.head) if layer is not None]
        if self.among is None or any(x.among != self.among for x in layers):
            return None
        if not all(isinstance(x.form, IrrepForm | CoupledForm) for x in layers):
            return None
        gates = [b.gate.in_irreps(self.among) for b in self.blocks]
        return None if None in gates else gates

    def _in_irreps(self, x: Array, gates: list[IrrepGates]) -> Array:
        """The network on columns, which are split into irreps once."""
        first = self.blocks[0].linear if self.blocks else self.head
        (enter, _), (_, leave) = first.form.at, self.head.form.at
        table = first.form.table
        v = split(table, enter, x)
        for block, gate in zip(self.blocks, gates, strict=True):
            v = block.components(v, gate, x)
        y = complete(table, leave, self.head.components(v, x), x)
        return join(table, leave, y)


def emlp(
    rep_in: Rep,
    rep_out: Rep,
    group: MatrixGroup,
    *,
    ch: Width = 384,
    num_layers: int = 3,
    bilinear: bool | None = None,
    rngs: nnx.Rngs,
) -> EMLP:
    """A network f with f(rho_in(g) x) = rho_out(g) f(x) for every g.

    Over the complex numbers f is made of linear and bilinear maps, which do not see
    conjugates: give it x and its conjugate, ``V + V.dual``, if invariants such as |x|^2
    matter.

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        group: the group of the hidden layers.
        ch: the size of the hidden layers, or their representation; a sequence gives
            each layer its own and overrides ``num_layers``.
        num_layers: the number of hidden layers.
        bilinear: whether blocks have a quadratic term; None: where it is needed.
        rngs: initialises the parameters.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: a representation belongs to another group, or a layer can be nothing
            but constant: ``ch`` is too small for tensors.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> G = groups.O(3)
    >>> net = models.emlp(
    ...     2 * reps.vector(G), reps.scalar(G), G, ch=8, num_layers=1, rngs=nnx.Rngs(0))
    >>> x = jnp.arange(6.0)
    >>> bool(jnp.allclose(net(-x), net(x), atol=1e-5))  # a point reflection is in O(3)
    True
    """
    reps = layer_reps(rep_in, rep_out, group, ch, num_layers)
    return EMLP(reps, bilinear=bilinear, rngs=rngs)


def layer_reps(
    rep_in: Rep, rep_out: Rep, group: MatrixGroup, ch: Width, num_layers: int
) -> list[Rep]:
    """The representations from the input to the output; arguments as for `emlp`."""
    if not isinstance(group, MatrixGroup):
        raise TypeError(
            f"group must be a MatrixGroup, got {group!r}: build one with "
            "eqnets.groups, for example groups.SO(3)"
        )
    check_rep(rep_in, "rep_in")
    check_rep(rep_out, "rep_out")
    if isinstance(ch, Rep) or hasattr(ch, "__index__"):
        ch = [ch] * count(num_layers, "num_layers", least=0)
    elif not isinstance(ch, Sequence) or isinstance(ch, str):
        raise TypeError(
            "ch must be a size, a representation or a sequence of these, one for each "
            f"layer, got {ch!r}"
        )
    hidden = [c if isinstance(c, Rep) else uniform_rep(group, c) for c in ch]
    names = ["rep_in", *["a representation in ch"] * len(hidden), "rep_out"]
    reps = [rep_in, *hidden, rep_out]
    for name, rep in zip(names, reps, strict=True):
        if any(g != group for g in rep.groups):
            raise ValueError(
                f"{name} belongs to {', '.join(map(str, rep.groups))}, not to {group}: "
                "build it with the group that is passed, or give the representations "
                "of all layers to models.EMLP, which takes several groups"
            )
    return reps


def _check_reached(reps: tuple[Rep, ...], among: tuple[Rep, ...]) -> None:
    """Raise where the only equivariant map into a layer is zero."""
    for i, (a, b) in enumerate(itertools.pairwise(reps), 1):
        if not linear_form(a, b, among).rank:
            raise ValueError(
                f"the network would be constant: no equivariant map but 0 leads from "
                f"{a} to {b}, into layer {i} of {len(reps) - 1}; give hidden "
                "representations that share irreps with both sides, or a larger ch "
                "(tensors take part from twice the size of the vectors on)"
            )
