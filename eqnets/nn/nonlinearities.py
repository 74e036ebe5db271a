"""Nonlinearities that commute with a representation.

A function applied to each coordinate does so for permutations only. Elsewhere whole
summands are scaled by invariants: by gates, by their norms, or by products.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Inexact, Num

from eqnets.nn.components import as_columns, as_vectors, pieces
from eqnets.nn.equivariant import (
    AnyArray,
    EquivariantBilinear,
    EquivariantParam,
    check_rep,
    vectors,
)
from eqnets.nn.irrep_gates import IrrepGates, irrep_gates
from eqnets.reps import Rep
from eqnets.reps.base import Scalar, Sum, multiple_of, sum_of
from eqnets.reps.blocks import blocks


def is_permutation(rep: Rep) -> bool:
    """Whether every group element permutes the coordinates: no signs, no flow.

    >>> from eqnets import groups, reps
    >>> [is_permutation(reps.vector(G)) for G in (groups.symmetric(3), groups.SO(3))]
    [True, False]
    """
    atoms = [a.images for b in blocks(rep) for a in b.atoms]
    return all(
        not a.lie.any() and a.form is not None and bool((a.form[1] == 1).all())
        for a in atoms
    )


def is_unitary(rep: Rep) -> bool:
    """Whether every group element preserves the norm of each tensor."""
    return all(_unitary(a.images) for b in blocks(rep) for a in b.atoms)


def gated(rep: Rep) -> Rep:
    """The representation that `GatedNonlinearity` takes: one more scalar per gate.

    >>> from eqnets import groups, reps
    >>> V, one = reps.vector(groups.SO(3)), reps.scalar(groups.SO(3))
    >>> gated(2 * V + one).size
    9
    """
    check_rep(rep, "rep")
    gates = sum(m for m, term in _terms(rep) if not is_permutation(term))
    if not gates:
        return rep
    return sum_of([rep, multiple_of(gates, Scalar(rep.groups))])


class GatedNonlinearity(nnx.Module):
    """Each tensor times the sigmoid of a scalar of its own (Weiler et al., 2018).

    Scalars and permutation representations gate themselves: x sigmoid(x). Over the
    complex numbers a gate is the sigmoid of the real part of an invariant.

    Args:
        rep: what comes out; what goes in is ``rep_in``, ``rep`` with a scalar more for
            each tensor that needs a gate.

    >>> import jax.numpy as jnp
    >>> from eqnets import groups, nn, reps
    >>> gate = nn.GatedNonlinearity(2 * reps.vector(groups.SO(3)))
    >>> gate.rep_in.size, gate(jnp.ones((4, 8))).shape
    (8, (4, 6))
    """

    def __init__(self, rep: Rep):
        check_rep(rep, "rep")
        self.rep, self.rep_in, self.rep_out = rep, gated(rep), rep

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep_in.size] -> [..., rep.size]``."""
        x = vectors(x, self.rep_in)
        return as_vectors(self.columns(as_columns(x)), x.shape[:-1])

    def columns(self, x: Inexact[AnyArray, "n b"]) -> Inexact[Array, "m b"]:
        """The same on columns, ``[rep_in.size, B] -> [rep.size, B]``."""
        terms = list(_terms(self.rep))
        free = [is_permutation(term) for _, term in terms]
        sizes = [m * term.size for m, term in terms]
        gates = [m for (m, _), own in zip(terms, free, strict=True) if not own]
        parts = pieces(x, [*sizes, *gates], 0)
        scales = iter(parts[len(terms) :])
        out = []
        for (m, term), own, v in zip(terms, free, parts, strict=False):
            if own:
                out.append(v * jax.nn.sigmoid(v.real))
            else:
                scale = jax.nn.sigmoid(next(scales).real)
                tensors = v.reshape(m, term.size, x.shape[-1]) * scale[:, None]
                out.append(tensors.reshape(v.shape))
        return jnp.concatenate(out)

    def in_irreps(self, among: tuple[Rep, ...]) -> IrrepGates | None:
        """The same on isotypic components, or None where it acts on coordinates.

        Args:
            among: the representations of the table, ``rep_in`` and ``rep`` among them.
        """
        which = among.index(self.rep_in), among.index(self.rep)
        return irrep_gates(among, which, tuple(self.gate_places().tolist()))

    def gate_places(self) -> np.ndarray:
        """For each coordinate of the output, the one of the input that gates it."""
        places, gate = [], self.rep.size
        for m, term in _terms(self.rep):
            start = sum(len(p) for p in places)
            if is_permutation(term):
                places.append(start + np.arange(m * term.size))
            else:
                places.append(np.repeat(gate + np.arange(m), term.size))
                gate += m
        return np.concatenate(places)


