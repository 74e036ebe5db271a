"""Orbits: generators that permute coordinates, up to weights and diagonal Lie elements.

An invariant is constant along each orbit of indices, up to the weights collected on the
way; it vanishes on an orbit where two ways to the same index collect different weights.
No linear algebra, no threshold on a spectrum; O(M N) time and memory.
"""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from eqnets.reps.basis import LabelBasis
from eqnets.reps.problem import Problem

_SAME = 1e-8  # weights closer than this (relative) are the same weight
_RANGE = 1e9  # weights along an orbit may grow by this much, no more


def solve_orbits(problem: Problem) -> LabelBasis | None:
    """The basis by orbits, or None where the method does not apply.

    It applies where each discrete generator is a monomial matrix and each Lie
    generator is diagonal.
    """
    if not problem.is_monomial or not _lie_is_diagonal(problem):
        return None
    alive = _weightless(problem)
    if _no_invariants(problem):
        labels = np.full(problem.size, -1, np.int32)
        return _named(LabelBasis(labels, 0, None, problem.dtype), problem)
    maps = [problem.monomial(i) for i in range(problem.discrete_count)]
    labels = _components(problem.size, [perm for perm, _ in maps])
    weights = None
    if any(w is not None for _, w in maps):
        weights, consistent = _potentials(labels, maps)
        if weights is None:
            return None
        alive = consistent if alive is None else alive & consistent
    labels, weights, rank = _compressed(labels, weights, alive)
    return _named(LabelBasis(labels, rank, weights, problem.dtype), problem)


def _named(basis, problem):
    signed = basis.weights is not None
    kind = "weighted permutations" if signed else "permutations"
    basis.method = f"orbits: every discrete generator acts by {kind} of coordinates"
    if problem.lie_count:
        basis.method += ", every Lie generator is diagonal"
    return basis


def _lie_is_diagonal(problem):
    for atom in problem.distinct:
        if len(atom.lie):
            off = atom.lie * (1 - np.eye(atom.size))
            if np.abs(off).max() > 0:
                return False
    return True


def _weightless(problem):
    """Where the diagonal Lie generators act by zero; None where there are none."""
    alive = None
    for k in range(problem.lie_count):
        total, scale = np.zeros(1), 0.0
        for atom in problem.atoms:
            diagonal = np.diagonal(atom.lie[k])
            scale += np.abs(diagonal).max()
            total = (total[:, None] + diagonal).ravel()
        if scale > 0:
            zero = np.abs(total) <= 1e-12 * scale * len(problem.atoms)
            alive = zero if alive is None else alive & zero
    return alive


def _no_invariants(problem):
    """Whether some generator is c times a unitary one with c far from 1.

    Then |v| = |rho(h) v| = c |v|. Left to the orbits, c would be collected again and
    again along an orbit and overflow.
    """
    for i in range(problem.discrete_count):
        log_scale = 0.0
        for atom in problem.atoms:
            size = np.abs(atom.form[1][i])
            if size.max() - size.min() > 1e-12 * size.max():
                log_scale = 0.0
                break
            log_scale += np.log(size[0])
        if abs(log_scale) > 1e-6:
            return True
    return False


def _components(n: int, perms: list[np.ndarray]) -> np.ndarray:
    """Orbit numbers ``[n]``."""
    if not perms:
        return np.arange(n, dtype=np.int32)
    edges = np.stack(perms, axis=1).astype(np.int32, copy=False).ravel()
    starts = np.arange(0, len(edges) + 1, len(perms), dtype=np.int32)
    graph = csr_matrix((np.ones(len(edges)), edges, starts), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _potentials(labels, maps):
    """Invariant entries relative to the first of each orbit, and where they agree.

    All orbits are walked at once, breadth first, along generators and their inverses:
    rho(h) v = v reads v[perm[j]] = weight[j] v[j].
    """
    n = len(labels)
    steps = []
    for perm, weight in maps:
        weight = np.ones(n) if weight is None else _unit(weight)
        back = np.empty_like(perm)
        back[perm] = np.arange(n, dtype=perm.dtype)
        steps += [(perm, weight), (back, 1 / weight[back])]
    value = np.zeros(n, np.result_type(*[w for _, w in steps]))
    frontier = np.unique(labels, return_index=True)[1]
    value[frontier] = 1
    while len(frontier):
        reached = []
        for perm, weight in steps:
            to = perm[frontier]
            new = value[to] == 0
            value[to[new]] = _unit(value[frontier[new]] * weight[frontier[new]])
            reached.append(to[new])
        frontier = np.concatenate(reached)
        if len(frontier) and not _moderate(value[frontier]):
            return None, None
    bad = np.zeros(labels.max() + 1, bool)
    for perm, weight in steps[::2]:
        carried, there = weight * value, value[perm]
        off = np.abs(carried - there) > _SAME * np.maximum(abs(carried), abs(there))
        bad[labels[off]] = True
    return value, ~bad[labels]


def _unit(weights):
    """Weights of modulus one (to rounding) put back on the circle."""
    size = np.abs(weights)
    return np.where(np.abs(size - 1) < 1e-9, weights / size, weights)


def _moderate(values):
    size = np.abs(values)
    return size.max() < _RANGE and size.min() > 1 / _RANGE


def _compressed(labels, weights, alive):
    """Labels renumbered over the orbits that carry an invariant, normalised weights."""
    orbits = labels.max() + 1 if len(labels) else 0
    keep = np.ones(orbits, bool)
    if alive is not None:
        keep[labels[~alive]] = False
    number = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)
    rank = int(keep.sum())
    labels = number[labels]
    if weights is not None:
        on = labels >= 0
        norms = np.bincount(labels[on], np.abs(weights[on]) ** 2, minlength=rank)
        weights = np.where(on, weights / np.sqrt(norms)[labels], 0) if rank else None
    return labels, weights, rank
