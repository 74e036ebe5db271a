"""Known dimensions of spaces of invariants, from representation theory."""

import numpy as np
import pytest

from eqnets import groups, reps


def endo(G):
    return reps.vector(G) >> reps.vector(G)


KNOWN = [
    *[(f"SO(3) T{k}", lambda k=k: reps.T(groups.SO(3), k), r)
      for k, r in enumerate([1, 0, 1, 1, 3, 6, 15, 36, 91, 232, 603])],
    # Bell numbers where n >= k.
    *[(f"S_6 T{k}", lambda k=k: reps.T(groups.symmetric(6), k), r)
      for k, r in enumerate([1, 1, 2, 5, 15, 52])],
    ("S_10 T6", lambda: reps.T(groups.symmetric(10), 6), 203),
    ("S_4 T6", lambda: reps.T(groups.symmetric(4), 6), 187),
    ("O(5) T4", lambda: reps.T(groups.O(5), 4), 3),
    ("O(5) T6", lambda: reps.T(groups.O(5), 6), 15),
    ("SO(5) T5", lambda: reps.T(groups.SO(5), 5), 1),
    ("SO(5) T6", lambda: reps.T(groups.SO(5), 6), 15),
    ("SO(5) T8", lambda: reps.T(groups.SO(5), 8), 105),
    ("SO(4) T8", lambda: reps.T(groups.SO(4), 8), 196),
    ("SO(2) T4", lambda: reps.T(groups.SO(2), 4), 6),
    ("SO(2) T8", lambda: reps.T(groups.SO(2), 8), 70),
    ("O(2) T4", lambda: reps.T(groups.O(2), 4), 3),
    ("O(2) T6", lambda: reps.T(groups.O(2), 6), 10),
    ("SO+(1,3) T4", lambda: reps.T(groups.SOpq(1, 3), 4), 4),
    ("SO+(1,3) T5", lambda: reps.T(groups.SOpq(1, 3), 5), 0),
    ("SO+(1,3) T6", lambda: reps.T(groups.SOpq(1, 3), 6), 25),
    ("SO+(1,3) T8", lambda: reps.T(groups.SOpq(1, 3), 8), 196),
    ("O(1,3) T4", lambda: reps.T(groups.lorentz(), 4), 3),
    ("O(1,3) T(2,2)", lambda: reps.T(groups.lorentz(), 2, 2), 3),
    ("O(1,3) T6", lambda: reps.T(groups.lorentz(), 6), 15),
    ("Sp(2) T4", lambda: reps.T(groups.Sp(2), 4), 3),
    ("Sp(2) T6", lambda: reps.T(groups.Sp(2), 6), 14),
    ("Sp(2) T8", lambda: reps.T(groups.Sp(2), 8), 84),
    ("SU(3) T3", lambda: reps.T(groups.SU(3), 3), 1),
    ("SU(3) T(4,1)", lambda: reps.T(groups.SU(3), 4, 1), 3),
    ("SU(3) T(3,3)", lambda: reps.T(groups.SU(3), 3, 3), 6),
    ("SU(2) T6", lambda: reps.T(groups.SU(2), 6), 5),
    ("GL(3) T(3,3)", lambda: reps.T(groups.GL(3), 3, 3), 6),
    ("GL(3) T3", lambda: reps.T(groups.GL(3), 3), 0),
    ("Z_96", lambda: endo(groups.cyclic(96)), 96),
    ("Z_1024", lambda: endo(groups.cyclic(1024)), 1024),
    ("Z_12 x Z_12", lambda: endo(groups.translations(12, 12)), 144),
    ("p4 on 4 x 4", lambda: endo(groups.p4(4)), 64),
    ("p4m on 3 x 3", lambda: endo(groups.p4m(3)), 72),
    ("Rubik", lambda: endo(groups.rubiks_cube()), 9),
    *[(f"cube T{k}", lambda k=k: reps.T(groups.cube_faces(), k), r)
      for k, r in [(1, 1), (2, 3), (3, 12), (4, 60)]],
    *[(f"Heisenberg T({k},{k})", lambda k=k: reps.T(groups.heisenberg(), k, k), r)
      for k, r in [(1, 2), (2, 9), (3, 51)]],
    ("axis", lambda: endo(groups.embed(groups.SO(2), 3, (0, 1))), 3),
    ("C_4 T4", lambda: reps.T(groups.rotations(4), 4), 8),
    ("Pauli", lambda: endo(groups.pauli(3)), 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "rank"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN]
)
def test_known_rank(make, rank):
    basis = reps.equivariant_basis(make())
    assert basis.rank == rank
    assert basis.residual <= 1e-9
    if basis.size * rank <= 2_000_000:
        q = basis.dense()
        np.testing.assert_allclose(q.conj().T @ q, np.eye(rank), atol=1e-10)
