"""The algebra of representations: atoms, duals, sums, tensor products.

A representation is an immutable expression. Its vector layout is what the expression
says, read from left to right: a sum is a concatenation, a product is a Kronecker
product in row-major order.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from eqnets.groups import MatrixGroup
from eqnets.groups.checks import count
from eqnets.reps.arguments import (
    ArrayLike,
    dense_matrix,
    element,
    vectors,
)
from eqnets.reps.images import Images


class Rep(ABC):
    """A representation of one group, or of a product of groups.

    ``V.dual``, ``V + W`` (direct sum), ``3 * V``, ``V * W`` (tensor product),
    ``V ** 3`` and ``V >> W`` (linear maps V -> W, row-major) build new ones. Equal and
    hashed by content.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.SO(3))
    >>> 2 * V + V * V + reps.scalar(groups.SO(3))
    2V ⊕ V⊗V ⊕ 1
    >>> (V >> V).size
    9
    """

    size: int
    groups: tuple[MatrixGroup, ...]
    is_complex: bool

    @property
    @abstractmethod
    def dual(self) -> "Rep":
        """The dual: rho*(g) = rho(g^-1)^T."""

    @abstractmethod
    def rho_apply(self, g: object, v: ArrayLike) -> ArrayLike:
        """rho(g) v without forming rho(g).

        Args:
            g: a group element ``[d, d]``; for several groups a mapping
                ``{group: element}``.
            v: vectors ``[..., size]``.

        Returns:
            ``[..., size]``.
        """

    @abstractmethod
    def drho_apply(self, a: object, v: ArrayLike) -> ArrayLike:
        """drho(a) v without forming drho(a): shapes as for `rho_apply`."""

    @abstractmethod
    def _key(self) -> tuple: ...

    @abstractmethod
    def _text(self, level: int, several: bool) -> str: ...

    @cached_property
    def digest(self) -> str:
        """A hash of the content: what equality compares."""
        return hashlib.blake2b(repr(self._key()).encode(), digest_size=16).hexdigest()

    def rho(self, g: object) -> ArrayLike:
        """The dense matrix ``[size, size]`` by which g acts.

        Args:
            g: a group element ``[d, d]``; for several groups ``{group: element}``.

        >>> from eqnets import groups, reps
        >>> G = groups.rotations(4)
        >>> reps.T(G, 2).rho(G.discrete[0]).shape
        (4, 4)
        """
        return dense_matrix(self.rho_apply, self._elements(g), self.size)

    def drho(self, a: object) -> ArrayLike:
        """The dense matrix ``[size, size]`` of a Lie-algebra element."""
        return dense_matrix(self.drho_apply, self._elements(a), self.size)

    def _elements(self, g):
        if len(self.groups) > 1 and not isinstance(g, Mapping):
            names = ", ".join(str(group) for group in self.groups)
            raise TypeError(
                f"{self} belongs to several groups: pass a mapping with one matrix for "
                f"each of {names}, such as {{G: g, H: h}}"
            )
        return g

    def __add__(self, other: object) -> "Rep":
        return sum_of([self, _rep(other, "+")])

    def __radd__(self, other: object) -> "Rep":
        # Python's sum() starts from 0.
        return self if isinstance(other, int) and other == 0 else _rep(other, "+")

    def __mul__(self, other: object) -> "Rep":
        if isinstance(other, Rep):
            return product_of([self, other])
        return multiple_of(other, self)

    def __rmul__(self, other: object) -> "Rep":
        return multiple_of(other, self)

    def __pow__(self, k: object) -> "Rep":
        k = count(k, "the exponent of a tensor power", least=0)
        return product_of([self] * k) if k else Scalar(self.groups)

    def __rshift__(self, other: object) -> "Rep":
        return product_of([_rep(other, ">>"), self.dual])

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Rep) else NotImplemented

    def __hash__(self):
        return hash(self.digest)

    def __repr__(self):
        return self._text(0, len(self.groups) > 1)

    __str__ = __repr__


class Scalar(Rep):
    """The trivial one-dimensional representation."""

    def __init__(self, groups: tuple[MatrixGroup, ...] = ()):
        self.size, self.groups = 1, tuple(groups)
        self.is_complex = any(g.is_complex for g in self.groups)

    @property
    def dual(self) -> "Rep":
        """The scalar is its own dual."""
        return self

    def rho_apply(self, g: object, v: ArrayLike) -> ArrayLike:
        """The identity."""
        return vectors(v, 1)

    def drho_apply(self, a: object, v: ArrayLike) -> ArrayLike:
        """Zero."""
        return 0 * vectors(v, 1)

    def _key(self):
        return ("scalar", tuple(g.digest for g in self.groups))

    def _text(self, level, several):
        return "1"


class Atom(Rep):
    """A representation that is not built from others: a vector, a user's, an irrep.

    Subclasses give ``matrix(g)`` and ``derivative(a)``. Two atoms are equal when the
    images of their generators are, whatever they are called.
    """

    def __init__(self, group: MatrixGroup, images: Images, symbol: str):
        self.group, self.images, self.symbol = group, images, symbol
        self.groups, self.size = (group,), images.size
        self.is_complex = images.is_complex or group.is_complex

    @abstractmethod
    def matrix(self, g: ArrayLike) -> ArrayLike:
        """rho(g) ``[size, size]`` of an element of the atom's group."""

    @abstractmethod
    def derivative(self, a: ArrayLike) -> ArrayLike:
        """drho(a) ``[size, size]`` of an element of its Lie algebra."""

    @property
    def dual(self) -> "Rep":
        """The dual atom."""
        return Dual(self)

    def rho_apply(self, g: object, v: ArrayLike) -> ArrayLike:
        """rho(g) v."""
        return vectors(v, self.size) @ self.matrix(element(g, self.group)).T

    def drho_apply(self, a: object, v: ArrayLike) -> ArrayLike:
        """drho(a) v."""
        return vectors(v, self.size) @ self.derivative(element(a, self.group)).T

    def _key(self):
        return ("atom", self.group.digest, self.images.digest)

    def _text(self, level, several):
        return f"{self.symbol}_{{{self.group}}}" if several else self.symbol


