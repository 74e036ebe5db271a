"""Regular, quotient and induced representations of finite groups."""

import numpy as np

from eqnets.groups import MatrixGroup, elements
from eqnets.groups.elements import element_key
from eqnets.reps.atoms import as_group
from eqnets.reps.base import ArrayLike, Atom, Rep
from eqnets.reps.images import Images


def regular(G: MatrixGroup, *, limit: int = 5000) -> Rep:
    """Functions on the group: g permutes the elements by left multiplication.

    Elements are numbered as by `groups.elements`. ``R >> R`` are the group
    convolutions (Cohen & Welling 2016).

    Args:
        G: a finite group.
        limit: the largest order to list.

    Raises:
        ValueError: G is not finite, or larger than ``limit``.

    >>> from eqnets import groups, reps
    >>> R = reps.regular(groups.dihedral(4))
    >>> R.size, reps.equivariant_basis(R >> R).rank
    (8, 8)
    """
    trivial = np.eye(as_group(G).d, dtype=G.discrete.dtype)[None]
    return _Induced(G, trivial, lambda h: np.ones((1, 1)), "R", limit)


def quotient(G: MatrixGroup, H: MatrixGroup, *, limit: int = 5000) -> Rep:
    """Functions on the cosets g H: the regular representation for H trivial.

    Args:
        G: a finite group.
        H: a subgroup of it, on the same coordinates.
        limit: the largest order to list.

    Raises:
        ValueError: H is no subgroup of G, or G is not finite or too large.

    >>> from eqnets import groups, reps
    >>> S3, C2 = groups.symmetric(3), groups.subgroup(groups.symmetric(3), [[0]])
    >>> reps.quotient(S3, C2).size
    3
    """
    members = elements(as_group(H), limit=limit)
    return _Induced(G, members, lambda h: np.ones((1, 1)), f"R({G}/{H})", limit)


def induced(rep: Rep, G: MatrixGroup, *, limit: int = 5000) -> Rep:
    """The representation of G induced from one of a subgroup H.

    (Ind rho)(g) maps the block of coset r_i H to that of r_j H, g r_i = r_j h, by
    rho(h).

    Args:
        rep: a representation of one finite group H.
        G: a finite group that contains H, on the same coordinates.
        limit: the largest order to list.

    Raises:
        ValueError: rep has not one group, H is no subgroup of G, or G is not finite or
            too large.

    >>> from eqnets import groups, reps
    >>> D3 = groups.dihedral(3)
    >>> C3 = groups.subgroup(D3, [[0]])
    >>> reps.induced(reps.vector(C3), D3).size
    4
    """
    if len(rep.groups) != 1:
        raise ValueError(
            f"rep must belong to one group, the subgroup; {rep} has {len(rep.groups)}"
        )
    members = elements(rep.groups[0], limit=limit)
    return _Induced(as_group(G), members, rep.rho, f"Ind({rep})", limit)


class _Induced(Atom):
    """Induction by a table of coset representatives."""

    def __init__(self, group, members, rho, symbol, limit):
        self._rho = rho
        every = elements(group, limit=limit)
        known = {element_key(g) for g in every}
        if members.shape[1] != group.d or not all(
            element_key(h) in known for h in members
        ):
            raise ValueError(
                f"the subgroup has elements outside {group}: it must be a subgroup on "
                "the same coordinates, for example by groups.subgroup"
            )
        self._coset, self._cosets = {}, []
        for g in every:
            if element_key(g) not in self._coset:
                for h in members:
                    self._coset[element_key(g @ h)] = len(self._cosets)
                self._cosets.append(g)
        disc = [self._table(g) for g in group.discrete]
        n = len(self._cosets) * len(rho(members[0]))
        images = Images.of(
            np.stack(disc) if disc else np.zeros((0, n, n)), np.zeros((0, n, n))
        )
        super().__init__(group, images, symbol)

    def _table(self, g: np.ndarray) -> np.ndarray:
        blocks = None
        for i, r in enumerate(self._cosets):
            moved = g @ r
            j = self._coset.get(element_key(moved))
            if j is None:
                raise ValueError("g is not an element of the representation's group")
            small = self._rho(np.linalg.inv(self._cosets[j]) @ moved)
            if blocks is None:
                count, n = len(self._cosets), len(small)
                blocks = np.zeros((count, n, count, n), np.asarray(small).dtype)
            blocks[j, :, i, :] = small
        size = blocks.shape[0] * blocks.shape[1]
        return blocks.reshape(size, size)

    def matrix(self, g: ArrayLike) -> ArrayLike:
        """The block permutation of the cosets."""
        return self._table(np.asarray(g))

    def derivative(self, a: ArrayLike) -> ArrayLike:
        """Zero: a finite group has no Lie algebra."""
        return np.zeros((self.size, self.size))
