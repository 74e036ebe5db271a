"""Irreps, powers, and the representations of finite groups."""

import jax
import numpy as np
import pytest

from eqnets import groups, reps

KEYS = jax.random.split(jax.random.key(2), 2)


def rank(rep):
    return reps.equivariant_basis(rep).rank


MADE = {
    "Sym3 SU(2)": lambda: reps.symmetric_power(groups.SU(2), 3),
    "Sym2 SU(3)": lambda: reps.symmetric_power(groups.SU(3), 2),
    "Alt2 SO(4)": lambda: reps.alternating_power(groups.SO(4), 2),
    "H2 SO(3)": lambda: reps.harmonic(groups.SO(3), 2),
    "H3 O(3)": lambda: reps.harmonic(groups.O(3), 3),
    "H4 O(2)": lambda: reps.harmonic(groups.O(2), 4),
    "F3 O(2)": lambda: reps.frequency(groups.O(2), 3),
    "F2 D_5": lambda: reps.frequency(groups.dihedral(5), 2),
    "det O(3)": lambda: reps.determinant(groups.O(3)),
    "R D_4": lambda: reps.regular(groups.dihedral(4)),
    "Ind": lambda: reps.induced(
        reps.vector(groups.subgroup(groups.dihedral(6), [[0]])), groups.dihedral(6)
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_homomorphism(name):
    rep = MADE[name]()
    G = rep.groups[0]
    g, h = (G.sample(k) for k in KEYS)
    np.testing.assert_allclose(rep.rho(g) @ rep.rho(h), rep.rho(g @ h), atol=1e-10)


IRREDUCIBLE = ["Sym3 SU(2)", "Sym2 SU(3)", "H2 SO(3)", "H3 O(3)", "H4 O(2)",
               "F3 O(2)", "F2 D_5", "det O(3)"]  # fmt: skip


@pytest.mark.parametrize("name", IRREDUCIBLE)
def test_schurs_lemma(name):
    rep = MADE[name]()
    assert rank(rep >> rep) == 1
    assert rank(rep) == 0


def test_sizes_and_clebsch_gordan():
    S = groups.SO(3)
    H = [reps.harmonic(S, k) for k in range(5)]
    assert [h.size for h in H] == [1, 3, 5, 7, 9]
    for a in range(1, 4):
        for b in range(1, 4):
            for c in range(5):
                assert rank((H[a] * H[b]) >> H[c]) == int(abs(a - b) <= c <= a + b)


def test_frequencies_of_the_circle():
    F = [reps.frequency(groups.SO(2), k) for k in (1, 2, 3)]
    for i, a in enumerate(F):
        for j, b in enumerate(F):
            assert rank(a >> b) == 2 * (i == j)  # complex type
    assert rank((F[0] * F[1]) >> F[2]) == 2


def test_alternating_powers_of_so4_split():
    assert rank(reps.alternating_power(groups.SO(4), 2) ** 2) == 2
    assert rank(reps.alternating_power(groups.O(4), 2) ** 2) == 1


def test_regular_and_quotient_representations():
    G = groups.symmetric(3)
    R = reps.regular(G)
    assert R.size == 6
    assert rank(R >> R) == 6
    # Frobenius: maps from the regular representation are the vectors of the other.
    assert rank(R >> reps.T(G, 2)) == 9
    H = groups.subgroup(G, [[0]])
    Q = reps.quotient(G, H)
    assert rank(Q >> Q) == 2
    assert rank(Q >> reps.vector(G)) == 2  # S_3 / S_2 is the vector itself


def test_frobenius_reciprocity():
    G = groups.dihedral(6)
    H = groups.subgroup(G, [[0, 0]])
    W = reps.frequency(H, 1)
    I = reps.induced(W, G)  # noqa: E741
    assert I.size == 2 * 4
    for k in (1, 2, 3):
        restricted = reps.from_rho(H, reps.frequency(G, k).function)
        assert rank(I >> reps.frequency(G, k)) == rank(W >> restricted)


SPLIT = [
    (reps.T(groups.SO(3), 2), [(1, 1), (1, 3), (1, 5)]),
    (reps.T(groups.SU(3), 2, 1), [(2, 3), (1, 6), (1, 15)]),
    (reps.T(groups.SU(2), 3), [(2, 2), (1, 4)]),
    (reps.regular(groups.dihedral(4)), [(1, 1)] * 4 + [(2, 2)]),
    (reps.vector(groups.cyclic(5)), [(1, 1), (1, 2), (1, 2)]),  # over the reals
    (reps.T(groups.lorentz(), 2), [(1, 1), (1, 6), (1, 9)]),
    (reps.vector(groups.trivial(3)), [(3, 1)]),
]


@pytest.mark.parametrize(("rep", "expected"), SPLIT, ids=str)
def test_constituents_are_irreps_and_fill_the_representation(rep, expected):
    found = reps.constituents(rep)
    assert [(m, irrep.size) for m, irrep in found] == expected
    for m, irrep in found:
        assert rank(irrep >> rep) == m * rank(irrep >> irrep)
        assert rank(irrep >> irrep) in (1, 2, 4)
    for i, (_, a) in enumerate(found):
        assert all(rank(a >> b) == 0 for _, b in found[:i])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: reps.constituents(reps.vector(groups.heisenberg())), "reductively"),
        (lambda: reps.regular(groups.SO(2)), "Lie algebra"),
        (lambda: reps.quotient(groups.cyclic(3), groups.symmetric(3)), "subgroup"),
        (lambda: reps.harmonic(groups.SL(2), 2), "orthogonal"),
        (lambda: reps.frequency(groups.SO(3), 2), "R\\^2"),
        (lambda: reps.alternating_power(groups.SO(2), 3), "at most"),
        (
            lambda: reps.subrep(reps.vector(groups.SO(3)), np.eye(3)[:, :1]),
            "not invariant",
        ),
        (lambda: reps.subrep(reps.vector(groups.SO(3)), np.ones((3, 1))), "orthonor"),
    ],
)
def test_bad_input_is_refused_with_the_mend(make, says):
    with pytest.raises(ValueError, match=says):
        make()
