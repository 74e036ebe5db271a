"""Maps that only rotate or only permute: Procrustes and linear assignment."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .linear import LinearMap, with_bias
from .moments import Moments, moments
from .precision import solve_precisely


def procrustes(X: ArrayLike, Y: ArrayLike) -> LinearMap:
    """The orthogonal map nearest to Y: the minimiser of |Y - X A^T - b|_F, A^T A = I.

    A = U V^T for the singular vectors of the cross-covariance Y^T X (Schönemann, 1966).
    For q != p, A has orthonormal rows or columns, whichever are fewer.

    Args:
        X: ``[n, p]``, an example a row.
        Y: ``[n, q]``.

    Raises:
        TypeError: not real numbers.
        ValueError: not two matrices of the same number of rows.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(20, 2))
    >>> turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> maps.procrustes(x, x @ turn.T).A.round(9) + 0.0
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    return procrustes_from(moments(X, Y))


def procrustes_from(pair: Moments) -> LinearMap:
    """`procrustes` from accumulated `Moments`.

    Args:
        pair: of X ``[n, p]`` and Y ``[n, q]``.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(20, 2))
    >>> (maps.procrustes_from(maps.moments(x, -x)).A.round(6) + 0.0).tolist()
    [[-1.0, 0.0], [0.0, -1.0]]
    """

    @jax.jit
    def fit(xy: Array, mean_x: Array, mean_y: Array) -> LinearMap:
        u, _, vt = jnp.linalg.svd(xy.T, full_matrices=False)
        return with_bias(u @ vt, mean_x, mean_y)

    return solve_precisely(fit, pair.xy, pair.mean_x, pair.mean_y)


def match_permutation(
    X: ArrayLike, Y: ArrayLike, *, rescale: bool = False
) -> LinearMap:
    """The permutation of the columns of X that is nearest to Y, by linear assignment.

    Minimises |Y - X A^T - b|_F over permutation matrices A. With ``rescale`` columns
    are matched by their correlation, and each has its own least-squares factor.

    Args:
        X: ``[n, p]``, an example a row.
        Y: ``[n, p]``.
        rescale: permutation matrices times a diagonal instead.

    Raises:
        TypeError: not real numbers, or called under a JAX transformation, where an
            assignment cannot be solved.
        ValueError: not two matrices of the same shape.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> maps.match_permutation(x, x[:, [2, 0, 1]]).A
    array([[0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """
    if jnp.shape(X) != jnp.shape(Y):
        raise ValueError(
            "a permutation needs X and Y of one shape [n, p]; got "
            f"{jnp.shape(X)} and {jnp.shape(Y)}"
        )
    return match_permutation_from(moments(X, Y), rescale=rescale)


def match_permutation_from(pair: Moments, *, rescale: bool = False) -> LinearMap:
    """`match_permutation` from accumulated `Moments`.

    Args:
        pair: of X ``[n, p]`` and Y ``[n, p]``.
        rescale: see `match_permutation`.

    Raises:
        TypeError: called under a JAX transformation.
        ValueError: X and Y differ in their number of columns.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(20, 2))
    >>> maps.match_permutation_from(maps.moments(x, x[:, ::-1])).A.tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    from scipy.optimize import linear_sum_assignment

    if isinstance(pair.xy, jax.core.Tracer):
        raise TypeError(
            "an assignment cannot be solved under a JAX transformation: call "
            "match_permutation outside of jit, vmap and grad"
        )
    size = np.diagonal(pair.xx)
    score = np.asarray(pair.xy).T
    if rescale:
        norms = np.sqrt(np.outer(pair.yy, size))
        score = np.divide(score, norms, out=np.zeros_like(score), where=norms > 0)
    rows, columns = linear_sum_assignment(score, maximize=True)
    A = np.zeros_like(score)
    A[rows, columns] = 1.0
    if rescale:
        cross, own = np.asarray(pair.xy)[columns, rows], size[columns]
        factors = np.divide(cross, own, out=np.zeros_like(cross), where=own > 0)
        A[rows, columns] = factors
    return solve_precisely(functools.partial(with_bias), A, pair.mean_x, pair.mean_y)
