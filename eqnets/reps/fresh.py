"""Random invariants made without a basis, to test one with."""

from collections.abc import Iterator

import numpy as np

from eqnets.groups.base import expm
from eqnets.reps.family import make_family
from eqnets.reps.images import Images
from eqnets.reps.problem import Problem, kron_apply

_ROUNDS = 12
_STEPS_A_ROUND = 10
_CG_STEPS = 4000
_SMALL = 2**28
_SVD_SIZE = 600


def averaged(
    problem: Problem, v: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Columns v ``[N, c]`` on the way to their group average.

    v <- (v + rho(g) v) / 2 with a fresh random g halves the squared norm of what is
    not invariant, in the mean. Elements are short words and exponentials: a running
    product would drift off the group. Yields nothing where the group cannot be made
    unitary in the given coordinates.
    """
    sampler = _unitary_sampler(problem, rng)
    if sampler is None:
        return
    for _ in range(_ROUNDS):
        for _ in range(_STEPS_A_ROUND):
            mats = sampler()
            v = (v + kron_apply([mats[x] for x in problem.places], v)) / 2
        yield v


def _unitary_sampler(problem, rng):
    """A function that gives random elements, one matrix for each distinct atom."""
    family = make_family(problem.distinct, max_bytes=_SMALL)
    if family is None:
        return None
    discrete = [g[family.lie :].astype(problem.dtype) for g in family.gens]
    for d in discrete:
        gram = d @ d.conj().transpose(0, 2, 1)
        if np.abs(gram - np.eye(d.shape[1])).max(initial=0.0) > 1e-9:
            return None
    lie = _compact_form([g[: family.lie] for g in family.gens]) if family.lie else None
    back = family.back
    away = None if back is None else [np.linalg.inv(b) for b in back]

    def sample():
        mats = [np.eye(a.size, dtype=problem.dtype) for a in problem.distinct]
        if lie is not None:
            z = 2.5 * rng.standard_normal(lie[0].shape[0])
            mats = [expm(np.tensordot(z, x, 1)) for x in lie]
        for i in _word(problem.discrete_count, rng):
            power = int(rng.integers(1, 64))
            mats = [
                np.linalg.matrix_power(d[i], power) @ m
                for d, m in zip(discrete, mats, strict=True)
            ]
        if back is None:
            return mats
        return [b @ m @ a for b, m, a in zip(back, mats, away, strict=True)]

    return sample


def _word(count, rng):
    return rng.integers(0, count, min(3 * count, 12)) if count else []


def _compact_form(lie):
    """Anti-Hermitian elements of the complex algebra, the same for all atoms."""
    anti = [(x - x.conj().transpose(0, 2, 1)) / 2 for x in lie]
    herm = [(x + x.conj().transpose(0, 2, 1)) / 2 for x in lie]
    if max(np.abs(h).max(initial=0.0) for h in herm) < 1e-12:
        return anti
    return [np.concatenate([a, 1j * h]) for a, h in zip(anti, herm, strict=True)]


def projected(problem: Problem, v: np.ndarray) -> tuple[np.ndarray, float]:
    """Columns v projected on the invariants, by an SVD or conjugate gradients on C^H C.

    Returns:
        The columns ``[N, c]`` and the largest scaled constraint violation left.
    """
    adjoint = Problem(tuple(_adjoint(a) for a in problem.atoms))
    scale = _scales(problem)
    v = v.astype(np.result_type(v, problem.dtype))

    def rows(v):
        parts = zip(problem.constraints(v), scale, strict=True)
        return [y / s for y, s in parts]

    def normal(v):
        out = np.zeros_like(v)
        for i, (y, s) in enumerate(zip(rows(v), scale, strict=True)):
            if i < problem.discrete_count:
                out += (adjoint.apply(i, y) - y) / s
            else:
                out += adjoint.apply_lie(i - problem.discrete_count, y) / s
        return out

    if problem.size <= _SVD_SIZE:
        eye = np.eye(problem.size, dtype=problem.dtype)
        _, size, vh = np.linalg.svd(np.concatenate(rows(eye)))
        null = vh[np.flatnonzero(size < 1e-11 * size[0])]
        v = null.conj().T @ (null @ v)
    else:
        for _ in range(2):
            v = _descend(normal, v)
    left = max((float(np.linalg.norm(y, axis=0).max()) for y in rows(v)), default=0.0)
    return v, left


def _descend(normal, v):
    """Conjugate gradients for ``normal(v) = 0``, each column on its own."""
    r = -normal(v)
    p, rs = r, (np.abs(r) ** 2).sum(0)
    for _ in range(_CG_STEPS):
        if np.sqrt(rs.max()) < 1e-15:
            break
        q = normal(p)
        curvature = (p.conj() * q).sum(0).real
        step = np.where(curvature > 0, rs / np.where(curvature > 0, curvature, 1), 0)
        v, r = v + step * p, r - step * q
        before, rs = rs, (np.abs(r) ** 2).sum(0)
        p = r + np.where(before > 0, rs / np.where(before > 0, before, 1), 0) * p
    return v


def _adjoint(atom):
    lie = atom.lie.conj().transpose(0, 2, 1)
    return Images(atom.size, lie, atom.discrete.conj().transpose(0, 2, 1), None)


def _scales(problem):
    out = []
    for i in range(problem.discrete_count):
        norms = [
            np.linalg.norm(problem.dense_discrete[x][i], 2) for x in problem.places
        ]
        out.append(float(np.prod([max(1.0, n) for n in norms])))
    for k in range(problem.lie_count):
        norms = [np.linalg.norm(a.lie[k], 2) for a in problem.atoms]
        out.append(float(sum(norms)) or 1.0)
    return out