class Vector(Atom):
    """The defining representation: rho(g) = g."""

    def matrix(self, g: ArrayLike) -> ArrayLike:
        """The element itself."""
        return g

    def derivative(self, a: ArrayLike) -> ArrayLike:
        """The element itself."""
        return a


class Dual(Atom):
    """The dual of an atom."""

    def __init__(self, of: Atom):
        super().__init__(of.group, of.images.dual, of.symbol + "*")
        self.of = of

    @property
    def dual(self) -> "Rep":
        """The atom again."""
        return self.of

    def matrix(self, g: ArrayLike) -> ArrayLike:
        """rho(g^-1)^T."""
        rho = self.of.matrix(g)
        return rho.__array_namespace__().linalg.inv(rho).T

    def derivative(self, a: ArrayLike) -> ArrayLike:
        """-drho(a)^T."""
        return -self.of.derivative(a).T

    def _text(self, level, several):
        base = self.of._text(2, several)
        return f"{base}*"


class Sum(Rep):
    """A direct sum; ``terms`` are (multiplicity, representation)."""

    def __init__(self, terms: tuple[tuple[int, Rep], ...]):
        self.terms = terms
        self.size = sum(m * t.size for m, t in terms)
        self.groups = _all_groups([t for _, t in terms])
        self.is_complex = any(t.is_complex for _, t in terms)

    @property
    def dual(self) -> "Rep":
        """The sum of the duals."""
        return Sum(tuple((m, t.dual) for m, t in self.terms))

    def rho_apply(self, g: object, v: ArrayLike) -> ArrayLike:
        """Each term on its own coordinates."""
        return self._each("rho_apply", g, v)

    def drho_apply(self, a: object, v: ArrayLike) -> ArrayLike:
        """Each term on its own coordinates."""
        return self._each("drho_apply", a, v)

    def _each(self, method, g, v):
        g, v = self._elements(g), vectors(v, self.size)
        parts, start = [], 0
        for m, term in self.terms:
            x = v[..., start : start + m * term.size]
            y = getattr(term, method)(g, x.reshape(*x.shape[:-1], m, term.size))
            parts.append(y.reshape(x.shape))
            start += m * term.size
        return v.__array_namespace__().concatenate(parts, axis=-1)

    def _key(self):
        return ("sum", *((m, t._key()) for m, t in self.terms))

    def _text(self, level, several):
        text = " ⊕ ".join(_multiple(m, t, several) for m, t in self.terms)
        alone = len(self.terms) == 1 and level < 2
        return text if level == 0 or alone else f"({text})"


