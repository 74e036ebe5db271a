"""The solver against a dense null space, for every named group."""

import numpy as np
import pytest

from eqnets import groups, reps
from eqnets.reps import solve

from .reference import dense_null_space, same_space

NAMED = [
    groups.trivial(2),
    groups.SO(2),
    groups.SO(3),
    groups.SO(4),
    groups.O(2),
    groups.O(3),
    groups.SOpq(1, 1),
    groups.SOpq(1, 3),
    groups.Opq(1, 1),
    groups.Opq(2, 1),
    groups.lorentz(),
    groups.SU(2),
    groups.SU(3),
    groups.U(1),
    groups.U(2),
    groups.SL(2),
    groups.SL(3),
    groups.GL(2),
    groups.Sp(1),
    groups.Sp(2),
    groups.rotations(3),
    groups.rotations(4),
    groups.dihedral(3),
    groups.dihedral(6),
    groups.cyclic(5),
    groups.symmetric(4),
    groups.alternating(4),
    groups.signed_permutations(3),
    groups.translations(2, 3),
    groups.p4_images(3),
    groups.p4m_images(3),
    groups.dihedral_images(3),
    groups.cube_faces(),
    groups.rubiks_cube(),
    groups.pauli(2),
    groups.pauli(3),
    groups.heisenberg(),
    groups.scaling(2),
    groups.p4(2),
    groups.p4m(2),
    groups.embed(groups.SO(2), 3, (0, 2)),
    groups.direct_product(groups.rotations(3), groups.cyclic(2)),
    groups.wreath_product(groups.cyclic(2), groups.symmetric(3)),
    groups.semidirect_product(
        groups.translations(2, 2), groups.subgroup(groups.dihedral_images(2), [[0]])
    ),
    groups.wreath_product(groups.SO(2), groups.symmetric(2)),
    groups.block_product(groups.SO(2), groups.cyclic(3)),
]

REPS = {
    "V": lambda G, V: V,
    "V*": lambda G, V: V.dual,
    "V >> V": lambda G, V: V >> V,
    "V* >> V": lambda G, V: V.dual >> V,
    "T(2,1)": lambda G, V: reps.T(G, 2, 1),
    "T(2,2)": lambda G, V: reps.T(G, 2, 2),
    "T4": lambda G, V: reps.T(G, 4),
    "T5": lambda G, V: reps.T(G, 5),
    "2V+1 >> V+V*": lambda G, V: (2 * V + reps.scalar(G)) >> (V + V.dual),
    "V >> (V >> V)": lambda G, V: V >> (V >> V),
}


def check(rep, G):
    basis = reps.equivariant_basis(rep)
    q = basis.dense()
    expected = dense_null_space(rep, G)
    assert q.dtype == (np.complex128 if rep.is_complex else np.float64)
    assert basis.residual <= 1e-9
    np.testing.assert_allclose(q.conj().T @ q, np.eye(basis.rank), atol=1e-10)
    assert same_space(expected.astype(q.dtype), q)


def all_reps(G, least, most):
    made = [make(G, reps.vector(G)) for make in REPS.values()]
    return [rep for rep in made if least <= rep.size <= most]


@pytest.mark.parametrize("G", NAMED, ids=str)
def test_basis_spans_the_null_space(G):
    for rep in all_reps(G, 1, 170):
        check(rep, G)


@pytest.mark.slow
@pytest.mark.parametrize("G", NAMED, ids=str)
def test_larger_basis_spans_the_null_space(G):
    for rep in all_reps(G, 171, 1100):
        check(rep, G)


@pytest.mark.parametrize("G", NAMED, ids=str)
def test_schur_route_spans_the_null_space(G, monkeypatch):
    """The Schur route, where it would not be chosen for the size of the problem."""
    monkeypatch.setattr(solve, "_SMALL", 0)
    reps.clear_cache()
    for rep in all_reps(G, 1, 100):
        check(rep, G)
    reps.clear_cache()


@pytest.mark.parametrize(
    "G", [groups.SO(3), groups.heisenberg(), groups.SU(2), groups.lorentz()], ids=str
)
def test_shift_invert_spans_the_null_space(G, monkeypatch):
    """Shift and invert, where a dense eigenproblem would be small enough."""
    from eqnets.reps import nullspace

    monkeypatch.setattr(nullspace, "_DENSE_COMPONENT", 3)
    monkeypatch.setattr(nullspace, "_FULL", 2.0)
    reps.clear_cache()
    for rep in all_reps(G, 9, 85):
        check(rep, G)
    basis = reps.equivariant_basis(reps.T(G, 2, 1) + reps.T(G, 2, 2))
    assert "shift-invert" in basis.method
    reps.clear_cache()
