"""Coordinates in which conjugated algebras are closed under adjoints."""

import numpy as np
import pytest

from eqnets import groups
from eqnets.reps.balance import balanced


def conjugated(G, seed):
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((G.d, G.d)) + 2 * np.eye(G.d)
    back = np.linalg.inv(s)
    return s @ G.lie_algebra @ back, s @ G.discrete @ back


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "G",
    [groups.SOpq(1, 3), groups.lorentz(), groups.Opq(2, 3), groups.Sp(2),
     groups.SO(5), groups.O(4), groups.SU(3)],
    ids=str,
)  # fmt: skip
def test_adjoints_stay_in_the_span(G, seed):
    lie, disc = conjugated(G, seed)
    # On vectors and covectors at once: one involution has to do for both.
    dual = -lie.transpose(0, 2, 1), np.linalg.inv(disc).transpose(0, 2, 1)
    change, basis, unitary = balanced([lie, dual[0]], [disc, dual[1]])
    flat = np.concatenate([b.reshape(len(b), -1) for b in basis], axis=1)
    np.testing.assert_allclose(flat.conj() @ flat.T, np.eye(len(lie)), atol=1e-10)
    adjoint = [b.conj().transpose(0, 2, 1) for b in basis]
    flipped = np.concatenate([b.reshape(len(b), -1) for b in adjoint], axis=1)
    inside = flipped @ flat.conj().T @ flat
    np.testing.assert_allclose(inside, flipped, atol=1e-9)
    moved = [s @ x @ np.linalg.inv(s) for s, x in zip(change, (lie, dual[0]),
                                                      strict=True)]  # fmt: skip
    moved = np.concatenate([m.reshape(len(m), -1) for m in moved], axis=1)
    np.testing.assert_allclose(moved @ flat.conj().T @ flat, moved, atol=1e-9)
    for u in unitary:
        eye = np.broadcast_to(np.eye(u.shape[1]), u.shape)
        np.testing.assert_allclose(u @ u.conj().transpose(0, 2, 1), eye, atol=1e-12)


def test_an_algebra_that_is_not_reductive_has_no_such_coordinates():
    lie, disc = conjugated(groups.heisenberg(), 0)
    assert balanced([lie], [disc]) is None
