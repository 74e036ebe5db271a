"""Random intertwiners, by conjugate gradients on small matrices."""

import numpy as np
from jaxtyping import Num

_STEPS = 500
_DEFECT = 1e-10


def random_intertwiner(
    a: Num[np.ndarray, "K n n"],
    b: Num[np.ndarray, "K m m"],
    rng: np.random.Generator,
    *,
    part: int = 0,
) -> Num[np.ndarray, "n m"] | None:
    """A standard normal matrix projected on {X : a_k X = X b_k for all k}.

    The projection x - C^+ C x is found by conjugate gradients on C^H C. Its eigenvalues
    are Casimir values where the a_k are an orthonormal basis of a Lie algebra, so a
    few steps are enough however large the matrices.

    Args:
        a: generators on the left.
        b: generators on the right; the families must be closed under adjoints
            together.
        rng: where the random matrix comes from.
        part: +1 takes the Hermitian part of the random matrix, -1 the anti-Hermitian.

    Returns:
        X, or None where the iteration did not reach ``|a_k X - X b_k| <= 1e-10 |X_0|``.
    """
    n, m = a.shape[1], b.shape[1]
    x = rng.standard_normal((n, m)).astype(np.result_type(a, b))
    if np.iscomplexobj(x):
        x = x + 1j * rng.standard_normal((n, m))
    if part:
        x = (x + part * x.conj().T) / 2
    if not len(a):
        return x
    # Only large generators are scaled: those of a trivial irrep are rounding errors.
    norms = np.maximum(1.0, np.maximum(_norms(a), _norms(b)))[:, None, None]
    a, b = a / norms, b / norms
    ah, bh = a.conj().transpose(0, 2, 1), b.conj().transpose(0, 2, 1)

    def normal(x):
        y = a @ x - x @ b
        return (ah @ y - y @ bh).sum(0)

    start = np.linalg.norm(x)
    for _ in range(3):  # restarts win back the digits lost on the way
        x = _descend(normal, x, 1e-15 * max(len(a), 1) * start)
    defect = np.abs(a @ x - x @ b).max(initial=0.0)
    return x if defect <= _DEFECT * start else None


def _descend(normal, x, tolerance):
    """Conjugate gradients for ``normal(x) = 0``; moves x in the range only."""
    r = -normal(x)
    p, rs = r, np.vdot(r, r).real
    for _ in range(_STEPS):
        if np.sqrt(rs) <= tolerance:
            break
        q = normal(p)
        curvature = np.vdot(p, q).real
        if curvature <= 0:  # rounding only is left
            break
        step = rs / curvature
        x, r = x + step * p, r - step * q
        before, rs = rs, np.vdot(r, r).real
        p = r + (rs / before) * p
    return x


def _norms(g):
    return np.sqrt((np.abs(g) ** 2).sum((1, 2)) / max(g.shape[1], 1))
