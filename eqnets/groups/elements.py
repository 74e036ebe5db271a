"""Listing the elements of a finite group."""

import numpy as np
from jaxtyping import Num

from eqnets.groups.base import MatrixGroup
from eqnets.groups.monomial import compose, dense_from_monomial


def elements(group: MatrixGroup, *, limit: int = 20_000) -> Num[np.ndarray, "n d d"]:
    """All elements of a finite group, the identity first.

    Breadth-first over words in the generators; elements closer than 1e-6 are one.

    Args:
        group: a group without Lie algebra.
        limit: the largest order to list.

    Raises:
        ValueError: the group has a Lie algebra, or more than ``limit`` elements.

    >>> from eqnets import groups
    >>> [len(groups.elements(G)) for G in (groups.dihedral(5), groups.symmetric(4))]
    [10, 24]
    """
    if group.monomial is not None:
        forms = _monomial_elements(group, limit)
        return dense_from_monomial(
            np.stack([f[0] for f in forms]), np.stack([f[1] for f in forms])
        )
    _refuse_lie(group)
    found = _closure(
        np.eye(group.d, dtype=group.discrete.dtype),
        list(group.discrete),
        np.matmul,
        element_key,
        limit,
    )
    return np.stack(found)


def order(group: MatrixGroup, *, limit: int = 20_000) -> int:
    """The number of elements of a finite group, by listing them.

    Raises:
        ValueError: the group has a Lie algebra, or more than ``limit`` elements.

    >>> from eqnets import groups
    >>> groups.order(groups.pauli(2))
    8
    """
    if group.monomial is not None:
        return len(_monomial_elements(group, limit))
    return len(elements(group, limit=limit))


def element_key(g: np.ndarray) -> bytes:
    """A dictionary key of a matrix, the same for matrices closer than about 1e-6."""
    # The offset keeps entries such as 0 and 0.5 away from the rounding boundary.
    scaled = np.concatenate([g.real.ravel(), g.imag.ravel()]) * 1e5 + 0.2718
    return np.round(scaled).astype(np.int64).tobytes()


def _monomial_elements(group, limit):
    _refuse_lie(group)
    perms, weights = group.monomial

    def key(form):
        return form[0].tobytes() + element_key(form[1])

    start = (np.arange(group.d), np.ones(group.d, weights.dtype))
    return _closure(start, list(zip(perms, weights, strict=True)), compose, key, limit)


def _refuse_lie(group):
    if len(group.lie_algebra):
        raise ValueError(
            f"{group} has a Lie algebra and so infinitely many elements: only finite "
            "groups can be listed"
        )


def _closure(start, generators, multiply, key, limit):
    seen = {key(start)}
    found = [start]
    for g in found:  # grows while it is walked: breadth first
        for h in generators:
            new = multiply(h, g)
            k = key(new)
            if k not in seen:
                seen.add(k)
                found.append(new)
                if len(found) > limit:
                    raise ValueError(
                        f"the group has more than limit={limit} elements (it may be "
                        "infinite): raise the limit, or work with generators only"
                    )
    return found
