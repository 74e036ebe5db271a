"""Bases that are built from smaller ones: isotypic, Kronecker and direct sums."""

from dataclasses import dataclass

import numpy as np

from eqnets.reps.basis import Array, Basis, alike, last_axis


@dataclass(frozen=True, eq=False)
class Isotypic:
    """The part of Hom(B*, A) that belongs to one irreducible representation.

    Attributes:
        left: ``[n_a, m, d]`` orthonormal copies of the irrep in A.
        right: ``[n_b, k, d]`` orthonormal copies of it in the dual of B.
        endo: ``[e, d, d]`` orthonormal basis of the matrices that commute with it;
            e = 1, or 2 and 4 for real irreps of complex and quaternionic type.
    """

    left: np.ndarray
    right: np.ndarray
    endo: np.ndarray

    @property
    def rank(self) -> int:
        """How many invariants it gives: m k e."""
        return self.left.shape[1] * self.right.shape[1] * len(self.endo)


class FactoredBasis(Basis):
    """Invariants of A (x) B as maps that match the irreps of A with those of B*.

    Column (i, k, e) of an isotypic part is vec(left_i endo_e right_k^H).

    Attributes:
        parts: the isotypic parts, in the order of the columns.
        shape: (n_a, n_b), the sizes of A and B.
    """

    def __init__(self, parts: list[Isotypic], shape: tuple, dtype: object):
        self.parts, self.shape = parts, tuple(int(n) for n in shape)
        self.size, self.rank = shape[0] * shape[1], sum(p.rank for p in parts)
        self.dtype = np.dtype(dtype)

    def expand(self, c: Array) -> Array:
        """Q c by products with the factors."""
        c = last_axis(c, self.rank, "c")
        lead = c.shape[:-1]
        xp = c.__array_namespace__()
        out, start = xp.zeros((*lead, *self.shape), dtype=c.dtype), 0
        for part in self.parts:
            (na, m, d), (nb, k, _) = part.left.shape, part.right.shape
            x = c[..., start : start + part.rank].reshape(*lead, m, k, len(part.endo))
            inner = xp.einsum("...mke,epq->...mpkq", x, alike(part.endo, c))
            inner = inner.reshape(*lead, m * d, k * d)
            left = alike(part.left.reshape(na, m * d), c)
            right = alike(part.right.reshape(nb, k * d).conj().T, c)
            out = out + left @ inner @ right
            start += part.rank
        return out.reshape(*lead, self.size)

    def coefficients(self, v: Array) -> Array:
        """Q^H v by products with the factors."""
        v = last_axis(v, self.size, "v")
        lead = v.shape[:-1]
        xp = v.__array_namespace__()
        w, out = v.reshape(*lead, *self.shape), []
        for part in self.parts:
            (na, m, d), (nb, k, _) = part.left.shape, part.right.shape
            left = alike(part.left.reshape(na, m * d).conj().T, v)
            right = alike(part.right.reshape(nb, k * d), v)
            inner = (left @ w @ right).reshape(*lead, m, d, k, d)
            endo = alike(part.endo.conj(), v)
            x = xp.einsum("...mpkq,epq->...mke", inner, endo)
            out.append(x.reshape(*lead, part.rank))
        if not out:
            return xp.zeros((*lead, 0), dtype=v.dtype)
        return xp.concatenate(out, axis=-1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The factors of each part."""
        out = {"shape": np.array(self.shape)}
        for i, p in enumerate(self.parts):
            out |= {f"left{i}": p.left, f"right{i}": p.right, f"endo{i}": p.endo}
        return out

    def _dense(self):
        q, start = np.empty((self.size, self.rank), self.dtype), 0
        view = q.reshape(*self.shape, self.rank)
        for part in self.parts:
            (na, m, d), (nb, k, _) = part.left.shape, part.right.shape
            e = len(part.endo)
            right = part.right.conj().reshape(nb * k, d).T
            for j in range(e):
                left = (part.left @ part.endo[j]).reshape(na * m, d)
                block = (left @ right).reshape(na, m, nb, k).transpose(0, 2, 1, 3)
                columns = slice(start + j, start + part.rank, e)
                view[:, :, columns] = block.reshape(na, nb, m * k)
            start += part.rank
        return q


class KroneckerBasis(Basis):
    """Q_1 (x) Q_2 (x) ..: a tensor product of representations of different groups."""

    def __init__(self, factors: list[Basis]):
        self.factors = factors
        self.size = int(np.prod([f.size for f in factors], dtype=object))
        self.rank = int(np.prod([f.rank for f in factors], dtype=object))
        self.dtype = np.result_type(*[f.dtype for f in factors])

    def expand(self, c: Array) -> Array:
        """Q c, one factor after the other."""
        c = last_axis(c, self.rank, "c")
        ranks = [f.rank for f in self.factors]
        return self._modes(c, ranks, [f.expand for f in self.factors])

    def coefficients(self, v: Array) -> Array:
        """Q^H v, one factor after the other."""
        v = last_axis(v, self.size, "v")
        sizes = [f.size for f in self.factors]
        return self._modes(v, sizes, [f.coefficients for f in self.factors])

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of each factor."""
        return _numbered(self.factors)

    @staticmethod
    def _modes(x, sizes, maps):
        lead = x.shape[:-1]
        x = x.reshape(*lead, *sizes)
        for i, apply in enumerate(maps):
            axis = len(lead) + i
            x = apply(x.swapaxes(axis, -1)).swapaxes(axis, -1)
        return x.reshape(*lead, int(np.prod(x.shape[len(lead) :])))


class DirectSumBasis(Basis):
    """A block-diagonal Q: copies of smaller bases at given coordinates.

    Attributes:
        parts: (basis, positions ``[copies, n]``) pairs; columns run over the parts,
            then the copies, then the columns of the part.
    """

    def __init__(self, size: int, parts: list[tuple[Basis, np.ndarray]]):
        self.size, self.parts = size, parts
        self.rank = sum(b.rank * len(p) for b, p in parts)
        self.dtype = np.result_type(*[b.dtype for b, _ in parts])

    def expand(self, c: Array) -> Array:
        """Q c, block by block."""
        c = last_axis(c, self.rank, "c")
        lead = c.shape[:-1]
        xp = c.__array_namespace__()
        values, places, start = [], [], 0
        for basis, positions in self.parts:
            count = len(positions) * basis.rank
            x = c[..., start : start + count].reshape(*lead, len(positions), basis.rank)
            values.append(basis.expand(x).reshape(*lead, -1))
            places.append(positions.ravel())
            start += count
        stacked = xp.concatenate(values, axis=-1)
        # The blocks tile the vector: one gather by the inverse permutation.
        return stacked[..., np.argsort(np.concatenate(places))]

    def coefficients(self, v: Array) -> Array:
        """Q^H v, block by block."""
        v = last_axis(v, self.size, "v")
        lead = v.shape[:-1]
        out = [
            b.coefficients(v[..., p]).reshape(*lead, len(p) * b.rank)
            for b, p in self.parts
        ]
        return v.__array_namespace__().concatenate(out, axis=-1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of each part, and where its copies lie."""
        places = {f"positions{i}": p for i, (_, p) in enumerate(self.parts)}
        return _numbered([b for b, _ in self.parts]) | places

    def _dense(self):
        q, start = np.zeros((self.size, self.rank), self.dtype), 0
        for basis, positions in self.parts:
            block = basis.dense()
            for at in positions:
                q[at, start : start + basis.rank] = block
                start += basis.rank
        return q


def _numbered(bases):
    return {
        f"{i}.{name}": array
        for i, basis in enumerate(bases)
        for name, array in basis.arrays().items()
    }
