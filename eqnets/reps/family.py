"""Generators in a form closed under adjoints, as the Schur route needs them.

In the given coordinates where they are, else in others: balanced ones for a reductive
Lie algebra, unitary ones for a compact group.

Invariant subspaces then have invariant orthogonal complements, and commutants are
spanned by Hermitian matrices, whether the group is compact or not: for SO(1, 3) no
complex numbers are needed.
"""

from dataclasses import dataclass

import numpy as np

from eqnets.reps.balance import balanced
from eqnets.reps.images import Images
from eqnets.reps.nullspace import solve_nullspace
from eqnets.reps.problem import Problem

_MANY = 60  # Lie dimensions; beyond, eight random elements stand for the algebra
_ZERO = 1e-9
_CLEAR = 1e-6  # a bracket outside the span by less, but not by zero, is noise
_CHANGED_SIZE = 40


@dataclass(frozen=True, eq=False)
class Family:
    """Generators of the action on several atoms at once.

    Attributes:
        gens: for each atom ``[K, n, n]``, the Lie part first.
        lie: how many of the K belong to the Lie algebra.
        casimir: whether the Lie part is an orthonormal basis of an algebra that is
            closed under adjoints, so that sum_k L_k L_k^H commutes with the action.
        back: for each atom ``[n, n]``, from these coordinates to the given ones; None
            where they are the same.
    """

    gens: list[np.ndarray]
    lie: int
    casimir: bool
    back: list[np.ndarray] | None


def make_family(atoms: list[Images], *, max_bytes: int) -> Family | None:
    """The family of the atoms, or None where no coordinates make it closed."""
    found = _closed(atoms)
    if found is not None:
        return Family(*found, back=None)
    if max(a.size for a in atoms) > _CHANGED_SIZE:
        return None
    return _balanced_family(atoms) or _unitary_family(atoms, max_bytes)


def _balanced_family(atoms) -> Family | None:
    """The family where the Lie algebra is reductive and the rest is unitary with it."""
    sizes = [a.size for a in atoms]
    flat = _flat(atoms)
    basis = _bracket_closure(flat, sizes) if len(flat) else None
    if basis is None or len(basis) > _MANY:
        return None
    found = balanced(_unflatten(basis, sizes), [a.discrete for a in atoms])
    if found is None:
        return None
    images = [
        Images(n, lie, disc, None)
        for n, lie, disc in zip(sizes, *found[1:], strict=True)
    ]
    return _carried(images, [np.linalg.inv(s) for s in found[0]])


def _unitary_family(atoms, max_bytes) -> Family | None:
    """The family where the group is compact."""
    back, changed = [], []
    for atom in atoms:
        s = unitarising(atom, max_bytes=max_bytes)
        if s is None:
            return None
        inverse = np.linalg.inv(s)
        back.append(inverse)
        disc = s @ atom.discrete @ inverse
        # The form is exact: rounding off the adjoint-closed set is taken away again.
        changed.append(Images(atom.size, _skew(s @ atom.lie @ inverse), disc, None))
    return _carried(changed, back)


def _carried(images, back) -> Family | None:
    found = _closed(images)
    return None if found is None else Family(*found, back=back)


def unitarising(atom: Images, *, max_bytes: int) -> np.ndarray | None:
    """S with S rho(g) S^-1 unitary for all g, or None where the group is not compact.

    The invariant forms H (rho(g)^H H rho(g) = H) are a null space of size n^2. The
    average of g^H g over the group is the projection of 1 on them along the range, so
    it follows from them and from the invariant forms of the dual, without a sum over
    the group. It is positive where the group is compact, and S = H^(1/2).
    """
    plain = Images(atom.size, atom.lie, atom.discrete, None)
    dual = plain.dual
    right = solve_nullspace(Problem((_conj(dual), dual)), max_bytes=max_bytes).dense()
    left = solve_nullspace(Problem((_conj(plain), plain)), max_bytes=max_bytes).dense()
    if right.shape != left.shape or not right.shape[1]:
        return None
    left = left.conj()
    pairing = left.T @ right
    if np.linalg.cond(pairing) > 1e10:
        return None
    n = atom.size
    h = right @ np.linalg.solve(pairing, left.T @ np.eye(n).ravel())
    h = h.reshape(n, n)
    h = (h + h.conj().T) / 2
    values, vectors = np.linalg.eigh(h)
    if values[0] <= 1e-8 * values[-1]:
        return None
    # The symmetric root: there is one, while eigenvectors are as they come.
    return ((vectors * np.sqrt(values)) @ vectors.conj().T).astype(h.dtype)


def _conj(images: Images) -> Images:
    return Images(images.size, images.lie.conj(), images.discrete.conj(), None)


def _skew(lie):
    return (lie - lie.conj().transpose(0, 2, 1)) / 2


