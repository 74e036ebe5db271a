"""The certificate: a basis is invariant, and no invariant is missing."""

import numpy as np

from eqnets.reps.basis import Basis, LabelBasis
from eqnets.reps.burnside import invariant_count
from eqnets.reps.errors import BasisError
from eqnets.reps.fresh import averaged, projected
from eqnets.reps.problem import Problem
from eqnets.reps.weyl import weyl_count

_RESIDUAL = 1e-9
_EXACT_ENTRIES = 4_000_000  # N r up to which every column is tested
_AT_ONCE = 100_000  # entries of the columns that are tested together
_VECTORS = 2  # fresh random vectors; each misses a missing dimension with p ~ 1e-3
_VIOLATION = 1e-12  # scaled; below, a vector counts as invariant
_OUTSIDE = 1e-3  # of the typical size of one missing dimension's share


def certify(problem: Problem, basis: Basis) -> None:
    """Set ``basis.residual`` and check that the basis is invariant and complete.

    Invariance: the residual on the generators as they were given, at most 1e-9 (times
    the size of the Lie generators where that is above one).
    Completeness: the rank by characters (Burnside's count where the group is small
    enough to list, Weyl's formula where its Lie algebra is reductive), and random
    vectors made invariant without the basis, which must lie in its span. Orbits are
    complete by construction, so for them only the count is taken.

    Raises:
        BasisError: one of the checks fails.
    """
    basis.residual = residual(problem, basis)
    limit = _RESIDUAL * max(1.0, problem.lie_size)
    if not basis.residual <= limit:
        raise BasisError(
            f"the basis found is not invariant to {limit:.0e} (residual "
            f"{basis.residual:.1e}): the generators fit a group only to about that "
            "accuracy, as single precision does, or are badly scaled; give them in "
            "double precision, and in better scaled coordinates"
        )
    count = weyl_count(problem) if problem.lie_count else invariant_count(problem)
    if count is not None and count != basis.rank:
        raise BasisError(
            f"the basis has rank {basis.rank} but the group average of the character "
            f"is {count}: the generators are not exact enough; give them in double "
            "precision"
        )
    if not isinstance(basis, LabelBasis) and basis.rank < basis.size:
        _check_complete(problem, basis, counted=count is not None)


def residual(problem: Problem, basis: Basis) -> float:
    """The largest constraint violation of a unit invariant.

    Every column is tested where that is cheap. Beyond, random combinations c of
    the columns are: sqrt(r) |C Q c| estimates the norm of all violations together,
    which bounds each column's.
    """
    if basis.rank == 0:
        return 0.0
    if isinstance(basis, LabelBasis) and problem.is_monomial and not problem.lie_count:
        return _label_residual(problem, basis)
    if basis.size * basis.rank <= _EXACT_ENTRIES:
        c, factor = np.eye(basis.rank, dtype=basis.dtype), 1.0
    else:
        rng = np.random.default_rng(11)
        c = rng.standard_normal((_VECTORS, basis.rank)).astype(basis.dtype)
        c /= np.linalg.norm(c, axis=1, keepdims=True)
        factor = np.sqrt(basis.rank)
    worst, width = 0.0, max(1, _AT_ONCE // basis.size)
    for start in range(0, len(c), width):  # a few columns at a time: memory
        columns = basis.expand(c[start : start + width]).T
        for violation in problem.constraints(columns):
            norms = np.sqrt((np.abs(violation) ** 2).sum(axis=0))
            worst = max(worst, float(norms.max()))
    return worst * float(factor)


def _label_residual(problem, basis):
    labels, worst = basis.labels, 0.0
    value = basis.weights
    if value is None and problem.discrete_count == 0:
        return 0.0
    for i in range(problem.discrete_count):
        perm, weight = problem.monomial(i)
        there = labels[perm]
        if value is None and weight is None:
            if not np.array_equal(there, labels):
                return 1.0
            continue
        own = np.ones(len(labels)) if value is None else value
        if value is None:
            own = np.where(labels >= 0, 1 / np.sqrt(basis.counts)[labels], 0)
        moved = own if weight is None else weight * own
        on = labels >= 0
        off = np.abs(moved - np.where(there == labels, own[perm], 0)) ** 2
        per_column = np.bincount(labels[on], off[on], minlength=basis.rank)
        worst = max(worst, float(np.sqrt(per_column.max(initial=0.0))))
    return worst


def _check_complete(problem: Problem, basis: Basis, *, counted: bool) -> None:
    """Whether fresh random invariants lie in the span of the basis.

    Where the rank was ``counted``, vectors that do not settle are no failure.
    """
    rng = np.random.default_rng(23)
    tolerance = _OUTSIDE / np.sqrt(problem.size)

    def outside(v):
        return float(np.linalg.norm(v - basis.project(v.T).T, axis=0).max())

    start = rng.standard_normal((problem.size, _VECTORS))
    start /= np.linalg.norm(start, axis=0)
    for v in averaged(problem, start, rng):
        if outside(v) <= tolerance:
            return
    v, violation = projected(problem, start)
    if outside(v) <= tolerance:
        return
    if violation <= _VIOLATION:
        raise BasisError(
            f"the basis of rank {basis.rank} is incomplete: a random invariant lies "
            "outside its span; the generators are nearly degenerate, give them in "
            "better scaled coordinates"
        )
    if counted:
        return
    raise BasisError(
        "the completeness of the basis could not be checked: neither averaging over "
        "the group nor conjugate gradients settled on a random invariant; give "
        "generators in better scaled coordinates, or use a smaller tensor power"
    )
