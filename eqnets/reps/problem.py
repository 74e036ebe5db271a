"""The constraints of one tensor product of atoms of one group."""

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from eqnets.reps.images import Images


class Problem:
    """Find all v with rho(h_i) v = v and drho(A_k) v = 0 in a_1 (x) a_2 (x) ..

    Args:
        atoms: the images of the generators in each factor; the last varies fastest.
    """

    def __init__(self, atoms: tuple[Images, ...]):
        self.atoms = atoms
        self.sizes = tuple(a.size for a in atoms)
        self.size = int(np.prod(self.sizes, dtype=object))
        self.is_complex = any(a.is_complex for a in atoms)
        self.dtype = np.dtype(np.complex128 if self.is_complex else np.float64)
        self.discrete_count = atoms[0].count if atoms else 0
        self.lie_count = len(atoms[0].lie) if atoms else 0

    @cached_property
    def digest(self) -> str:
        """A hash of the constraints: the key of the caches."""
        text = ".".join(a.digest for a in self.atoms)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @cached_property
    def distinct(self) -> list[Images]:
        """The different atoms, in order of appearance."""
        return list({a.digest: a for a in self.atoms}.values())

    @cached_property
    def places(self) -> list[int]:
        """For each factor, the number of its atom among the `distinct`."""
        keys = [a.digest for a in self.distinct]
        return [keys.index(a.digest) for a in self.atoms]

    @cached_property
    def dense_discrete(self) -> list[np.ndarray]:
        """For each distinct atom, the discrete images ``[M, n, n]``."""
        return [a.discrete for a in self.distinct]

    @property
    def lie_size(self) -> float:
        """The largest spectral norm of a Lie generator on a factor."""
        norms = [np.linalg.norm(a.lie, 2, axis=(1, 2)) for a in self.distinct]
        return float(np.max(norms)) if self.lie_count else 0.0

    @property
    def is_monomial(self) -> bool:
        """Whether every discrete image has one entry in each row."""
        return all(a.form is not None for a in self.atoms)

    def monomial(self, i: int) -> tuple[np.ndarray, np.ndarray | None]:
        """rho(h_i) as (permutation ``[N]``, weights ``[N]`` or None where all are 1).

        Index arrays are 32-bit where they can be: they are what the solver's memory
        goes to.
        """
        kind = np.int32 if self.size < 2**31 else np.int64
        perm = np.zeros(1, kind)
        weights = None
        for atom in self.atoms:
            p, w = atom.form[0][i], atom.form[1][i]
            grown = perm[:, None] * kind(atom.size) + p.astype(kind)[None]
            if weights is not None or (w != 1).any():
                before = np.ones(len(perm)) if weights is None else weights
                weights = (before[:, None] * w[None]).ravel()
            perm = grown.ravel()
        if weights is not None and (weights == 1).all():
            weights = None
        return perm, weights

    def apply(self, i: int, v: np.ndarray) -> np.ndarray:
        """rho(h_i) v for columns v ``[N, c]``."""
        if self.is_monomial:
            perm, weights = self.monomial(i)
            out = np.empty(v.shape, np.result_type(v, self.dtype))
            out[perm] = v if weights is None else weights[:, None] * v
            return out
        mats = [self.dense_discrete[x][i] for x in self.places]
        return kron_apply(mats, v)

    def apply_lie(self, k: int, v: np.ndarray) -> np.ndarray:
        """drho(A_k) v for columns v ``[N, c]``."""
        return kron_sum_apply([a.lie[k] for a in self.atoms], v)

    def constraints(self, v: np.ndarray) -> Iterator[np.ndarray]:
        """rho(h_i) v - v, then drho(A_k) v, for columns v ``[N, c]``."""
        for i in range(self.discrete_count):
            yield self.apply(i, v) - v
        for k in range(self.lie_count):
            yield self.apply_lie(k, v)


def kron_apply(mats: list[np.ndarray], v: np.ndarray) -> np.ndarray:
    """(m_1 (x) m_2 (x) ..) v for columns v ``[N, c]``, one factor after the other.

    Each step multiplies the leading axis and moves it to the end, so that every
    product is one large matrix product and the axes are in order again at the end.
    """
    columns = v.shape[1]
    x = np.ascontiguousarray(v).ravel()  # [n_1, .., n_k, c]
    for m in mats:
        x = (x.reshape(m.shape[1], -1).T @ m.T).ravel()
    # Now [c, n_1, .., n_k]: the columns were the last axis and came to the front.
    return x.reshape(columns, -1).T


def kron_sum_apply(mats: list[np.ndarray], v: np.ndarray) -> np.ndarray:
    """(m_1 (x) 1 .. + 1 (x) m_2 .. + ..) v for columns v ``[N, c]``."""
    columns = v.shape[1]
    out = np.zeros(v.shape, np.result_type(v, *mats) if mats else v.dtype)
    left = 1
    for m in mats:
        n = m.shape[0]
        right = v.shape[0] // (left * n)
        x = v.reshape(left, n, right * columns)
        if left <= 256 or right * columns >= 64:
            part = np.matmul(m, x)
        else:  # many tiny products: swap the axes and do one large one
            part = (x.swapaxes(1, 2).reshape(-1, n) @ m.T).reshape(
                left, right * columns, n
            )
            part = part.swapaxes(1, 2)
        out += part.reshape(out.shape)
        left *= n
    return out
