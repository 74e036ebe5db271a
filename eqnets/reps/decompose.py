"""Irreducible decomposition of tensor powers, one factor at a time.

A (x) V is decomposed by splitting lambda (x) V for one copy of each irrep lambda of A
(a small matrix), and carrying the result to all copies. No matrix of the size of the
tensor power is ever diagonalised.
"""

from dataclasses import dataclass, field

import numpy as np

from eqnets.reps.canonical import canonical_basis
from eqnets.reps.commutant import random_intertwiner
from eqnets.reps.family import Family

_SAME = 1e-14  # entries of generators that are the same matrices
_INDEPENDENT = 1e-6  # norm of what a random intertwiner adds to those before
_CLUSTER = 1e-6  # eigenvalues closer than this (relative) are one cluster


class NotDecomposed(Exception):
    """The iteration did not settle: another stage has to solve the problem."""


@dataclass(eq=False)
class Irrep:
    """An irreducible representation met on the way.

    Attributes:
        gens: ``[K, d, d]`` the family in this irrep.
        traces: numbers that tell it from others of the same dimension.
    """

    gens: np.ndarray
    traces: np.ndarray
    endo: np.ndarray | None = field(default=None)

    @property
    def d(self) -> int:
        """The dimension."""
        return self.gens.shape[1]


