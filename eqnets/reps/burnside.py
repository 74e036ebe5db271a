"""Counting invariants of a small finite group by the average of its character."""

import numpy as np

from eqnets.groups.elements import element_key
from eqnets.reps.problem import Problem

_ORDER = 200  # groups up to this order are listed
_DENSE_SIZE = 64
_EQUAL = 1e-9  # elements closer than this are the same
_BOUNDED = 1e5  # an element of a finite group has no entry larger than this


def invariant_count(problem: Problem) -> int | None:
    """The number of invariants, 1/|G| sum_g prod_i tr rho_i(g), or None.

    None where the group has a Lie algebra, is larger than 200 elements, or has large
    dense matrices. Only products of the generators are used, nothing of the solver.
    """
    if problem.lie_count or not problem.atoms:
        return None
    traces = _monomial_traces(problem) if problem.is_monomial else _traces(problem)
    if traces is None:
        return None
    per_factor = traces[:, problem.places]
    mean = complex(per_factor.prod(axis=1).mean())
    whole = round(mean.real)
    return whole if abs(mean - whole) < 1e-6 else None


def _monomial_traces(problem):
    """``[|G|, atoms]`` traces; an element is a (permutation, weights) of all atoms."""
    starts = np.cumsum([0] + [a.size for a in problem.distinct])
    perms = np.concatenate(
        [a.form[0] + s for a, s in zip(problem.distinct, starts, strict=False)], axis=1
    )
    weights = np.concatenate([a.form[1] for a in problem.distinct], axis=1)
    n = perms.shape[1]
    if n * _ORDER > 400_000:
        return None
    if np.abs(np.abs(weights) - 1).max(initial=0.0) > _EQUAL:
        return None
    plain = bool((weights == 1).all())

    def key(g):
        return g[0].tobytes() + (b"" if plain else element_key(g[1]))

    def times(h, g):
        return h[0][g[0]], h[1][g[0]] * g[1]

    start = (np.arange(n), np.ones(n, weights.dtype))
    found = _listed(start, list(zip(perms, weights, strict=True)), times, key)
    if found is None:
        return None
    fixed = np.stack([np.where(p == np.arange(n), w, 0) for p, w in found])
    return np.add.reduceat(fixed, starts[:-1], axis=1)


def _traces(problem):
    if sum(a.size for a in problem.distinct) > _DENSE_SIZE:
        return None
    found = listed_elements(problem.dense_discrete)
    if found is None:
        return None
    return np.array([[np.trace(m) for m in g] for g in found])


def listed_elements(images: list[np.ndarray]) -> list[tuple[np.ndarray, ...]] | None:
    """The finite group that discrete generators generate, or None where it is large.

    Args:
        images: for each atom the generators ``[M, n, n]``.

    Returns:
        For each element one matrix for each atom.
    """
    joint = list(zip(*images, strict=True))

    def key(g):
        return b"".join(element_key(m) for m in g)

    def times(h, g):
        return tuple(x @ y for x, y in zip(h, g, strict=True))

    return _listed(tuple(np.eye(x.shape[1]) for x in images), joint, times, key)


def _listed(start, generators, times, key):
    """The elements, or None where there are too many or two are nearly the same."""
    seen, found = {key(start): start}, [start]
    for g in found:
        for h in generators:
            new = times(h, g)
            k = key(new)
            if k in seen:
                if _distance(new, seen[k]) > _EQUAL:
                    return None
            elif len(found) >= _ORDER or _distance(new, start) > _BOUNDED:
                return None
            else:
                seen[k] = new
                found.append(new)
    return found


def _distance(g, h):
    return max(float(np.abs(a - b).max()) for a, b in zip(g, h, strict=True))
