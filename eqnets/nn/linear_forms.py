"""Equivariant linear maps as pure functions of their free parameters.

Three forms, chosen by what the solver finds: small matrices over the multiplicities of
irreps; one number per orbit of matrix entries; coefficients of a typed basis. Each has
as many parameters as the space of equivariant maps has dimensions. None forms a
projection, and where a weight matrix is formed it is formed once for the whole batch.
"""

import abc
import math
from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from eqnets.nn.components import Components, constant, join, mixed, split
from eqnets.reps import Basis, Rep, equivariant_basis
from eqnets.reps.basis import LabelBasis
from eqnets.reps.blocks import blocks
from eqnets.reps.factored import DirectSumBasis
from eqnets.reps.isotypic import IrrepTable, irrep_table

Params = dict[str, Array]
Pair = tuple[int, int]
Gain = float | Callable[[int], float]

_ORBIT_ENTRIES = 2**26  # matrix entries that the orbit form will number


class LinearForm(abc.ABC):
    """A linear space of equivariant maps of columns, ``[n_in, B] -> [n_out, B]``.

    Attributes:
        kind: ``"irreps"``, ``"orbits"`` or ``"basis"``.
        rank: the number of free parameters, over C where `is_complex`.
        n_in: the size of the input.
        is_complex: whether parameters are complex; they are stored as real arrays with
            a leading axis of two, so that optimisers need not know.
        shapes: the shape of each parameter array, that axis left out.
        scales: the standard deviation of each under He's rule, a number or an array.
        dims: for each, the dimension of its irrep, 1 where the form has none.
    """

    kind: str
    rank: int
    n_in: int
    is_complex: bool
    shapes: dict[str, tuple[int, ...]]
    scales: dict
    dims: dict[str, int]

    @abc.abstractmethod
    def apply(self, params: Params, x: Array) -> Array:
        """The map with these parameters."""

    @abc.abstractmethod
    def fit(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """The parameters of an equivariant matrix ``[n_out, n_in]``."""

    def matrix(self, params: Params, like: Array) -> Array:
        """W ``[n_out, n_in]`` in the precision of ``like``."""
        return self.apply(params, jnp.eye(self.n_in, dtype=like.dtype))


def init(form: LinearForm, key: Array, *, gain: Gain = 1.0) -> Params:
    """He's rule by block: inputs of unit variance give outputs of variance gain^2.

    Each parameter has the variance of one over the number of terms that are added up in
    its block (Weiler & Cesa, 2019, Appendix B.7), times gain(d)^2 for the block of an
    irrep of dimension d where ``gain`` is a function.
    """
    gains = {n: gain(d) if callable(gain) else gain for n, d in form.dims.items()}
    scales = {name: gains[name] * np.asarray(s) for name, s in form.scales.items()}
    return normals(key, form.shapes, scales, is_complex=form.is_complex)


def normals(
    key: Array, shapes: dict[str, tuple], scales: dict, *, is_complex: bool
) -> Params:
    """Normal parameters of given standard deviations, drawn on the host.

    Drawing a hundred small arrays one by one on a device would compile a program for
    each shape; under a trace the host is called back and draws the same numbers.
    """
    lead, part = ((2,), math.sqrt(0.5)) if is_complex else ((), 1.0)

    def draw(data):
        rng = np.random.default_rng(np.asarray(data).ravel().tolist())
        return {
            name: (part * scales[name] * rng.standard_normal((*lead, *shape))).astype(
                np.float32
            )
            for name, shape in shapes.items()
        }

    data = jax.random.key_data(key)
    if not isinstance(data, jax.core.Tracer):
        return {name: jnp.asarray(x) for name, x in draw(data).items()}
    kinds = {
        name: jax.ShapeDtypeStruct((*lead, *shape), np.float32)
        for name, shape in shapes.items()
    }
    return jax.pure_callback(draw, kinds, data, vmap_method="sequential")


def value(param: Array, like: Array, is_complex: bool) -> Array:
    """A stored parameter as a number of the precision of ``like``."""
    real = jnp.finfo(like.dtype).dtype if jnp.iscomplexobj(like) else like.dtype
    param = param.astype(real)
    return jax.lax.complex(param[0], param[1]) if is_complex else param


def stored(numbers: np.ndarray, is_complex: bool) -> np.ndarray:
    """Numbers as the parameters are stored."""
    if is_complex:
        return np.stack([np.real(numbers), np.imag(numbers)])
    return np.real(numbers)


class IrrepForm(LinearForm):
    """Schur's lemma: for each irrep a matrix over its copies in and out."""

    kind = "irreps"

    def __init__(self, rep_in: Rep, rep_out: Rep, table: IrrepTable, at: Pair):
        self.table, self.at = table, at
        self.is_complex = rep_in.is_complex or rep_out.is_complex
        self.n_in, self.n_out = rep_in.size, rep_out.size
        before, after = (table.multiplicities(which) for which in at)
        self.both = [i for i in before if i in after]
        self.shapes, self.scales, self.dims = {}, {}, {}
        for i in self.both:
            e = len(table.endos[i])
            self.shapes[f"irrep{i}"] = (before[i], e, after[i])
            self.scales[f"irrep{i}"] = (before[i] * e) ** -0.5
            self.dims[f"irrep{i}"] = table.dims[i]
        self.rank = sum(math.prod(s) for s in self.shapes.values())

    def apply(self, params: Params, x: Array) -> Array:
        """Split into irreps, mix the copies, put together."""
        if not self.both:
            return jnp.zeros((self.n_out, x.shape[-1]), x.dtype)
        into, out = self.at
        return join(self.table, out, self.mix(params, split(self.table, into, x)))

    def mix(self, params: Params, components: Components) -> Components:
        """The map on components ``[m, d, B]``."""
        return {i: self._mixed(i, params, components[i]) for i in self.both}

    def _mixed(self, i, params, v):
        w = value(params[f"irrep{i}"], v, self.is_complex)
        endo = self.table.endos[i]
        if len(endo) == 1:
            return mixed(w[:, 0], v)
        # A real irrep of complex or quaternionic type has more than one intertwiner.
        turned = jnp.einsum("mdb,efd->mefb", v, constant(endo, v))
        return mixed(lax.collapse(w, 0, 2), lax.collapse(turned, 0, 2))

    def fit(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """Traces of the blocks of the matrix in the irreps."""
        columns = np.asarray(matrix).T  # [n_in, n_out]: x @ columns
        synthesis = _block_matrices(self.table, self.at[0], self.n_in)
        analysis = _block_matrices(self.table, self.at[1], self.n_out)
        out = {}
        for i in self.both:
            into, away = synthesis[i][1], analysis[i][0]
            block = np.einsum("mdn,np,pkf->mdkf", into, columns, away, optimize=True)
            endo = self.table.endos[i]
            w = np.einsum("mdkf,efd->mek", block, endo.conj()) / endo.shape[1]
            out[f"irrep{i}"] = stored(w, self.is_complex)
        return out


def _block_matrices(table, which, n):
    """For each irrep, analysis ``[n, m, d]`` and synthesis ``[m, d, n]``."""
    found: dict[int, list] = {}
    for s in table.summands[which]:
        at = 0
        for number, m in s.irreps:
            d = table.dims[number]
            for place in s.positions:
                analysis, synthesis = (
                    np.zeros((n, m * d), s.analysis.dtype),
                    np.zeros((m * d, n), s.synthesis.dtype),
                )
                analysis[place] = s.analysis[:, at : at + m * d]
                synthesis[:, place] = s.synthesis[at : at + m * d]
                pair = analysis.reshape(n, m, d), synthesis.reshape(m, d, n)
                found.setdefault(number, []).append(pair)
            at += m * d
    return {
        i: (
            np.concatenate([a for a, _ in pairs], axis=1),
            np.concatenate([b for _, b in pairs], axis=0),
        )
        for i, pairs in found.items()
    }


class OrbitForm(LinearForm):
    """One parameter per orbit of entries: W[o, i] = weight[o, i] theta[orbit[o, i]]."""

    kind = "orbits"

    def __init__(self, rep_in: Rep, rep_out: Rep, parts: list):
        self.is_complex = rep_in.is_complex or rep_out.is_complex
        self.n_in = rep_in.size
        shape = (rep_out.size, rep_in.size)
        index = np.full(shape[0] * shape[1], -1, np.int64)
        weights = np.ones(len(index), complex if self.is_complex else float)
        self.rank = 0
        for basis, positions in parts:
            for at in positions:
                labels = basis.labels
                index[at] = np.where(labels >= 0, labels + self.rank, -1)
                if basis.weights is not None and basis.rank:
                    # Entries of modulus about one, whatever the size of the orbit.
                    counts = basis.counts[np.maximum(labels, 0)]
                    weights[at] = basis.weights * np.sqrt(counts)
                self.rank += basis.rank
        self.index, on = index.reshape(shape), index.reshape(shape) >= 0
        weights = weights.reshape(shape) * on
        self.weights = None if np.array_equal(weights, np.ones(shape)) else weights
        self.shapes, self.dims = {"orbits": (self.rank,)}, {"orbits": 1}
        fan_in = np.broadcast_to(on.sum(1, keepdims=True), shape)[on]
        labels = self.index[on]
        total = np.bincount(labels, minlength=self.rank)
        mean = np.bincount(labels, fan_in, minlength=self.rank) / np.maximum(total, 1)
        self.scales = {"orbits": np.maximum(mean, 1) ** -0.5}

    def matrix(self, params: Params, like: Array) -> Array:
        """W ``[n_out, n_in]``, by one gather."""
        if not self.rank:
            return jnp.zeros(self.index.shape, like.dtype)
        theta = value(params["orbits"], like, self.is_complex)
        w = theta[np.maximum(self.index, 0)]
        return w if self.weights is None else w * constant(self.weights, w)

    def apply(self, params: Params, x: Array) -> Array:
        """One matrix, shared by the batch."""
        return self.matrix(params, x) @ x

    def fit(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """Means over orbits."""
        on = self.index >= 0
        w = np.ones(self.index.shape) if self.weights is None else self.weights
        theta = np.zeros(self.rank, np.result_type(matrix, w))
        total = np.zeros(self.rank)
        np.add.at(theta, self.index[on], (np.asarray(matrix) * w.conj())[on])
        np.add.at(total, self.index[on], np.abs(w[on]) ** 2)
        return {"orbits": stored(theta / np.maximum(total, 1e-300), self.is_complex)}


class BasisForm(LinearForm):
    """Coefficients of a typed basis: for groups that are not reductive."""

    kind = "basis"

    def __init__(self, rep_in: Rep, rep_out: Rep, basis: Basis, parts: list):
        self.is_complex = rep_in.is_complex or rep_out.is_complex
        self.basis, self.rank = basis, basis.rank
        self.shape, self.n_in = (rep_out.size, rep_in.size), rep_in.size
        self.shapes, self.dims = {"basis": (basis.rank,)}, {"basis": 1}
        fan_in = np.zeros(self.shape[0])
        for part, positions in parts:
            if part.rank:
                np.add.at(fan_in, positions.ravel() // self.shape[1], 1)
        scales = []
        for part, positions in parts:
            for at in positions:
                fan = max(fan_in[at // self.shape[1]].mean(), 1)
                size = part.size / max(part.rank, 1) / fan
                scales += [math.sqrt(size)] * part.rank
        self.scales = {"basis": np.array(scales)}

    def apply(self, params: Params, x: Array) -> Array:
        """One matrix, shared by the batch."""
        if not self.rank:
            return jnp.zeros((self.shape[0], x.shape[-1]), x.dtype)
        w = self.basis.expand(value(params["basis"], x, self.is_complex))
        return w.reshape(self.shape).astype(x.dtype) @ x

    def fit(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """Inner products with the basis."""
        c = self.basis.coefficients(np.asarray(matrix).reshape(-1))
        return {"basis": stored(c, self.is_complex)}


@lru_cache(maxsize=128)
def linear_form(
    rep_in: Rep, rep_out: Rep, among: tuple[Rep, ...] | None = None
) -> LinearForm:
    """The form for a pair of representations, solved once.

    Orbits where every generator permutes coordinates (up to weights), irreps where the
    representations decompose, else a typed basis.

    Args:
        rep_in: the representation of the input.
        rep_out: the representation of the output.
        among: representations, these two among them, to be split into the same irreps:
            the components that one map gives are then those that another takes.

    Raises:
        BasisError: the solver is over budget.
    """
    small = rep_in.size * rep_out.size <= _ORBIT_ENTRIES
    if small and is_monomial(rep_in) and is_monomial(rep_out):
        basis = equivariant_basis(rep_in >> rep_out)
        parts = _parts(basis)
        if all(isinstance(b, LabelBasis) for b, _ in parts):
            return OrbitForm(rep_in, rep_out, parts)
    table, at = shared_table(rep_in, rep_out, among)
    if table is not None:
        return IrrepForm(rep_in, rep_out, table, at)
    basis = equivariant_basis(rep_in >> rep_out)
    return BasisForm(rep_in, rep_out, basis, _parts(basis))


def shared_table(
    rep_in: Rep, rep_out: Rep, among: tuple[Rep, ...] | None
) -> tuple[IrrepTable | None, Pair]:
    """The irreps of two representations or more, and which of them the two are."""
    if among is None:
        return irrep_table(rep_in, rep_out), (0, 1)
    return irrep_table(*among), (among.index(rep_in), among.index(rep_out))


def is_monomial(rep: Rep) -> bool:
    """Whether each generator permutes coordinates up to weights, and no flow acts."""
    atoms = [a for b in blocks(rep) for a in b.atoms]
    return all(a.images.form is not None and not a.images.lie.any() for a in atoms)


def _parts(basis: Basis) -> list[tuple[Basis, np.ndarray]]:
    if isinstance(basis, DirectSumBasis):
        return basis.parts
    return [(basis, np.arange(basis.size)[None])]