def _multiple(m: int, term: Rep, several: bool) -> str:
    """2V, or 2·1 where the two numbers would run together."""
    text = term._text(2 if m > 1 else 1, several)
    if m == 1:
        return text
    return f"{m}·{text}" if text[0].isdigit() else f"{m}{text}"


class Product(Rep):
    """A tensor product, row-major: the last factor varies fastest."""

    def __init__(self, factors: tuple[Rep, ...]):
        self.factors = factors
        self.size = int(np.prod([f.size for f in factors], dtype=object))
        self.groups = _all_groups(list(factors))
        self.is_complex = any(f.is_complex for f in factors)

    @property
    def dual(self) -> "Rep":
        """The product of the duals, in the same order."""
        return Product(tuple(f.dual for f in self.factors))

    def rho_apply(self, g: object, v: ArrayLike) -> ArrayLike:
        """One factor after the other."""
        g, v = self._elements(g), vectors(v, self.size)
        for x, factor in enumerate(self.factors):
            v = self._mode(factor.rho_apply, x, g, v)
        return v

    def drho_apply(self, a: object, v: ArrayLike) -> ArrayLike:
        """The sum over the factors (Leibniz)."""
        a, v = self._elements(a), vectors(v, self.size)
        parts = [self._mode(f.drho_apply, x, a, v) for x, f in enumerate(self.factors)]
        return sum(parts[1:], parts[0])

    def _mode(self, apply, x, g, v):
        sizes = [f.size for f in self.factors]
        left, right = int(np.prod(sizes[:x])), int(np.prod(sizes[x + 1 :]))
        w = v.reshape(*v.shape[:-1], left, sizes[x], right).swapaxes(-1, -2)
        return apply(g, w).swapaxes(-1, -2).reshape(v.shape)

    def _key(self):
        return ("product", *(f._key() for f in self.factors))

    def _text(self, level, several):
        runs: list[list] = []
        for f in self.factors:
            if runs and runs[-1][0] == f:
                runs[-1][1] += 1
            else:
                runs.append([f, 1])
        parts = []
        for f, k in runs:
            text = f._text(2, several)
            parts += [f"{text}^⊗{k}"] if k > 2 else [text] * k
        joined = "⊗".join(parts)
        return f"({joined})" if level >= 2 else joined


def sum_of(reps: list[Rep]) -> Rep:
    """The direct sum, nested sums flattened and equal neighbours counted."""
    terms: list[tuple[int, Rep]] = []
    for rep in reps:
        for m, t in rep.terms if isinstance(rep, Sum) else ((1, rep),):
            if terms and terms[-1][1] == t:
                terms[-1] = (terms[-1][0] + m, t)
            else:
                terms.append((m, t))
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else Sum(tuple(terms))


def product_of(reps: list[Rep]) -> Rep:
    """The tensor product, nested products flattened and scalars left out."""
    factors: list[Rep] = []
    for rep in reps:
        factors += rep.factors if isinstance(rep, Product) else [rep]
    kept = tuple(f for f in factors if not isinstance(f, Scalar))
    if not kept:
        return Scalar(_all_groups(factors))
    return kept[0] if len(kept) == 1 else Product(kept)


def multiple_of(m: object, rep: Rep) -> Rep:
    """The direct sum of m copies."""
    m = count(m, "the multiplicity of a representation")
    if m == 1:
        return rep
    if isinstance(rep, Sum) and len(rep.terms) == 1:
        (k, term) = rep.terms[0]
        return Sum(((m * k, term),))
    return Sum(((m, rep),))


def _all_groups(reps: list[Rep]) -> tuple[MatrixGroup, ...]:
    return tuple(dict.fromkeys(g for rep in reps for g in rep.groups))


def _rep(other, sign):
    if not isinstance(other, Rep):
        raise TypeError(
            f"{sign} joins two representations, got {other!r}: numbers are written "
            "reps.scalar(G), groups reps.vector(G)"
        )
    return other
