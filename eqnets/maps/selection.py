"""Sparse regression by greedy forward selection, for many targets at once.

Every row of A has its own support of at most k columns (Lenc and Vedaldi, 2019,
equation 4). All work on Gram matrices of centred, unit-norm columns: with D the
orthogonalised Gram columns of the support, one step costs O(k p) a row and no pass over
the examples. Supports are selected in float32 and coefficients solved in float64.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .linear import LinearMap
from .moments import Moments, gram_matrix, products
from .precision import check_pair, epsilon, solve_precisely

RULES = ("omp", "ols")
#: Rows of A selected at a time: their state stays in the caches.
BLOCK = 16
#: In rounding units of the selection: below, a column is dependent on the support.
DEPENDENT = 64
#: In rounding units of the selection: below, a column explains nothing of the residual.
EXHAUSTED = 32


def forward_select(
    X: ArrayLike,
    Y: ArrayLike,
    k: int,
    *,
    rule: str = "omp",
    mask: ArrayLike | None = None,
) -> LinearMap:
    """Fit a map whose rows have at most k non-zeros, chosen one after another.

    Each target adds the column that its residual prefers, and least squares on the
    chosen columns gives the coefficients. Constant columns, and columns that are linear
    combinations of the chosen ones, are never chosen; a row whose residual is zero in
    the precision of the selection stops early, with fewer than k.

    Args:
        X: ``[n, p]``, an example a row.
        Y: ``[n, q]``.
        k: the most non-zeros in a row of A.
        rule: ``"omp"``, orthogonal matching pursuit: the column with the largest
            correlation |x_j . r| (unit-norm columns); ``"ols"``, orthogonal least
            squares: the column that lowers the error most.
        mask: which columns each row may choose, bool ``[q, p]``, or ``[p]`` for all.

    Raises:
        TypeError: not real numbers, or a mask that is not boolean.
        ValueError: an unknown rule, ``k`` below 1, or shapes that do not fit.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(50, 8))
    >>> f = maps.forward_select(x, x[:, [3]] - 2 * x[:, [5]], 2)
    >>> f.A.round(9) + 0.0
    array([[ 0.,  0.,  0.,  1.,  0., -2.,  0.,  0.]])
    """
    check_pair(X, Y)
    shape = (jnp.shape(Y)[1], jnp.shape(X)[1])
    mask = _checked(k, rule, mask, shape)
    options = (min(k, shape[1]), rule, epsilon(X))
    return solve_precisely(functools.partial(_fit, options), X, Y, mask)


def forward_select_from(
    moments: Moments,
    k: int,
    *,
    rule: str = "omp",
    mask: ArrayLike | None = None,
) -> LinearMap:
    """`forward_select` from accumulated `Moments`, without the examples.

    Args:
        moments: of X ``[n, p]`` and Y ``[n, q]``.
        k: see `forward_select`, as for the rest.
        rule: ``"omp"`` or ``"ols"``.
        mask: bool ``[q, p]``, or ``[p]`` for all rows.

    Raises:
        TypeError: a mask that is not boolean.
        ValueError: an unknown rule, ``k`` below 1, or a mask that does not fit.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> found = maps.forward_select_from(maps.moments(x, 2 * x[:, [1]]), 1)
    >>> (found.A.round(6) + 0.0).tolist()
    [[0.0, 2.0, 0.0]]
    """
    shape = jnp.shape(moments.xy)[::-1]
    mask = _checked(k, rule, mask, shape)
    options = (min(k, shape[1]), rule, epsilon(moments.xx))
    return solve_precisely(functools.partial(_fit_from, options), *moments, mask)


def _checked(
    k: int, rule: str, mask: ArrayLike | None, shape: tuple[int, int]
) -> ArrayLike | None:
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}; got {rule!r}")
    if k < 1:
        raise ValueError(f"k, the most non-zeros in a row, is at least 1; got {k}")
    if mask is None:
        return None
    if jnp.result_type(mask) != jnp.bool_:
        raise TypeError(f"mask must be boolean, got {jnp.result_type(mask)}")
    if jnp.shape(mask) not in (shape, shape[1:]):
        raise ValueError(
            f"mask must have the shape [q, p] = {list(shape)} of A, or [p]; got "
            f"{list(jnp.shape(mask))}"
        )
    return jnp.broadcast_to(mask, shape)


def _constant(n: int | Array, mean: Array, eps: float) -> Array:
    """The norm that rounding alone gives a constant column after centring."""
    return 4 * eps * jnp.sqrt(n) * jnp.abs(mean)


def _single(*arrays: Array) -> list[Array]:
    return [a.astype(jnp.float32) for a in arrays]


@functools.partial(jax.jit, static_argnums=0)
def _fit(
    options: tuple[int, str, float], x: Array, y: Array, mask: Array | None
) -> LinearMap:
    k, rule, eps = options
    mean_x, mean_y = x.mean(0), y.mean(0)
    y = y - mean_y
    norms, scales = (jnp.sqrt(jnp.sum(v**2, 0)) for v in (x - mean_x, y))
    scale = _inverse(norms, _constant(len(x), mean_x, eps))
    unit, target = _single((x - mean_x) * scale, y * _inverse(scales, 0))
    support = _select(gram_matrix(unit), products(target, unit), mask, k, rule)

    def columns(chosen: Int[Array, " k"]) -> Float[Array, "n k"]:
        return (x[:, chosen] - mean_x[chosen]) * scale[chosen]

    values = _refit(columns, y, support) * scale[support]
    return _sparse_map(support, values, mean_x, mean_y)


@functools.partial(jax.jit, static_argnums=0)
def _fit_from(options: tuple[int, str, float], *parts: Array | None) -> LinearMap:
    k, rule, eps = options
    m, mask = Moments(*parts[:6]), parts[6]
    norms = jnp.sqrt(jnp.diagonal(m.xx))
    scale = _inverse(norms, _constant(m.n, m.mean_x, eps))
    gram, cross = m.xx * scale[:, None] * scale, (m.xy * scale[:, None]).T
    correlation = cross * _inverse(jnp.sqrt(m.yy), 0)[:, None]
    support = _select(*_single(gram, correlation), mask, k, rule)
    own = gram[support[:, :, None], support[:, None, :]]
    values = _solve(own, jnp.take_along_axis(cross, support, 1), support)
    return _sparse_map(support, values * scale[support], m.mean_x, m.mean_y)


def _inverse(norms: Array, least: Array | float | int) -> Array:
    """1 / norms, and 0 for those that are not above the least."""
    some = norms > least
    return jnp.where(some, 1 / jnp.where(some, norms, 1), 0)


def _select(
    gram: Float[Array, "p p"],
    correlation: Float[Array, "q p"],
    mask: Bool[Array, "q p"] | None,
    k: int,
    rule: str,
) -> Int[Array, "q k"]:
    """The chosen columns of every row in order, -1 where it chose no more."""
    allowed = jnp.diagonal(gram) > 0.5  # constant columns have a zero Gram row

    def row(pair: tuple[Array, Array | None]) -> Array:
        c, own = pair
        alive = allowed if own is None else allowed & own
        return _select_row(gram, c, alive, k, rule)

    return lax.map(row, (correlation, mask), batch_size=BLOCK)


def _select_row(
    gram: Float[Array, "p p"],
    c: Float[Array, " p"],
    alive: Bool[Array, " p"],
    k: int,
    rule: str,
) -> Int[Array, " k"]:
    """Select for one target.

    ``c`` holds the inner products of the residual with every column, ``nu`` the squared
    norms of the columns without their part in the span of the support, and ``D`` the
    inner products of every column with an orthonormal basis of that span.
    """
    eps = jnp.finfo(c.dtype).eps

    def step(t, state):
        c, nu, alive, D, support = state
        free = alive & (nu > DEPENDENT * eps)
        safe = jnp.where(free, nu, 1)
        gain = c**2 / safe
        i = _first_largest(jnp.where(free, gain if rule == "ols" else jnp.abs(c), -1))
        go = free[i] & (gain[i] > (EXHAUSTED * eps) ** 2)
        d = jnp.sqrt(safe[i])
        new = jnp.where(go, (gram[i] - D[:, i] @ D) / d, 0)
        c = c - new * (c[i] / d)
        return (
            c,
            nu - new**2,
            alive.at[i].set(False),
            D.at[t].set(new),
            support.at[t].set(jnp.where(go, i, -1)),
        )

    D = jnp.zeros((k, c.size), c.dtype)
    start = (c, jnp.ones_like(c), alive, D, jnp.full(k, -1))
    return lax.fori_loop(0, k, step, start)[4]


def _first_largest(v: Float[Array, " p"]) -> Int[Array, ""]:
    """``argmax``, as two plain reductions: those are vectorised on a CPU."""
    index = jnp.arange(v.size, dtype=jnp.int32)
    return jnp.min(jnp.where(v == jnp.max(v), index, v.size - 1))


def _refit(
    columns: Callable[[Array], Array],
    y: Float[Array, "n q"],
    support: Int[Array, "q k"],
) -> Float[Array, "q k"]:
    """Least squares of every target on its own columns, from the examples."""

    def row(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        target, chosen = pair
        own = jnp.where(chosen >= 0, columns(chosen), 0)
        return own.T @ own, own.T @ target

    gram, cross = lax.map(row, (y.T, support), batch_size=BLOCK)
    return _solve(gram, cross, support)


def _solve(
    gram: Float[Array, "q k k"], cross: Float[Array, "q k"], support: Int[Array, "q k"]
) -> Float[Array, "q k"]:
    used = support >= 0
    both = used[:, :, None] & used[:, None, :]
    gram = jnp.where(both, gram, jnp.eye(support.shape[1], dtype=gram.dtype))
    cross = jnp.where(used, cross, 0)
    factor = jax.scipy.linalg.cho_factor(gram)
    solved = jax.scipy.linalg.cho_solve(factor, cross[..., None])
    # Once more on the residual: the normal equations square the condition number.
    rest = cross[..., None] - gram @ solved
    return (solved + jax.scipy.linalg.cho_solve(factor, rest))[..., 0]


def _sparse_map(
    support: Int[Array, "q k"],
    values: Float[Array, "q k"],
    mean_x: Float[Array, " p"],
    mean_y: Float[Array, " q"],
) -> LinearMap:
    """The map with these entries that sends the mean of x to the mean of y."""
    rows = jnp.arange(len(support))[:, None]
    columns = jnp.where(support >= 0, support, mean_x.size)  # beyond A: left out
    A = jnp.zeros((mean_y.size, mean_x.size), values.dtype)
    bias = mean_y - jnp.sum(values * mean_x[support], 1)
    return LinearMap(A.at[rows, columns].set(values, mode="drop"), bias)
