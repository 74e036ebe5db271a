"""The staged solver: which algorithm, the caches, and the parts put together."""

import copy

import numpy as np

from eqnets.reps.base import Rep
from eqnets.reps.basis import Basis, LabelBasis
from eqnets.reps.blocks import blocks
from eqnets.reps.cache import MemoryCache, cache_folder, load, nbytes, store
from eqnets.reps.certificate import certify, residual
from eqnets.reps.errors import BasisError
from eqnets.reps.factored import DirectSumBasis, KroneckerBasis
from eqnets.reps.nullspace import solve_nullspace
from eqnets.reps.orbits import solve_orbits
from eqnets.reps.problem import Problem
from eqnets.reps.schur import solve_schur

_SMALL = 300  # up to this size the generic stage is as fast as any
_memory = MemoryCache()


def clear_cache() -> None:
    """Forget all bases kept in memory.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> reps.equivariant_basis(V) is reps.equivariant_basis(V)  # solved once
    True
    >>> before = reps.equivariant_basis(V)
    >>> reps.clear_cache()
    >>> reps.equivariant_basis(V) is before
    False
    """
    _memory.clear()


def equivariant_basis(
    rep: Rep, *, cache: object = None, max_bytes: int = 2 * 2**30
) -> Basis:
    """An orthonormal basis of the invariants of a representation.

    Finds all v with rho(h) v = v and drho(A) v = 0 for all generators (Finzi, Welling &
    Wilson, 2021, theorem 1). Columns for ``V >> W`` are equivariant maps:
    ``basis.dense()[:, j].reshape(W.size, V.size)``.

    The algorithm is chosen by what the generators are (`Basis.method` says which and
    why): orbits where they permute coordinates; a sparse null space for small problems
    and for groups of which nothing is known; the Schur route for large ones that are
    closed under adjoints. The result is certified before it is returned.

    Args:
        rep: a representation.
        cache: a folder for solved bases; None takes the environment variable
            EQNETS_CACHE, and without it nothing is written to disk.
        max_bytes: memory for the typed basis and the solver's matrices.

    Returns:
        A typed basis with ``rank``, ``residual``, ``method``, ``dense()`` and
        ``project(v)``.

    Raises:
        TypeError: ``rep`` is no representation, or ``cache`` no path.
        BasisError: over budget, no clear spectral gap, or not certified; a partial
            basis is never returned.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.cyclic(4))
    >>> basis = reps.equivariant_basis(V >> V)  # circulant matrices
    >>> basis.rank, basis.method.split(":")[0]
    (4, 'orbits')
    """
    if not isinstance(rep, Rep):
        raise TypeError(
            f"rep must be a representation such as reps.vector(G), got {rep!r}"
        )
    folder = cache_folder(cache)
    _check_size(rep, max_bytes)
    parts = []
    for block in blocks(rep):
        basis = _tensor_basis(block.atoms, folder, max_bytes)
        if block.positions is None:
            return _as_kind(basis, rep)
        parts.append((basis, block.positions))
    total = DirectSumBasis(rep.size, parts)
    total.residual = max(b.residual for b, _ in parts)
    total.method = " + ".join(dict.fromkeys(b.method for b, _ in parts))
    return _as_kind(total, rep)


def _check_size(rep, max_bytes):
    if 4 * rep.size > max_bytes * 2**20:
        raise BasisError(
            f"the representation has size {rep.size:.1e}, far over max_bytes="
            f"{max_bytes}: use a smaller tensor power"
        )


def _as_kind(basis, rep):
    """A complex representation has a complex basis, whatever its parts are."""
    if rep.is_complex and basis.dtype.kind != "c":
        basis = copy.copy(basis)  # the original may be in a cache
        basis.dtype = np.dtype(np.complex128)
    return basis


def _tensor_basis(atoms, folder, max_bytes) -> Basis:
    """The basis of one tensor product: a Kronecker product over different groups."""
    if not atoms:
        basis = LabelBasis(np.zeros(1, np.int32), 1, None, np.float64)
        basis.method = "orbits: the scalar is invariant"
        return basis
    per_group: dict = {}
    for atom in atoms:
        per_group.setdefault(atom.group, []).append(atom.images)
    factors = [
        _solved(Problem(tuple(images)), folder, max_bytes)
        for images in per_group.values()
    ]
    if len(factors) == 1:
        return factors[0]
    basis = KroneckerBasis(factors)
    # |(Q1 x Q2) residual| <= the sum: the other factors' columns have norm one.
    basis.residual = sum(f.residual for f in factors)
    basis.method = "Kronecker product over groups of " + ", ".join(
        f.method for f in factors
    )
    return basis


def _solved(problem: Problem, folder, max_bytes: int) -> Basis:
    basis = _memory.get(problem.digest)
    if basis is not None:
        return basis
    basis = None if folder is None else _loaded(problem, folder)
    if basis is None:
        basis = _solve(problem, max_bytes)
        certify(problem, basis)
        if folder is not None:
            store(folder, problem.digest, basis)
    _memory.put(problem.digest, basis, nbytes(basis))
    return basis


def _loaded(problem, folder) -> Basis | None:
    """A basis from disk whose invariance still holds."""
    basis = load(folder, problem.digest)
    if basis is None or basis.size != problem.size:
        return None
    basis.residual = residual(problem, basis)
    return basis if basis.residual <= 1e-9 else None


def _solve(problem: Problem, max_bytes: int) -> Basis:
    if problem.is_monomial:
        _check_labels(problem, max_bytes)
        basis = solve_orbits(problem)
        if basis is not None:
            return basis
    if problem.size > _SMALL:
        basis = solve_schur(problem, max_bytes=max_bytes)
        if basis is not None:
            return basis
    return solve_nullspace(problem, max_bytes=max_bytes)


def _check_labels(problem, max_bytes):
    if problem.lie_count and any(np.abs(a.lie).max() for a in problem.atoms):
        return
    needed = problem.size * 4 * (4 + 4 * problem.discrete_count)
    if needed > max_bytes:
        raise BasisError(
            f"the orbits of {problem.size:.1e} indices need {needed / 2**30:.1f} GiB, "
            f"over max_bytes={max_bytes}: use a smaller tensor power, or raise "
            "max_bytes"
        )
