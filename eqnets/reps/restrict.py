"""Representations of a group seen as representations of a subgroup."""

import numpy as np

from eqnets.groups import MatrixGroup
from eqnets.reps.atoms import vector
from eqnets.reps.base import (
    ArrayLike,
    Atom,
    Dual,
    Rep,
    Scalar,
    Vector,
    multiple_of,
    product_of,
    sum_of,
)
from eqnets.reps.images import Images


class _Restricted(Atom):
    """An atom of a group, at elements of a subgroup."""

    def __init__(self, of: Atom, group: MatrixGroup):
        self.of, n = of, of.size
        disc = [np.asarray(of.matrix(h)) for h in group.discrete]
        lie = [np.asarray(of.derivative(a)) for a in group.lie_algebra]
        images = Images.of(
            np.stack(disc) if disc else np.zeros((0, n, n)),
            np.stack(lie) if lie else np.zeros((0, n, n)),
        )
        super().__init__(group, images, of.symbol)

    def matrix(self, g: ArrayLike) -> ArrayLike:
        """The matrix of g as an element of the larger group."""
        return self.of.matrix(g)

    def derivative(self, a: ArrayLike) -> ArrayLike:
        """The derivative of a as an element of the larger Lie algebra."""
        return self.of.derivative(a)


def restrict(rep: Rep, subgroup: MatrixGroup) -> Rep:
    """The representation of a subgroup: the same matrices for fewer elements.

    Args:
        rep: a representation of one group G.
        subgroup: a group on the same coordinates whose elements lie in G; that they do
            is up to the caller, for example by `groups.subgroup`.

    Raises:
        ValueError: the coordinates differ, or ``rep`` has several groups.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.SO(3))
    >>> about_z = groups.embed(groups.SO(2), 3, (0, 1))
    >>> [reps.equivariant_basis(W >> W).rank for W in (V, reps.restrict(V, about_z))]
    [1, 3]
    """
    if len(rep.groups) != 1 or rep.groups[0].d != subgroup.d:
        raise ValueError(
            f"rep must belong to one group on {subgroup.d} coordinates, as {subgroup} "
            f"does; {rep} belongs to {', '.join(map(repr, rep.groups))}"
        )
    return _restricted(rep, subgroup)


def _restricted(rep: Rep, group: MatrixGroup) -> Rep:
    if isinstance(rep, Scalar):
        return Scalar((group,))
    if isinstance(rep, Vector):
        return vector(group)
    if isinstance(rep, Dual):
        return _restricted(rep.of, group).dual
    if isinstance(rep, Atom):
        return _Restricted(rep, group)
    if hasattr(rep, "terms"):
        return sum_of([multiple_of(m, _restricted(t, group)) for m, t in rep.terms])
    return product_of([_restricted(f, group) for f in rep.factors])
