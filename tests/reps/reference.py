"""The slow way: every constraint as a dense matrix, and its SVD."""

import numpy as np


def dense_null_space(rep, group):
    """Orthonormal basis of the common null space of rho(h) - 1 and drho(A)."""
    rows = [np.zeros((1, rep.size))]
    rows += [rep.rho(h) - np.eye(rep.size) for h in group.discrete]
    for a in group.lie_algebra:
        if np.any(a):
            rows.append(rep.drho(a / np.linalg.norm(a)))
    _, s, vh = np.linalg.svd(np.concatenate(rows))
    s = np.concatenate([s, np.zeros(rep.size - len(s))])
    cut = 1e-8 * max(1.0, s[0])
    gap = s[(s > 1e-11 * max(1.0, s[0])) & (s < 1e-6 * max(1.0, s[0]))]
    assert not len(gap), f"the reference itself has no clear gap: {gap}"
    return vh[s < cut].conj().T


def same_space(p, q, atol=1e-8):
    """Whether two orthonormal bases span the same space."""
    if p.shape != q.shape:
        return False
    return np.abs(p @ (p.conj().T @ q) - q).max(initial=0.0) < atol