def _closed(atoms):
    """(gens, lie, casimir) for atoms as they are, or None."""
    disc = [a.discrete for a in atoms]
    if not all(_normal(d) for d in disc) and not _adjoint_listed(disc):
        return None
    lie = _lie_basis(atoms)
    if lie is None:
        return None
    basis, casimir = lie
    gens = [np.concatenate([b, d]) for b, d in zip(basis, disc, strict=True)]
    return gens, len(basis[0]), casimir


def _normal(mats):
    ah = mats.conj().transpose(0, 2, 1)
    size = np.abs(mats).max(axis=(1, 2), initial=0.0) ** 2 * mats.shape[1]
    off = np.abs(mats @ ah - ah @ mats).max(axis=(1, 2), initial=0.0)
    return bool((off <= _ZERO * np.maximum(size, 1e-300)).all())


def _adjoint_listed(disc):
    """Whether the adjoint of each generator is a generator or the inverse of one."""
    joint = [list(ms) for ms in zip(*disc, strict=True)]
    listed = joint + [[np.linalg.inv(m) for m in ms] for ms in joint]
    return all(
        any(
            all(
                np.allclose(m.conj().T, o, atol=1e-9)
                for m, o in zip(ms, other, strict=True)
            )
            for other in listed
        )
        for ms in joint
    )


def _lie_basis(atoms):
    """Per-atom Lie matrices that are closed under adjoints, and whether orthonormal."""
    sizes = [a.size for a in atoms]
    flat = _flat(atoms)
    if not len(flat):
        return _unflatten(flat, sizes), False
    basis = _bracket_closure(flat, sizes)
    if basis is not None and _adjoint_closed(basis, sizes):
        if len(basis) <= _MANY:
            return _unflatten(basis, sizes), True
        return _unflatten(_few(basis, sizes), sizes), False
    if all(_normal(x) for x in _unflatten(flat, sizes)):
        return _unflatten(flat, sizes), False
    return None


def _flat(atoms):
    """Joint Lie generators of norm one ``[D, sum n^2]``, without zeros."""
    flat = np.concatenate([a.lie.reshape(len(a.lie), a.size**2) for a in atoms], axis=1)
    norms = np.linalg.norm(flat, axis=1)
    return flat[norms > 0] / norms[norms > 0, None]


def _unflatten(flat, sizes):
    ends = np.cumsum([n * n for n in sizes])[:-1]
    return [
        np.ascontiguousarray(x.reshape(-1, n, n))
        for x, n in zip(np.split(flat, ends, axis=1), sizes, strict=True)
    ]


def _orthonormal(flat):
    _, s, vh = np.linalg.svd(flat, full_matrices=False)
    return vh[s > _ZERO * s[0]]


def _bracket_closure(flat, sizes):
    """An orthonormal basis of the Lie algebra that ``flat`` generates."""
    basis = _orthonormal(flat)
    rng = np.random.default_rng(0)
    limit = sum(n * n for n in sizes)
    while len(basis) <= limit:
        mats = _unflatten(basis, sizes)
        c = rng.standard_normal(len(basis))
        brackets = []
        for m in mats:
            a = np.tensordot(c, m, 1)
            brackets.append((a @ m - m @ a).reshape(len(m), m.shape[1] ** 2))
        new = np.concatenate(brackets, axis=1)
        new = new - (new @ basis.conj().T) @ basis
        if np.linalg.norm(new, axis=1).max() <= _ZERO * np.linalg.norm(c):
            return basis
        _, s, vh = np.linalg.svd(new, full_matrices=False)
        if ((s > _ZERO) & (s < _CLEAR)).any():
            return None  # whether these brackets are new or rounding is not clear
        basis = _orthonormal(np.concatenate([basis, vh[s > _ZERO]]))
    return None


def _adjoint_closed(basis, sizes):
    adjoint = [m.conj().transpose(0, 2, 1) for m in _unflatten(basis, sizes)]
    flat = np.concatenate([m.reshape(len(m), m.shape[1] ** 2) for m in adjoint], axis=1)
    outside = flat - (flat @ basis.conj().T) @ basis
    return bool(np.abs(outside).max() <= _ZERO)


def _few(basis, sizes):
    """Random (anti-)Hermitian elements: generically they generate the algebra."""
    rng = np.random.default_rng(1)
    out = []
    for sign in (-1, 1):
        mixed = rng.standard_normal((4, len(basis))) @ basis
        parts = [
            m + sign * m.conj().transpose(0, 2, 1) for m in _unflatten(mixed, sizes)
        ]
        flat = np.concatenate(
            [m.reshape(len(m), m.shape[1] ** 2) for m in parts], axis=1
        )
        norms = np.linalg.norm(flat, axis=1)
        out.append(flat[norms > 1e-6] / norms[norms > 1e-6, None])
    return np.concatenate(out)
