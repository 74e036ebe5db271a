"""Checks of what a representation is given: elements and vectors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from eqnets.groups import MatrixGroup

ArrayLike = Any  # numpy or JAX arrays: a result is of the kind of its arguments


def element(g: object, group: MatrixGroup) -> ArrayLike:
    """The matrix by which ``g`` acts for one of the groups."""
    if isinstance(g, Mapping):
        if group not in g:
            raise ValueError(
                f"no element for {group}: pass a mapping with one matrix for each of "
                "the representation's groups"
            )
        g = g[group]
    g = g if hasattr(g, "__array_namespace__") else np.asarray(g)
    if g.ndim != 2 or g.shape != (group.d, group.d):
        raise ValueError(
            f"an element of {group} has shape ({group.d}, {group.d}), got {g.shape}"
        )
    return g


def dense_matrix(apply: Callable, g: object, size: int) -> ArrayLike:
    """The matrix of ``apply(g, .)``, of the kind of g."""
    any_element = next(iter(g.values())) if isinstance(g, Mapping) else g
    if isinstance(any_element, np.ndarray) or not hasattr(
        any_element, "__array_namespace__"
    ):
        return apply(g, np.eye(size)).T
    eye = any_element.__array_namespace__().eye(size, dtype=any_element.dtype)
    return apply(g, eye).T


def vectors(v: ArrayLike, size: int) -> ArrayLike:
    """``v`` as an array ``[..., size]``."""
    v = v if hasattr(v, "__array_namespace__") else np.asarray(v)
    if v.ndim == 0 or v.shape[-1] != size:
        raise ValueError(
            f"v must be vectors [..., {size}] of the representation, got {v.shape}"
        )
    return v
