"""Ranks by characters, which know nothing of the solver."""

import math

import numpy as np
import pytest

from eqnets import groups, reps
from eqnets.reps.basis import DenseBasis
from eqnets.reps.blocks import blocks
from eqnets.reps.burnside import invariant_count
from eqnets.reps.problem import Problem
from eqnets.reps.weyl import weyl_count


def problem(rep):
    (block,) = blocks(rep)
    return Problem(tuple(atom.images for atom in block.atoms))


def pairings(k):
    """(k - 1)!!: Brauer's invariants of O(n) and Sp(n) in V^k, n large."""
    return math.prod(range(1, k, 2)) if k % 2 == 0 else 0


STABLE = [
    *[(groups.O(n), k, 0, pairings(k)) for n, k in [(4, 6), (5, 8), (8, 4), (4, 5)]],
    *[(groups.Opq(p, q), 4, 0, 3) for p, q in [(1, 3), (2, 2), (0, 3)]],
    *[(groups.Sp(m), k, 0, pairings(k)) for m, k in [(2, 4), (3, 6), (3, 5)]],
    *[(groups.U(n), k, k, math.factorial(k)) for n, k in [(2, 2), (3, 3), (4, 3)]],
    *[(groups.GL(n), k, k, math.factorial(k)) for n, k in [(2, 2), (3, 3)]],
    *[(groups.SU(n), n, 0, 1) for n in (2, 3, 4)],
    *[(groups.SL(n), 0, n, 1) for n in (2, 3)],
    # One determinant beside the pairings.
    *[(groups.SO(n), n, 0, 1 + pairings(n)) for n in (3, 4, 5, 8)],
    *[(groups.SOpq(1, n - 1), n, 0, 1 + pairings(n)) for n in (2, 4)],
    (groups.scaling(3), 1, 1, 9),
    (groups.scaling(3), 2, 0, 0),
]


@pytest.mark.parametrize(("G", "p", "q", "count"), STABLE, ids=str)
def test_weyls_formula_gives_the_classical_counts(G, p, q, count):
    assert weyl_count(problem(reps.T(G, p, q))) == count


def test_the_identity_component_alone_has_more_invariants():
    """On O(2 n) and wreath products the components have characters of their own."""
    for k in (2, 4, 6):
        whole = weyl_count(problem(reps.T(groups.O(2), k)))
        assert whole == math.comb(k, k // 2) // 2
        assert weyl_count(problem(reps.T(groups.SO(2), k))) == 2 * whole
    for G in (
        groups.wreath_product(groups.SO(3), groups.symmetric(2)),
        groups.wreath_product(groups.SO(2), groups.cyclic(4)),
        groups.wreath_product(groups.SU(3), groups.symmetric(2)),
    ):
        rep = reps.T(G, 2, 2)
        assert weyl_count(problem(rep)) == reps.equivariant_basis(rep).rank


def test_coordinates_do_not_matter():
    rng = np.random.default_rng(0)
    for G in (groups.SO(3), groups.O(4), groups.SU(2)):
        s = rng.standard_normal((G.d, G.d)) + 2 * np.eye(G.d)
        back = np.linalg.inv(s)
        H = groups.MatrixGroup(
            lie_algebra=s @ G.lie_algebra @ back, discrete=s @ G.discrete @ back
        )
        for p, q in [(2, 2), (4, 0), (3, 0)]:
            expected = weyl_count(problem(reps.T(G, p, q)))
            assert weyl_count(problem(reps.T(H, p, q))) == expected


def test_burnsides_count_of_finite_groups():
    for G, k, count in [
        (groups.symmetric(5), 4, 15),
        (groups.cyclic(6), 3, 36),
        (groups.rotations(4), 4, 8),
        (groups.cube_faces(), 3, 12),
    ]:
        assert invariant_count(problem(reps.T(G, k))) == count


def test_nothing_is_counted_where_the_formulas_do_not_hold():
    assert weyl_count(problem(reps.T(groups.heisenberg(), 1, 1))) is None
    turn = groups.MatrixGroup(
        lie_algebra=groups.embed(groups.SO(2), 4, (0, 1)).lie_algebra,
        discrete=groups.embed(groups.rotations(1000), 4, (2, 3)).discrete,
    )
    assert weyl_count(problem(reps.T(turn, 2))) is None
    assert invariant_count(problem(reps.T(groups.symmetric(7), 2))) is None


@pytest.mark.parametrize("G", [groups.SO(3), groups.O(3), groups.SU(2)], ids=str)
def test_a_basis_of_another_rank_is_refused(G, monkeypatch):
    from eqnets.reps import solve

    rep = reps.T(G, 4)
    q = reps.equivariant_basis(rep).dense()[:, :-1]
    monkeypatch.setattr(solve, "_solve", lambda problem, max_bytes: DenseBasis(q))
    reps.clear_cache()
    with pytest.raises(reps.BasisError, match="average of the character"):
        reps.equivariant_basis(rep)
    reps.clear_cache()
