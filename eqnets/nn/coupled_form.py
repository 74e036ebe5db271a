"""Quadratic maps B(x, x) by Clebsch-Gordan products of isotypic components."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from eqnets.nn.components import (
    Components,
    constant,
    join,
    mixed,
    pieces,
    repeated,
    split,
)
from eqnets.nn.linear_forms import Pair, Params, normals, value
from eqnets.reps import Rep
from eqnets.reps.isotypic import IrrepTable

_SHARE = 0.25  # cost of the products, in units of a dense layer
_UNROLLED = 32  # coordinates of an irrep that get an operation each


class CoupledForm:
    """All pairs of irreps of the input, coupled into those of the output.

    Invariants x_0 and irreps a that act enter in three ways, each followed by a matrix
    over the copies of the output's irrep:

    - inner products of d_a learned mixtures of the copies of a with all copies of its
      dual give invariants;
    - invariants times d_a mixtures of the copies of a give copies of a; invariants
      multiply each other in the same way;
    - for each unordered pair (a, b), mixtures u_j of a and v_j of b are multiplied one
      to one, and u_j (x) v_j is coupled into every other irrep c that it holds. There
      are as many j as keep the cost of all pairs below a quarter of a dense layer's.

    The second is left out where ``invariants`` is false.
    """

    def __init__(
        self,
        rep_in: Rep,
        rep_out: Rep,
        table: IrrepTable,
        at: Pair,
        *,
        invariants: bool = True,
    ):
        self.table, self.at = table, at
        self.is_complex = rep_in.is_complex or rep_out.is_complex
        self.n_in, self.n_out = rep_in.size, rep_out.size
        self.before, self.after = (table.multiplicities(which) for which in at)
        self.acting = sorted(i for i in self.before if i != table.trivial)
        self.inner = self._inner_products()
        self.pairs = self._pairs()
        self.scaled = []
        if invariants and table.trivial in self.before:
            self.scaled = [a for a in self.before if a in self.after]
        first = {*self.scaled, *(a for a, _ in self.inner)}
        self.few = {a: min(self.before[a], table.dims[a]) for a in sorted(first)}
        self.mixed = sorted(first.union(*self.pairs))
        self.shapes = self._shapes()

    def _inner_products(self) -> dict[Pair, np.ndarray]:
        """(a, b) -> ``[d_a, d_b]``, invariant forms scaled to unit variance."""
        if self.table.trivial not in self.after:
            return {}
        out = {}
        for i, a in enumerate(self.acting):
            for b in self.acting[i:]:
                if self.table.dims[a] == self.table.dims[b]:
                    for form in self.table.couplings(a, b, self.table.trivial):
                        out.setdefault((a, b), []).append(form[..., 0])
        return {pair: np.stack(forms) for pair, forms in out.items()}

    def _pairs(self) -> dict[Pair, tuple[int, dict[int, np.ndarray]]]:
        """(a, b) -> how many products, and c -> couplings ``[r, d_a, d_b, d_c]``."""
        dims, found = self.table.dims, {}
        targets = [c for c in self.after if c != self.table.trivial]
        for i, a in enumerate(self.acting):
            for b in self.acting[i:]:
                maps = {c: self.table.couplings(a, b, c) for c in targets}
                maps = {c: m * math.sqrt(dims[c]) for c, m in maps.items() if len(m)}
                if maps:
                    found[a, b] = maps
        share = _SHARE * self.n_in * self.n_out / max(len(found), 1)
        out = {}
        for (a, b), maps in found.items():
            width = sum(m.shape[0] * m.shape[3] for m in maps.values())
            fit = share // (dims[a] * dims[b] * (1 + width))
            most = min(self.before[a], self.before[b])
            out[a, b] = int(max(1, min(fit, most))), maps
        return out

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes, fans = {}, {}
        for a in self.mixed:
            columns = self.few.get(a, 0) + sum(
                j * ((a == p) + (a == q)) for (p, q), (j, _) in self.pairs.items()
            )
            shapes[f"mix{a}"] = (self.before[a], columns)
        for (a, b), forms in self.inner.items():
            count = len(forms) * self.few[a] * self.before[b]
            fans[self.table.trivial] = fans.get(self.table.trivial, 0) + count
        for j, maps in self.pairs.values():
            for c, m in maps.items():
                fans[c] = fans.get(c, 0) + j * len(m)
        shapes |= {f"couple{c}": (fan, self.after[c]) for c, fan in fans.items()}
        for a in self.scaled:
            width = self.few[a] * len(self.table.endos[a])
            invariants = self.before[self.table.trivial]
            shapes[f"scale{a}"] = (invariants, width, self.after[a])
        return shapes

    def init(self, key: Array, gain: float) -> Params:
        """Normal weights; what enters an output has the standard deviation ``gain``."""
        scales = {
            name: math.prod(shape[:-1]) ** -0.5
            * (1.0 if name.startswith("mix") else gain)
            for name, shape in self.shapes.items()
        }
        return normals(key, self.shapes, scales, is_complex=self.is_complex)

    def apply(self, params: Params, x: Array) -> Array:
        """B(x, x) of columns, ``[n_in, B] -> [n_out, B]``."""
        out = self.couple(params, split(self.table, self.at[0], x))
        if not out:
            return jnp.zeros((self.n_out, x.shape[-1]), x.dtype)
        return join(self.table, self.at[1], out)

    def couple(self, params: Params, components: Components) -> Components:
        """B on components ``[m, d, B]``."""
        like = next(iter(components.values()))
        w = {name: value(p, like, self.is_complex) for name, p in params.items()}
        few, mixtures = self._mixtures(components, w)
        out: Components = {}
        for c, products in self._products(mixtures).items():
            stacked = jnp.concatenate(products, axis=0)
            out[c] = mixed(w[f"couple{c}"], stacked)
        if self.inner:
            out[self.table.trivial] = self._invariants(few, components, w)
        for a in self.scaled:
            term = self._scaled(a, few[a], components[self.table.trivial], w)
            out[a] = out[a] + term if a in out else term
        return out

    def _mixtures(self, components: Components, w):
        """For each irrep its d_a mixtures if used, and those of each of its pairs."""
        few, rest = {}, {}
        for a in self.mixed:
            v = mixed(w[f"mix{a}"], components[a])
            sizes = [self.few[a]] if a in self.few else []
            for (p, q), (j, _) in self.pairs.items():
                sizes += [j] * ((p == a) + (q == a))
            parts = iter(pieces(v, sizes, 0))
            if a in self.few:
                few[a] = next(parts)
            rest[a] = parts
        return few, rest

    def _products(self, mixtures: dict[int, Iterator[Array]]) -> dict[int, list[Array]]:
        """All coupled products ``[count, d_c, B]`` that end in each c."""
        found: dict[int, list[Array]] = {}
        for (a, b), (j, maps) in self.pairs.items():
            u, v = next(mixtures[a]), next(mixtures[b])
            outer = _outer(u, v)
            flat = [
                m.transpose(0, 3, 1, 2).reshape(-1, len(outer)) for m in maps.values()
            ]
            coupled = constant(np.concatenate(flat), u) @ outer
            parts = pieces(coupled, [len(rows) for rows in flat], 0)
            for (c, m), part in zip(maps.items(), parts, strict=True):
                part = part.reshape(len(m), m.shape[3], j, u.shape[-1])
                part = lax.collapse(part.swapaxes(1, 2), 0, 2)
                found.setdefault(c, []).append(part)
        return found

    def _invariants(self, few: Components, components: Components, w) -> Array:
        """All inner products, mixed: ``[k, 1, B]``."""
        products = []
        for (a, b), forms in self.inner.items():
            u, v = few[a], components[b]
            for form in forms:
                turned = _turned(form, u)
                products.append(lax.collapse(_gram(turned, v), 0, 2))
        stacked = jnp.concatenate(products)
        return (w[f"couple{self.table.trivial}"].T @ stacked)[:, None]

    def _scaled(self, a: int, u: Array, invariants: Array, w) -> Array:
        """Invariants times vectors: a matrix over copies that depends on the sample."""
        endo = self.table.endos[a]
        if len(endo) > 1:
            u = jnp.einsum("qdb,efd->qefb", u, constant(endo, u))
            u = lax.collapse(u, 0, 2)
        gates = jnp.einsum("sqk,sb->qkb", w[f"scale{a}"], invariants[:, 0])
        return _product(gates.swapaxes(0, 1), u)


def _turned(form: np.ndarray, u: Array) -> Array:
    """form^T u for each copy: by a number where the form is a multiple of 1."""
    corner = form[:1, :1]
    if np.allclose(form, corner * np.eye(*form.shape), rtol=0, atol=1e-14):
        return constant(corner, u) * u
    return constant(form.T, u) @ u


def _outer(u: Array, v: Array) -> Array:
    """All products of coordinates, ``[j, p, B], [j, q, B] -> [p q, j B]``."""
    d, v = u.shape[1], v.swapaxes(0, 1)
    if d > _UNROLLED:
        outer = u.swapaxes(0, 1)[:, None] * v
        return lax.collapse(lax.collapse(outer, 2), 0, 2)
    parts = [repeated(x.squeeze(1), len(v), 0) * v for x in pieces(u, [1] * d, 1)]
    return lax.collapse(jnp.concatenate(parts), 1)


def _gram(u: Array, v: Array) -> Array:
    """All inner products, ``[q, d, B], [m, d, B] -> [q, m, B]``."""
    d = u.shape[1]
    if d > _UNROLLED:
        return _product(u, v.swapaxes(0, 1))
    pairs = zip(pieces(u, [1] * d, 1), pieces(v, [1] * d, 1), strict=True)
    return sum(
        repeated(x.squeeze(1), len(v), 1) * repeated(y.squeeze(1), len(u), 0)
        for x, y in pairs
    )


def _product(x: Array, y: Array) -> Array:
    """The matrix product of each column, ``[p, k, B], [k, q, B] -> [p, q, B]``.

    XLA has no fast code for a reduction over a middle axis, nor for its derivative, but
    it does for many small matrix products: hence the axis B goes in front.
    """
    return (x.transpose(2, 0, 1) @ y.transpose(2, 0, 1)).transpose(1, 2, 0)
