"""Block inverse iteration with a sparse factorisation.

For components too large for a dense eigenproblem, of groups of which nothing is known.
"""

import numpy as np
from scipy.sparse import identity
from scipy.sparse.linalg import splu

from eqnets.reps.canonical import canonical_basis
from eqnets.reps.errors import BasisError

_SHIFT = 1e-9  # relative to the largest eigenvalue
_NULL = 1e-13
_CLEAR = 1e-7
_STEPS = 6


def null_by_shift_invert(normal, scale: float, *, block: int = 32) -> np.ndarray:
    """The null space ``[n, r]`` of a sparse Hermitian positive semidefinite matrix.

    The block grows until it holds vectors that are clearly not null, so the count is
    found and not assumed.

    Raises:
        BasisError: the eigenvalues have no clear gap, or the iteration did not settle.
    """
    n = normal.shape[0]
    shifted = (normal + scale * _SHIFT * identity(n, dtype=normal.dtype)).tocsc()
    lu = splu(shifted, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    rng = np.random.default_rng(0)
    width = min(block, n)
    while True:
        x = rng.standard_normal((n, width)).astype(normal.dtype)
        for _ in range(_STEPS):
            x = np.linalg.qr(lu.solve(x))[0]
        small = x.conj().T @ (normal @ x)
        values, rotation = np.linalg.eigh((small + small.conj().T) / 2)
        values = values / scale
        null = values < _NULL
        if not null.all() or width == n:
            break
        width = min(2 * width, n)
    first = values[~null]
    if len(first) and first[0] < _CLEAR:
        raise BasisError(
            "no clear gap between null and non-null eigenvalues of the constraint "
            f"(relative value {first[0]:.1e}): the generators are nearly degenerate, "
            "or the tensor is too large for this group; use a smaller tensor power or "
            "coordinates in which the generators are better scaled"
        )
    return canonical_basis(x @ rotation[:, null])