class NormNonlinearity(nnx.Module):
    """Each tensor x times sigmoid(|x|^2 / n + b), b learned (tutorial: x s(|x|^2)).

    n is the size of the tensor. Scalars become x sigmoid(x + b).

    Args:
        rep: a unitary representation.

    Raises:
        ValueError: the group does not preserve norms.

    >>> import jax.numpy as jnp
    >>> from eqnets import groups, nn, reps
    >>> act = nn.NormNonlinearity(reps.vector(groups.SO(2)))
    >>> turn = groups.rotations(4).discrete[0]
    >>> x = jnp.array([1.0, 2.0])
    >>> bool(jnp.allclose(act(turn @ x), turn @ act(x), atol=1e-6))
    True
    """

    def __init__(self, rep: Rep):
        check_rep(rep, "rep")
        if not is_unitary(rep):
            raise ValueError(
                f"{rep} is not unitary: its group changes the norm of a vector, so a "
                "function of the norm is not invariant; use GatedNonlinearity or "
                "TensorProductNonlinearity"
            )
        self.rep_in = self.rep_out = self.rep = rep
        self.bias = EquivariantParam(jnp.zeros(sum(m for m, _ in _terms(rep))))

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep.size] -> [..., rep.size]``."""
        x = vectors(x, self.rep)
        bias, out, at, copy = self.bias[...].astype(x.real.dtype), [], 0, 0
        for m, term in _terms(self.rep):
            v = x[..., at : at + m * term.size]
            v = v.reshape(*v.shape[:-1], m, term.size)
            if isinstance(term, Scalar):
                level = v.real
            else:
                level = (v * v.conj()).real.mean(-1, keepdims=True)
            v = v * jax.nn.sigmoid(level + bias[copy : copy + m, None])
            out.append(jax.lax.collapse(v, v.ndim - 2))
            at, copy = at + m * term.size, copy + m
        return jnp.concatenate(out, axis=-1)


class TensorProductNonlinearity(nnx.Module):
    """x + B(x, x): the tensor product, projected back (Kondor et al., 2018).

    Args:
        rep: any representation; sums of several tensors couple with each other.
        gain: the size of B at initialisation.
        rngs: initialises the couplings.

    Raises:
        TypeError: ``rep`` is not a representation.
        BasisError: the solver is over budget.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, nn, reps
    >>> V = reps.vector(groups.SO(3))
    >>> act = nn.TensorProductNonlinearity(2 * V, rngs=nnx.Rngs(0))
    >>> act(jnp.ones((4, 6))).shape
    (4, 6)
    """

    def __init__(self, rep: Rep, *, gain: float = 1.0, rngs: nnx.Rngs):
        self.bilinear = EquivariantBilinear(rep, rep, gain=gain, rngs=rngs)
        self.rep_in = self.rep_out = self.rep = rep

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep.size] -> [..., rep.size]``."""
        x = vectors(x, self.rep)
        return x + self.bilinear(x)


class PointwiseNonlinearity(nnx.Module):
    """One function of each coordinate, for permutation representations alone.

    Args:
        rep: a permutation representation: regular, quotient, sets, pixels, scalars.
        function: what is applied to each coordinate.

    Raises:
        ValueError: some group element does not permute the coordinates. A function of
            single coordinates commutes with no other representation, save for signs
            and scalings and special functions (Pacini et al., 2024).

    >>> import jax.numpy as jnp
    >>> from eqnets import groups, nn, reps
    >>> act = nn.PointwiseNonlinearity(reps.vector(groups.cyclic(4)), jnp.abs)
    >>> act(jnp.array([-1.0, 0.0, 1.0, 2.0])).tolist()  # [..., rep.size]
    [1.0, 0.0, 1.0, 2.0]
    """

    def __init__(self, rep: Rep, function: Callable[[Array], Array] = jax.nn.silu):
        check_rep(rep, "rep")
        if not is_permutation(rep):
            raise ValueError(
                f"a pointwise nonlinearity does not commute with {rep}, whose group "
                "mixes coordinates: only permutations do for every function (Pacini et "
                "al., 2024); use GatedNonlinearity, NormNonlinearity or "
                "TensorProductNonlinearity"
            )
        self.rep_in = self.rep_out = self.rep = rep
        self.function = function

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., rep.size] -> [..., rep.size]``."""
        return self.function(vectors(x, self.rep))


def _terms(rep: Rep) -> Iterator[tuple[int, Rep]]:
    return iter(rep.terms if isinstance(rep, Sum) else ((1, rep),))


def _unitary(images) -> bool:
    skew = images.lie + images.lie.conj().transpose(0, 2, 1)
    disc = images.discrete
    gram = disc @ disc.conj().transpose(0, 2, 1)
    scale = max(1.0, np.abs(images.lie).max(initial=0.0))
    return bool(
        np.abs(skew).max(initial=0.0) <= 1e-12 * scale
        and np.abs(gram - np.eye(images.size)).max(initial=0.0) <= 1e-12
    )
