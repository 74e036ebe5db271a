"""Coordinates in which a reductive Lie algebra is closed under adjoints.

A reductive algebra of matrices has a Cartan involution, but only in good coordinates is
it the adjoint. They are where the volume of an orthonormalised span is least: a convex
problem along geodesics (Kempf & Ness 1979; Richardson & Slodowy 1990).
"""

import numpy as np

from eqnets.groups.base import expm

_STEPS = 300
_BALANCED = 1e-13
_INSIDE = 1e-9
_FAR = 1e6  # without a least volume the change of basis grows for ever


def balanced(
    lie: list[np.ndarray], discrete: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]] | None:
    """Changes of basis S, and both kinds of generators in the new coordinates.

    Steepest descent of the volume log det <A_j, A_k> over S A S^-1, whose gradient is
    sum_k [A_k, A_k^H] over an orthonormal basis of the span. A discrete generator is
    replaced by its unitary polar factor where the other factor lies in the connected
    group, so that the group they generate is the same.

    Args:
        lie: for each atom ``[D, n, n]``, a basis of the algebra on it.
        discrete: for each atom ``[M, n, n]``.

    Returns:
        (S ``[n, n]``, ``[D, n, n]``, ``[M, n, n]``) as lists over atoms, or None where
        the descent does not settle, as for algebras that are not reductive.
    """
    change = [np.eye(x.shape[1], dtype=x.dtype) for x in lie]
    basis = _orthonormalised(lie)
    gradient, step = _gradient(basis), 0.5
    for _ in range(_STEPS):
        if _norm(gradient) < _BALANCED:
            break
        moves = [expm(-step * g) for g in gradient]
        trial = [m @ x @ np.linalg.inv(m) for m, x in zip(moves, basis, strict=True)]
        trial = _orthonormalised(trial)
        uphill = _gradient(trial)
        # The volume is convex: a step that is not too long makes its gradient smaller.
        if _norm(uphill) >= _norm(gradient):
            step /= 2
            continue
        basis, gradient, step = trial, uphill, 1.2 * step
        change = [m @ s for m, s in zip(moves, change, strict=True)]
        if max(np.linalg.cond(s) for s in change) > _FAR:
            return None
    else:
        return None
    disc = [s @ h @ np.linalg.inv(s) for s, h in zip(change, discrete, strict=True)]
    unitary = _polar(disc, basis)
    return None if unitary is None else (change, basis, unitary)


def _orthonormalised(lie):
    """An orthonormal basis of the span of joint matrices."""
    flat = np.concatenate([x.reshape(len(x), -1) for x in lie], axis=1)
    ends = np.cumsum([x[0].size for x in lie])[:-1]
    parts = np.split(np.linalg.qr(flat.T)[0].T, ends, axis=1)
    return [p.reshape(x.shape) for p, x in zip(parts, lie, strict=True)]


def _norm(gradient):
    return np.sqrt(sum((np.abs(g) ** 2).sum() for g in gradient))


def _gradient(basis):
    out = []
    for x in basis:
        xh = x.conj().transpose(0, 2, 1)
        out.append((x @ xh - xh @ x).sum(0))
    return out


def _polar(disc, basis):
    """The unitary polar factors, where the positive ones are in exp of the span."""
    out = []
    for joint in zip(*disc, strict=True):
        unitary, logs = [], []
        for h in joint:
            u, s, vh = np.linalg.svd(h)
            unitary.append(u @ vh)
            logs.append((vh.conj().T * np.log(s)) @ vh)
        flat = np.concatenate([x.reshape(len(x), -1) for x in basis], axis=1)
        log = np.concatenate([x.ravel() for x in logs])
        outside = log - flat.T @ (flat.conj() @ log)
        if np.linalg.norm(outside) > _INSIDE * max(1.0, np.linalg.norm(log)):
            return None
        out.append(unitary)
    return [np.stack([u[i] for u in out]) if out else d for i, d in enumerate(disc)]
