"""The generic stage: sparse normal equations, split into components, null part of each.

Nothing is assumed about the group. C stacks rho(h_i) - 1 and drho(A_k), each scaled to
norm about one; C^H C is sparse, and coordinates that it does not couple are solved
apart. Each component is a dense Hermitian eigenproblem, or by shift and invert where it
is too large for one.
"""

from functools import reduce

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from eqnets.reps.basis import Basis, DenseBasis, SparseBasis
from eqnets.reps.canonical import canonical_basis
from eqnets.reps.errors import BasisError
from eqnets.reps.problem import Problem
from eqnets.reps.shift_invert import null_by_shift_invert

# Eigenvalues of C^H C are squares of singular values of C.
_NULL = 1e-13  # below: null, relative to the largest eigenvalue
_CLEAR = 1e-8  # above: not null; between the two C itself is asked
_SINGULAR_NULL = 1e-11
_SINGULAR_CLEAR = 1e-8
_DENSE_COMPONENT = 2500
_DENSE_FILL = 0.25
_FULL = 0.05


def solve_nullspace(problem: Problem, *, max_bytes: int) -> Basis:
    """The basis by the null space of the sparse normal equations.

    Raises:
        BasisError: the matrix is over budget, or the spectrum has no clear gap.
    """
    c = stacked_constraints(problem, max_bytes=max_bytes)
    normal = (c.conj().T @ c).tocsr()
    scale = _largest(normal)
    count, labels = connected_components(abs(normal), directed=False)
    rows, blocks, used_lu = [], [], False
    for members in _groups(labels, count):
        part = normal[members][:, members] if len(members) > _DENSE_COMPONENT else None
        # A sparse factorisation of a full matrix is slower than a dense eigenproblem.
        if part is not None and part.nnz < _FULL * len(members) ** 2:
            null = null_by_shift_invert(part, scale)
            used_lu = True
        else:
            null = _component_null(c, normal, members, scale)
        if null.shape[1]:
            rows.append(members)
            blocks.append(null)
    basis = _assemble(rows, blocks, problem.size, problem.dtype)
    how = "shift-invert" if used_lu else "sparse null space"
    basis.method = (
        f"{how}: {count} components of at most {np.bincount(labels).max()} coordinates;"
        " no structure of the group is assumed"
    )
    return basis


def stacked_constraints(problem: Problem, *, max_bytes: int) -> sparse.csr_matrix:
    """C: every generator's constraint, scaled to norm about one, as a sparse matrix.

    Raises:
        BasisError: C would hold more than ``max_bytes``.
    """
    _check_budget(problem, max_bytes)
    eye = sparse.identity(problem.size, dtype=problem.dtype, format="csr")
    out = [sparse.csr_matrix((0, problem.size), dtype=problem.dtype)]
    for i in range(problem.discrete_count):
        mats = [problem.dense_discrete[x][i] for x in problem.places]
        rho = reduce(_kron, [sparse.csr_matrix(m) for m in mats])
        size = np.prod([max(1.0, np.linalg.norm(m, 2)) for m in mats])
        out.append((rho - eye) / size)
    for k in range(problem.lie_count):
        mats = [a.lie[k] for a in problem.atoms]
        size = sum(np.linalg.norm(m, 2) for m in mats)
        if size > 0:
            out.append(_kron_sum([m / size for m in mats], problem.sizes))
    return sparse.vstack(out, format="csr")


def _check_budget(problem, max_bytes):
    entries = 0.0
    for i in range(problem.discrete_count):
        fill = [np.count_nonzero(problem.dense_discrete[x][i]) for x in problem.places]
        entries += float(np.prod(fill, dtype=float)) + problem.size
    for k in range(problem.lie_count):
        fill = [np.count_nonzero(a.lie[k]) / a.size for a in problem.atoms]
        entries += sum(fill) * problem.size
    needed = 3 * entries * (problem.dtype.itemsize + 4)
    if needed > max_bytes:
        raise BasisError(
            f"the constraints on a tensor of size {problem.size} hold about "
            f"{entries:.1e} entries, {needed / 2**30:.1f} GiB with their normal "
            f"equations, over max_bytes={max_bytes}: use a smaller tensor power, give "
            "the group sparse or unitary generators, or raise max_bytes"
        )


def _kron(a, b):
    return sparse.kron(a, b, format="csr")


def _kron_sum(mats, sizes):
    total, left = None, 1
    n = int(np.prod(sizes))
    for m, size in zip(mats, sizes, strict=True):
        right = n // (left * size)
        term = _kron(
            _kron(sparse.identity(left), sparse.csr_matrix(m)), sparse.identity(right)
        )
        total = term if total is None else total + term
        left *= size
    return total.tocsr()


def _largest(normal) -> float:
    """An upper bound of the largest eigenvalue that is tight enough to scale by."""
    if not normal.nnz:
        return 1.0
    return float(abs(normal).sum(axis=1).max()) or 1.0


def _groups(labels, count):
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels, minlength=count))[:-1])


def _component_null(c, normal, members, scale):
    if len(members) == 1:
        value = normal[members[0], members[0]].real / scale
        if value < _NULL or value > _CLEAR:
            return np.ones((1, int(value < _NULL)), normal.dtype)
    block = normal[members][:, members].toarray()
    values, vectors = np.linalg.eigh(block)
    values = values / scale
    unclear = (values > _NULL) & (values < _CLEAR)
    if not unclear.any():
        return canonical_basis(vectors[:, values <= _NULL])
    return _null_by_svd(c[:, members], np.sqrt(scale))


def _null_by_svd(c, scale):
    """The null space from C itself: twice the digits of the normal equations."""
    dense = c.toarray()
    dense = dense[np.abs(dense).max(axis=1) > 0]
    if len(dense) > dense.shape[1]:
        dense = np.linalg.qr(dense, mode="r")
    _, s, vh = np.linalg.svd(dense)
    s = np.concatenate([s, np.zeros(len(vh) - len(s))]) / scale
    unclear = (s > _SINGULAR_NULL) & (s < _SINGULAR_CLEAR)
    if unclear.any():
        raise BasisError(
            "no clear gap between null and non-null singular values of the constraint "
            f"(relative value {s[unclear][0]:.1e}): a generator is accurate to too few "
            "digits or nearly degenerate; give generators in double precision, or "
            "rescale the coordinates of the representation"
        )
    return canonical_basis(vh[s <= _SINGULAR_NULL].conj().T)


def _assemble(rows, blocks, size, dtype):
    rank = sum(b.shape[1] for b in blocks)
    entries = sum(b.size for b in blocks)
    if rank and entries <= _DENSE_FILL * size * rank:
        return _sparse_basis(rows, blocks, (size, rank), dtype)
    q, start = np.zeros((size, rank), dtype), 0
    for at, block in zip(rows, blocks, strict=True):
        q[at, start : start + block.shape[1]] = block
        start += block.shape[1]
    return DenseBasis(q)


def _sparse_basis(rows, blocks, shape, dtype):
    r, c, v, start = [], [], [], 0
    for at, block in zip(rows, blocks, strict=True):
        columns = np.arange(start, start + block.shape[1])
        r.append(np.repeat(at, len(columns)))
        c.append(np.tile(columns, len(at)))
        v.append(block.ravel())
        start += len(columns)
    r, c, v = np.concatenate(r), np.concatenate(c), np.concatenate(v)
    order = np.argsort(r, kind="stable")
    return SparseBasis(
        r[order].astype(np.int32),
        c[order].astype(np.int32),
        v[order].astype(dtype),
        shape,
    )
