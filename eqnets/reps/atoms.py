"""Representations to start from: vectors, scalars, tensors, a user's own."""

from collections.abc import Callable

import jax
import numpy as np

from eqnets.groups import MatrixGroup
from eqnets.groups.checks import count
from eqnets.reps.base import ArrayLike, Atom, Rep, Scalar, Vector, product_of
from eqnets.reps.images import Images, vector_images


def vector(G: MatrixGroup) -> Rep:
    """The defining representation V: rho(g) = g, drho(a) = a.

    >>> from eqnets import groups
    >>> vector(groups.SO(3)).size
    3
    """
    return Vector(_group(G), vector_images(G), "V")


def scalar(G: MatrixGroup) -> Rep:
    """The one-dimensional representation on which G does nothing."""
    return Scalar((_group(G),))


def T(G: MatrixGroup, p: int, q: int = 0) -> Rep:
    """Tensors with p upper and q lower indices: V^p (x) (V*)^q.

    >>> from eqnets import groups
    >>> T(groups.SL(2), 2, 1)
    V⊗V⊗V*
    """
    p, q = count(p, "p", least=0), count(q, "q", least=0)
    V = vector(G)
    return product_of([V] * p + [V.dual] * q) if p + q else scalar(G)


def multilinear(*reps: Rep) -> Rep:
    """Multilinear maps from all representations but the last to the last.

    ``multilinear(R1, R2, R3)`` is ``R1 >> (R2 >> R3)``: weights W[c, b, a] of bilinear
    maps (x, y) -> sum W[c, b, a] x_a y_b.
    """
    if len(reps) < 2:
        raise ValueError(
            "multilinear needs at least an input and an output representation"
        )
    out = reps[-1]
    for rep in reversed(reps[:-1]):
        out = rep >> out
    return out


class UserRep(Atom):
    """A representation given by a function rho; drho is its derivative at 1."""

    def __init__(self, group: MatrixGroup, function: Callable, symbol: str):
        self.function = function
        self.group = group
        with jax.enable_x64(True):
            disc = [np.asarray(self.matrix(h)) for h in group.discrete]
            lie = [np.asarray(self.derivative(a)) for a in group.lie_algebra]
            one = np.asarray(self.matrix(np.eye(group.d, dtype=group.discrete.dtype)))
            _check_square(one)
            words = [
                (np.asarray(self.matrix(g @ h)), a @ b)
                for g, a in zip(group.discrete, disc, strict=True)
                for h, b in zip(group.discrete, disc, strict=True)
            ]
        _check_user_rep(one, disc, words)
        n = len(one)
        images = Images.of(_stacked(disc, n), _stacked(lie, n))
        super().__init__(group, images, symbol)

    def matrix(self, g: ArrayLike) -> ArrayLike:
        """The user's rho(g)."""
        return self.function(g)

    def derivative(self, a: ArrayLike) -> ArrayLike:
        """d/dt rho(1 + t a) at t = 0, by a Jacobian-vector product."""
        xp = np if isinstance(a, np.ndarray) else jax.numpy
        one = xp.eye(self.group.d, dtype=a.dtype)
        out = jax.jvp(self.function, (one,), (a,))[1]
        return np.asarray(out) if xp is np else out


def from_rho(G: MatrixGroup, rho: Callable, *, name: str = "W") -> Rep:
    """A representation from its ``rho`` alone.

    Args:
        G: the group.
        rho: a JAX-differentiable function ``[d, d] -> [n, n]`` with
            rho(g h) = rho(g) rho(h); where G has no Lie algebra NumPy will do.
        name: what the representation is printed as.

    Raises:
        ValueError: rho(1) is not the identity, or rho is not multiplicative on the
            generators.

    >>> import jax.numpy as jnp
    >>> from eqnets import groups
    >>> det = from_rho(groups.O(2), lambda g: jnp.linalg.det(g)[None, None], name="det")
    >>> det.rho(groups.O(2).discrete[0]).tolist()
    [[-1.0]]
    """
    if not callable(rho):
        raise TypeError(f"rho must be a function of a group element, got {rho!r}")
    return UserRep(_group(G), rho, name)


def _check_user_rep(one, disc, words):
    if not np.allclose(one, np.eye(len(one)), atol=1e-6):
        raise ValueError("rho of the identity must be the identity: rho(1) is not")
    if any(r.shape != one.shape for r in disc):
        raise ValueError("rho(g) must have one shape for all g")
    for whole, product in words:
        if not np.allclose(whole, product, atol=1e-6 * max(1.0, np.abs(whole).max())):
            raise ValueError(
                "rho must be multiplicative, rho(g h) = rho(g) rho(h): it is not on "
                "the discrete generators"
            )


def _check_square(one):
    if one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise ValueError(f"rho(g) must be a square matrix, got shape {one.shape}")


def _stacked(matrices, n):
    if not matrices:
        return np.zeros((0, n, n))
    out = np.stack(matrices)
    return out.astype(np.complex128 if np.iscomplexobj(out) else np.float64)


def _group(G):
    if not isinstance(G, MatrixGroup):
        raise TypeError(
            f"G must be a MatrixGroup, got {G!r}: build one with eqnets.groups, for "
            "example groups.SO(3)"
        )
    return G
