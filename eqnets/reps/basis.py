"""Typed bases: an invariant subspace kept in the form in which it was found.

Every basis spans a space of invariants of a representation of size N and rank r. Its
columns are orthonormal. `Basis.expand` and `Basis.coefficients` are Q and Q^H without
the dense Q; they take NumPy or JAX arrays (under jit, vmap and grad too) and return the
same kind.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Num

from eqnets.reps.errors import BasisError

Array = Any  # a NumPy or a JAX array

_DENSE_LIMIT = 4 * 2**30  # bytes that dense() writes without being told to


class Basis(ABC):
    """An orthonormal basis Q ``[N, r]`` of invariants.

    Attributes:
        size: N, the size of the representation.
        rank: r, the number of free parameters.
        dtype: float64, or complex128 where the representation is complex.
        method: the algorithm that found it, and why it was chosen.
        residual: the largest ``|rho(h) q - q|`` or ``|drho(A) q|`` over the original
            generators and the columns q.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> basis = reps.equivariant_basis(V >> V)
    >>> basis.size, basis.rank, basis.residual
    (16, 4, 0.0)
    >>> basis.project([1.0] + 15 * [0.0]).reshape(4, 4).diagonal().tolist()  # shared
    [0.25, 0.25, 0.25, 0.25]
    """

    size: int
    rank: int
    dtype: np.dtype
    method: str = ""
    residual: float = 0.0

    @abstractmethod
    def expand(self, c: Array) -> Array:
        """Q c: the invariant with coefficients c, ``[..., r] -> [..., N]``."""

    @abstractmethod
    def coefficients(self, v: Array) -> Array:
        """Q^H v, ``[..., N] -> [..., r]``."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that define the basis: what the caches keep."""

    def project(self, v: Array) -> Array:
        """The nearest invariant Q Q^H v, ``[..., N] -> [..., N]``."""
        return self.expand(self.coefficients(v))

    def dense(self, *, max_bytes: int = _DENSE_LIMIT) -> Num[np.ndarray, "N r"]:
        """Q as a NumPy array ``[N, r]`` with orthonormal columns.

        Args:
            max_bytes: the largest array to write.

        Raises:
            BasisError: Q would be larger than that; `project`, `expand` and
                `coefficients` need no dense Q.
        """
        needed = self.size * self.rank * np.dtype(self.dtype).itemsize
        if needed > max_bytes:
            raise BasisError(
                f"the dense basis [{self.size}, {self.rank}] takes {needed / 2**30:.1f}"
                f" GiB, over max_bytes={max_bytes}: use project, expand or "
                "coefficients, or raise max_bytes"
            )
        return self._dense()

    def _dense(self):
        return np.ascontiguousarray(self.expand(np.eye(self.rank, dtype=self.dtype)).T)

    def __repr__(self):
        return (
            f"<{type(self).__name__} N={self.size} rank={self.rank} "
            f"residual={self.residual:.1e}: {self.method}>"
        )


class LabelBasis(Basis):
    """Each coordinate belongs to one orbit, up to a weight: Q[i, labels[i]] = w[i].

    Attributes:
        labels: ``[N]`` orbit numbers from 0, -1 where every invariant vanishes.
        weights: ``[N]`` entries of Q, or None where they are 1 / sqrt(orbit size).
        counts: ``[r]`` orbit sizes.
    """

    def __init__(
        self, labels: np.ndarray, rank: int, weights: np.ndarray | None, dtype
    ):
        self.labels, self.weights = labels, weights
        self.size, self.rank, self.dtype = len(labels), rank, np.dtype(dtype)
        self.counts = np.bincount(labels[labels >= 0], minlength=rank)

    def expand(self, c: Array) -> Array:
        """Q c by a gather."""
        c = last_axis(c, self.rank, "c")
        if self.rank == 0:
            xp = c.__array_namespace__()
            return xp.zeros((*c.shape[:-1], self.size), dtype=c.dtype)
        if self.weights is None:
            scaled = c * alike(1 / np.sqrt(self.counts), c)
            return scaled[..., self.labels]
        weights = np.where(self.labels >= 0, self.weights, 0)
        return c[..., np.maximum(self.labels, 0)] * alike(weights, c)

    def coefficients(self, v: Array) -> Array:
        """Q^H v by sums over orbits."""
        v = last_axis(v, self.size, "v")
        if self.weights is None:
            return _segment_sum(v, self.labels, self.rank) * alike(
                1 / np.sqrt(self.counts), v
            )
        weighted = v * alike(np.where(self.labels >= 0, self.weights.conj(), 0), v)
        return _segment_sum(weighted, np.maximum(self.labels, 0), self.rank)

    def arrays(self) -> dict[str, np.ndarray]:
        """Labels and weights."""
        out = {"labels": self.labels}
        return out if self.weights is None else {**out, "weights": self.weights}

    def _dense(self):
        q = np.zeros((self.size, self.rank), self.dtype)
        at = np.flatnonzero(self.labels >= 0)
        labels = self.labels[at]
        scale = 1 / np.sqrt(self.counts)
        q[at, labels] = scale[labels] if self.weights is None else self.weights[at]
        return q


