"""The matrices by which the generators of a group act in one representation."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eqnets.groups.monomial import dense_from_monomial, monomial_form


@dataclass(frozen=True, eq=False)
class Images:
    """rho(h_i) and drho(A_k) for the generators of a group.

    Attributes:
        size: the dimension n of the representation.
        lie: ``[D, n, n]``.
        dense: the discrete images ``[M, n, n]``, or None where `form` holds them.
        form: (permutations ``[M, n]``, weights ``[M, n]``) where every discrete image
            has one entry in each row, else None.
    """

    size: int
    lie: np.ndarray
    dense: np.ndarray | None
    form: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(cls, discrete: np.ndarray, lie: np.ndarray) -> "Images":
        """Images from dense stacks; monomial ones are recognised."""
        form = monomial_form(discrete)
        dense = None if form is not None else discrete
        return cls(discrete.shape[1], lie, dense, form)

    @property
    def discrete(self) -> np.ndarray:
        """The discrete images as dense matrices ``[M, n, n]``."""
        return self.dense if self.form is None else dense_from_monomial(*self.form)

    @property
    def count(self) -> int:
        """The number M of discrete generators."""
        return len(self.dense if self.form is None else self.form[0])

    @property
    def is_complex(self) -> bool:
        """Whether any image is complex."""
        disc = self.dense if self.form is None else self.form[1]
        return np.iscomplexobj(disc) or np.iscomplexobj(self.lie)

    @cached_property
    def digest(self) -> str:
        """A hash of the matrices: a representation is known by its generators."""
        h = hashlib.blake2b(digest_size=16)
        for part in (self.lie, *(self.form or (self.dense,))):
            h.update(repr((part.shape, part.dtype.str)).encode())
            h.update(np.ascontiguousarray(part).tobytes())
        return h.hexdigest()

    @cached_property
    def is_orthogonal(self) -> bool:
        """Whether the action is real orthogonal, so that it is its own dual."""
        if self.is_complex:
            return False
        if len(self.lie) and np.abs(self.lie + self.lie.transpose(0, 2, 1)).max() != 0:
            return False
        if self.form is not None:
            return bool((np.abs(self.form[1]) == 1).all())
        gram = self.dense @ self.dense.transpose(0, 2, 1)
        return bool(np.abs(gram - np.eye(self.size)).max(initial=0.0) < 1e-14)

    @cached_property
    def dual(self) -> "Images":
        """Inverse transposes of the discrete images, minus those of the Lie ones."""
        lie = -self.lie.transpose(0, 2, 1)
        if self.form is not None:
            perms, weights = self.form
            return Images(self.size, lie, None, (perms, 1.0 / weights))
        inverse = np.linalg.inv(self.dense).transpose(0, 2, 1)
        return Images(self.size, lie, inverse, None)


def vector_images(group) -> Images:
    """The images of the defining representation of a group."""
    form = group.monomial
    dense = None if form is not None else group.discrete
    return Images(group.d, group.lie_algebra, dense, form)
