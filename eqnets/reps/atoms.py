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

    >>> from eqnets import groups, reps
    >>> reps.vector(groups.SO(3)).size
    3
    """
    return Vector(as_group(G), vector_images(G), "V")


def scalar(G: MatrixGroup) -> Rep:
    """The one-dimensional representation on which G does nothing.

    >>> from eqnets import groups, reps
    >>> G = groups.SO(3)
    >>> reps.scalar(G).size, reps.scalar(G) * reps.vector(G) == reps.vector(G)
    (1, True)
    """
    return Scalar((as_group(G),))


def T(G: MatrixGroup, p: int, q: int = 0) -> Rep:
    """Tensors with p upper and q lower indices: V^p (x) (V*)^q.

    Args:
        G: the group, on d coordinates.
        p: upper indices, 0 or more.
        q: lower indices, 0 or more; the size is ``d ** (p + q)``.

    Raises:
        TypeError, ValueError: ``p`` or ``q`` is not a non-negative integer.

    >>> from eqnets import groups, reps
    >>> reps.T(groups.SL(2), 2, 1)
    V⊗V⊗V*
    """
    p, q = count(p, "p", least=0), count(q, "q", least=0)
    V = vector(G)
    return product_of([V] * p + [V.dual] * q) if p + q else scalar(G)


def multilinear(*reps: Rep) -> Rep:
    """Multilinear maps from all representations but the last to the last.

    ``multilinear(R1, R2, R3)`` is ``R1 >> (R2 >> R3)``: weights W[c, b, a] of bilinear
    maps (x, y) -> sum W[c, b, a] x_a y_b.

    Its size is the product of their sizes, the last the slowest axis of ``[c, b, a]``.

    Raises:
        ValueError: fewer than two representations.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.SO(3))
    >>> reps.equivariant_basis(reps.multilinear(V, V, V)).rank  # the cross product
    1
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
            one = np.asarray(self.matrix(np.eye(group.d, dtype=group.discrete.dtype)))
            _check_identity(one)
            disc = [np.asarray(self.matrix(h)) for h in group.discrete]
            lie = self._derivatives()
            _check_multiplicative(group, self.matrix, one.shape)
        n = len(one)
        images = Images.of(_stacked(disc, n), _stacked(lie, n))
        super().__init__(group, images, symbol)

    def _derivatives(self):
        try:
            return [np.asarray(self.derivative(a)) for a in self.group.lie_algebra]
        except (
            jax.errors.TracerArrayConversionError,
            jax.errors.ConcretizationTypeError,
        ) as error:
            raise TypeError(
                f"rho cannot be differentiated by JAX, and {self.group} has a Lie "
                "algebra: write it with jax.numpy, without branches on values"
            ) from error

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
        ValueError: rho(1) is not the identity, or rho is not multiplicative on
            generators and random elements.
        TypeError: rho is no function, or G has a Lie algebra and JAX cannot
            differentiate rho.

    >>> import jax.numpy as jnp
    >>> from eqnets import groups, reps
    >>> G = groups.O(2)
    >>> det = reps.from_rho(G, lambda g: jnp.linalg.det(g)[None, None], name="det")
    >>> det.rho(G.discrete[0]).tolist()
    [[-1.0]]
    """
    if not callable(rho):
        raise TypeError(f"rho must be a function of a group element, got {rho!r}")
    return UserRep(as_group(G), rho, name)


def _check_identity(one):
    if one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise ValueError(f"rho(g) must be a square matrix, got shape {one.shape}")
    if not np.allclose(one, np.eye(len(one)), atol=1e-6):
        raise ValueError("rho of the identity must be the identity: rho(1) is not")


def _check_multiplicative(group, rho, shape):
    """rho(g h) = rho(g) rho(h) for generators and random elements."""
    sampled = [group.sample(key) for key in jax.random.split(jax.random.key(0), 3)]
    chosen = [*group.discrete, *sampled]
    for g, h in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        a, b, whole = (np.asarray(rho(x)) for x in (g, h, g @ h))
        if not a.shape == b.shape == whole.shape == shape:
            raise ValueError("rho(g) must have one shape for all g")
        scale = max(1.0, np.abs(a).max() * np.abs(b).max())
        if not np.allclose(a @ b, whole, atol=1e-6 * scale):
            raise ValueError(
                "rho must be multiplicative, rho(g h) = rho(g) rho(h): it is not for "
                f"some elements of {group}"
            )


def _stacked(matrices, n):
    if not matrices:
        return np.zeros((0, n, n))
    out = np.stack(matrices)
    return out.astype(np.complex128 if np.iscomplexobj(out) else np.float64)


def as_group(G: object) -> MatrixGroup:
    """``G``, which must be a group.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(G, MatrixGroup):
        raise TypeError(
            f"G must be a MatrixGroup, got {G!r}: build one with eqnets.groups, for "
            "example groups.SO(3)"
        )
    return G
