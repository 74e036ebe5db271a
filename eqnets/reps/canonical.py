"""Bases of subspaces that do not depend on who computed them."""

import numpy as np
from jaxtyping import Num


def canonical_basis(columns: Num[np.ndarray, "n k"]) -> Num[np.ndarray, "n k"]:
    """The orthonormal basis of the span of orthonormal columns that a fixed draw gives.

    Eigenvectors of a multiple eigenvalue, and signs of all of them, are arbitrary:
    another linear algebra library, or another processor, returns others. Fixed random
    vectors projected on the span and orthonormalised in order are the same everywhere,
    to rounding, so that parameters which count copies of an irrep mean the same, too.
    """
    n, k = columns.shape
    probe = np.random.default_rng([n, k]).standard_normal((n, k))
    q, r = np.linalg.qr(columns @ (columns.conj().T @ probe))
    d = np.diag(r)
    return q * (d / np.abs(d))
