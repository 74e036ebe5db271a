"""The public names of groups and reps, each called in the form acceptance uses."""

import jax
import numpy as np
import pytest

from eqnets import groups, reps

KEY = jax.random.key(0)


def test_groups_and_reps():
    g = groups.SO(3)
    v = reps.vector(g)
    assert g.sample(KEY).shape == (3, 3)
    assert (v >> v).size == 9
    cases = [
        (reps.T(g, 2), 1),
        (v >> v, 1),
        (2 * v + reps.T(g, 2) + reps.scalar(g), 2),
        (v * v * v, 1),
        (v**2, 1),
        (v.dual, 0),
    ]
    for rep, rank in cases:
        b = reps.equivariant_basis(rep)
        assert b.rank == rank
        assert b.dense().shape == (rep.size, rank)
        assert b.dense().dtype == np.float64
        assert b.residual < 1e-9
    reps.clear_cache()
    a, b = groups.cyclic(3).factor("a"), groups.cyclic(3).factor("b")
    assert reps.equivariant_basis(reps.vector(a) * reps.vector(b)).rank == 1
    with pytest.raises(ValueError):
        groups.MatrixGroup(discrete=np.ones((1, 2, 3)))
    assert issubclass(reps.BasisError, Exception)


NAMED = [
    ("trivial", 2),
    ("O", 3),
    ("SOpq", 1, 3),
    ("Opq", 1, 3),
    ("lorentz",),
    ("SU", 3),
    ("U", 2),
    ("SL", 2),
    ("GL", 2),
    ("Sp", 2),
    ("rotations", 4),
    ("dihedral", 6),
    ("cyclic", 5),
    ("symmetric", 4),
    ("alternating", 4),
    ("signed_permutations", 3),
    ("translations", 3, 4),
    ("p4_images", 4),
    ("p4m_images", 4),
    ("p4", 3),
    ("p4m", 3),
    ("dihedral_images", 4),
    ("cube_faces",),
    ("rubiks_cube",),
    ("pauli", 3),
    ("heisenberg",),
    ("scaling", 2),
]


@pytest.mark.parametrize("named", NAMED, ids=lambda n: n[0])
def test_named_groups(named):
    name, *sizes = named
    g = getattr(groups, name)(*sizes)
    assert g.sample(KEY).shape == (g.d, g.d)
    assert reps.equivariant_basis(reps.vector(g) >> reps.vector(g)).rank >= 1