class DenseBasis(Basis):
    """Q as it is."""

    def __init__(self, q: np.ndarray):
        self.q = q
        (self.size, self.rank), self.dtype = q.shape, q.dtype

    def expand(self, c: Array) -> Array:
        """Q c."""
        c = last_axis(c, self.rank, "c")
        return c @ alike(self.q.T, c)

    def coefficients(self, v: Array) -> Array:
        """Q^H v."""
        v = last_axis(v, self.size, "v")
        return v @ alike(self.q.conj(), v)

    def arrays(self) -> dict[str, np.ndarray]:
        """The matrix."""
        return {"q": self.q}

    def _dense(self):
        return self.q.copy()


class SparseBasis(Basis):
    """Q by its nonzero entries: Q[rows, cols] = values, sorted by row."""

    def __init__(
        self, rows: np.ndarray, cols: np.ndarray, values: np.ndarray, shape: tuple
    ):
        self.rows, self.cols, self.values = rows, cols, values
        (self.size, self.rank), self.dtype = shape, values.dtype

    def expand(self, c: Array) -> Array:
        """Q c by a gather and a sum over rows."""
        c = last_axis(c, self.rank, "c")
        return _segment_sum(
            c[..., self.cols] * alike(self.values, c), self.rows, self.size
        )

    def coefficients(self, v: Array) -> Array:
        """Q^H v by a gather and a sum over columns."""
        v = last_axis(v, self.size, "v")
        picked = v[..., self.rows] * alike(self.values.conj(), v)
        return _segment_sum(picked, self.cols, self.rank)

    def arrays(self) -> dict[str, np.ndarray]:
        """Rows, columns, values."""
        shape = np.array([self.size, self.rank])
        return {
            "rows": self.rows,
            "cols": self.cols,
            "values": self.values,
            "shape": shape,
        }

    def _dense(self):
        q = np.zeros((self.size, self.rank), self.dtype)
        q[self.rows, self.cols] = self.values
        return q


def last_axis(x: Array, n: int, name: str) -> Array:
    """``x`` as an array ``[..., n]``, or ValueError."""
    x = x if hasattr(x, "__array_namespace__") else np.asarray(x)
    if x.ndim == 0 or x.shape[-1] != n:
        raise ValueError(
            f"{name} must have {n} entries along its last axis, got shape {x.shape}"
        )
    return x


def alike(constant: np.ndarray, x: Array) -> Array:
    """A constant of the kind and precision of ``x``."""
    if isinstance(x, np.ndarray):
        return constant
    kind = x.dtype
    if np.iscomplexobj(constant) and kind.kind != "c":
        kind = np.result_type(kind, np.complex64)
    elif kind.kind not in "fc":
        kind = np.dtype(np.float32)
    return x.__array_namespace__().asarray(constant, dtype=kind)


def _segment_sum(x: Array, labels: np.ndarray, n: int) -> Array:
    """Sums of ``x [..., N]`` over equal labels, ``[..., n]``."""
    if not isinstance(x, np.ndarray):
        zeros = x.__array_namespace__().zeros((*x.shape[:-1], n), dtype=x.dtype)
        return zeros.at[..., labels].add(x)
    flat = x.reshape(-1, x.shape[-1])
    out = np.empty((len(flat), n), np.result_type(x.dtype, np.float64))
    for row, values in zip(out, flat, strict=True):
        row[:] = _bincount(labels, values, n)
    return out.reshape(*x.shape[:-1], n)


def _bincount(labels, values, n):
    if np.iscomplexobj(values):
        real = np.bincount(labels, values.real, minlength=n)
        return real + 1j * np.bincount(labels, values.imag, minlength=n)
    return np.bincount(labels, values, minlength=n)