class Decomposer:
    """Splits representations of one family and remembers the irreps it met."""

    def __init__(self, family: Family):
        self.family = family
        self.irreps: list[Irrep] = []
        self.rng = np.random.default_rng(0)
        count = family.gens[0].shape[0] if family.gens else 0
        self._probe = np.random.default_rng(7).standard_normal((2, count))
        self._products: dict[tuple[int, int], dict[int, np.ndarray]] = {}
        self._tensors: dict[tuple[int, ...], dict[int, np.ndarray]] = {}

    def tensor(self, places: list[int]) -> dict[int, np.ndarray]:
        """Orthonormal copies of the irreps in the product of the atoms at ``places``.

        Returns:
            For each irrep number, ``[n, m, d]``: m copies in the product of size n, the
            same ones at each call.
        """
        key = tuple(places)
        if key not in self._tensors:
            self._tensors[key] = self._tensor(places)
        return self._tensors[key]

    def _tensor(self, places):
        if not places:
            return self.split(self._trivial_gens())
        if len(places) == 1:
            return self.split(self.family.gens[places[0]])
        before = self.tensor(places[:-1])
        atom = self.family.gens[places[-1]]
        grown: dict[int, list[np.ndarray]] = {}
        for number, copies in before.items():
            n, m, d = copies.shape
            for target, cg in self._times(number, places[-1]).items():
                size, k, d2 = atom.shape[1], cg.shape[1], cg.shape[2]
                new = copies.reshape(n * m, d) @ cg.reshape(d, size * k * d2)
                new = new.reshape(n, m, size, k, d2).transpose(0, 2, 1, 3, 4)
                grown.setdefault(target, []).append(new.reshape(n * size, m * k, d2))
        return {t: np.concatenate(parts, axis=1) for t, parts in grown.items()}

    def _trivial_gens(self):
        dtype = self.family.gens[0].dtype
        count = self.family.gens[0].shape[0]
        gens = np.zeros((count, 1, 1), dtype)
        gens[self.family.lie :] = 1
        return gens

    def _times(self, number, place):
        """The split of (irrep ``number``) (x) (atom ``place``), remembered."""
        key = (number, place)
        if key not in self._products:
            a, b = self.irreps[number].gens, self.family.gens[place]
            self._products[key] = self.split(family_product(a, b, self.family.lie))
        return self._products[key]

    def split(self, gens: np.ndarray) -> dict[int, np.ndarray]:
        """Irrep number -> ``[n, m, d]`` orthonormal aligned copies in ``gens``."""
        found: dict[int, list[np.ndarray]] = {}
        for space in self._casimir_spaces(gens):
            self._split_space(gens, space, found)
        return {t: np.stack(parts, axis=1) for t, parts in found.items()}

    def _casimir_spaces(self, gens):
        n = gens.shape[1]
        if not self.family.casimir or n == 1:
            return [np.eye(n, dtype=gens.dtype)]
        lie = gens[: self.family.lie]
        wide = lie.transpose(1, 0, 2).reshape(n, -1)
        spaces = _eigenspaces(wide @ wide.conj().T)
        return spaces if len(spaces) > 1 else [np.eye(n, dtype=gens.dtype)]

    def _split_space(self, gens, space, found):
        if self._match(gens, space, found):
            return
        small = _restricted(gens, space)
        x = random_intertwiner(small, small, self.rng, part=1)
        if x is None:
            raise NotDecomposed("conjugate gradients did not settle on the commutant")
        parts = _eigenspaces(x)
        if len(parts) > 1:
            for part in parts:
                self._split_space(gens, space @ part, found)
            return
        self.irreps.append(Irrep(small, self._traces(small)))
        found.setdefault(len(self.irreps) - 1, []).append(space)

    def _match(self, gens, space, found):
        """Whether ``space`` is a copy of a known irrep; if so, aligned and kept."""
        d = space.shape[1]
        if not any(irrep.d == d for irrep in self.irreps):
            return False
        small = _restricted(gens, space)
        traces = self._traces(small)
        for number, irrep in enumerate(self.irreps):
            if irrep.d != d or not np.allclose(traces, irrep.traces, atol=1e-5):
                continue
            if np.allclose(small, irrep.gens, rtol=0.0, atol=_SAME):
                found.setdefault(number, []).append(space)
                return True
            t = random_intertwiner(small, irrep.gens, self.rng)
            if t is None:
                raise NotDecomposed("conjugate gradients did not settle on a match")
            size = np.linalg.norm(t)
            if size > 1e-6 * d:
                # By Schur's lemma t is a multiple of an isometry.
                found.setdefault(number, []).append(space @ (t * np.sqrt(d) / size))
                return True
        return False

    def _traces(self, gens):
        a, b = np.tensordot(self._probe, gens, 1)
        powers = [a, a @ a, a @ b, a @ a @ b, a @ b @ b]
        scale = (np.linalg.norm(a) + np.linalg.norm(b)) / np.sqrt(len(a))
        scale = scale if scale > 1e-12 else 1.0  # the trivial irrep of a Lie algebra
        # Traces of words of length p, in units of the size of a letter.
        lengths = (1, 2, 2, 3, 3)
        pairs = zip(powers, lengths, strict=True)
        return np.array([np.trace(w) / scale**p for w, p in pairs])

    def endomorphisms(self, number: int) -> np.ndarray:
        """Orthonormal basis ``[e, d, d]`` of the matrices that commute with an irrep.

        e = 1 over the complex numbers; a real irrep is of real, complex or quaternionic
        type and has e = 1, 2, 4: the identity and the anti-symmetric ones.
        """
        irrep = self.irreps[number]
        if irrep.endo is None:
            irrep.endo = self._endomorphisms(irrep)
        return irrep.endo

    def _endomorphisms(self, irrep):
        one = np.eye(irrep.d, dtype=irrep.gens.dtype) / np.sqrt(irrep.d)
        if np.iscomplexobj(one) or irrep.d == 1:
            return one[None]
        found = one.reshape(1, -1)
        for _ in range(4):
            x = random_intertwiner(irrep.gens, irrep.gens, self.rng, part=-1)
            if x is None:
                raise NotDecomposed("conjugate gradients did not settle on the type")
            x = x.ravel()
            for _ in range(2):  # twice is enough for orthogonality to rounding
                x = x - (found @ x) @ found
            size = np.linalg.norm(x)
            if size > _INDEPENDENT:
                found = np.concatenate([found, x[None] / size])
        if len(found) not in (1, 2, 4):
            raise NotDecomposed("an irrep of no real type: it is not irreducible")
        return found.reshape(-1, irrep.d, irrep.d)


def family_product(a, b, lie):
    """The family on a tensor product: Leibniz for the Lie part, else products."""
    n, m = a.shape[1], b.shape[1]
    out = np.empty((len(a), n, m, n, m), np.result_type(a, b))
    one_a, one_b = np.eye(n), np.eye(m)
    out[:lie] = np.einsum("kij,pq->kipjq", a[:lie], one_b)
    out[:lie] += np.einsum("ij,kpq->kipjq", one_a, b[:lie])
    out[lie:] = np.einsum("kij,kpq->kipjq", a[lie:], b[lie:])
    return out.reshape(len(a), n * m, n * m)


def _restricted(gens, space):
    return space.conj().T @ gens @ space


def _eigenspaces(x):
    """Canonical bases of the eigenspaces of a Hermitian matrix."""
    values, vectors = np.linalg.eigh((x + x.conj().T) / 2)
    width = max(np.abs(values).max(), 1e-300)
    cuts = np.flatnonzero(np.diff(values) > _CLUSTER * width) + 1
    return [canonical_basis(v) for v in np.split(vectors, cuts, axis=1)]
