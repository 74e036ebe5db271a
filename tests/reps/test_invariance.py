"""What must not change the space: scales, redundancy, words; and what must."""

import jax
import numpy as np
import pytest

from eqnets import groups, reps
from eqnets.groups import MatrixGroup

from .reference import dense_null_space, same_space

KEY = jax.random.key(1)


def basis_of(G, p, q=0):
    return reps.equivariant_basis(reps.T(G, p, q))


LIE = [
    (groups.SO(3), 4, 0),
    (groups.SO(3), 6, 0),
    (groups.SO(4), 5, 0),
    (groups.lorentz(), 4, 0),
    (groups.SOpq(1, 3), 3, 2),
    (groups.SU(3), 2, 2),
    (groups.Sp(2), 4, 0),
    (groups.heisenberg(), 2, 2),
    (groups.GL(2), 2, 2),
]


@pytest.mark.parametrize(("G", "p", "q"), LIE, ids=str)
def test_scale_of_lie_generators_does_not_matter(G, p, q):
    expected = basis_of(G, p, q)
    rng = np.random.default_rng(0)
    mixed = np.exp(rng.uniform(np.log(3e-6), np.log(30), len(G.lie_algebra)))
    for scale in (3e-6, 1e-2, 10.0, 30.0, mixed[:, None, None]):
        H = MatrixGroup(lie_algebra=scale * G.lie_algebra, discrete=G.discrete)
        found = basis_of(H, p, q)
        assert found.residual <= 1e-9
        assert same_space(expected.dense(), found.dense())


@pytest.mark.parametrize(("G", "p", "q"), LIE, ids=str)
def test_redundant_and_mixed_lie_generators_do_not_matter(G, p, q):
    rng = np.random.default_rng(1)
    lie = G.lie_algebra
    mix = np.tensordot(rng.standard_normal((len(lie) + 2, len(lie))), lie, 1)
    brackets = np.stack([a @ b - b @ a for a, b in zip(lie, lie[::-1], strict=True)])
    H = MatrixGroup(
        lie_algebra=np.concatenate([mix, lie, brackets]),
        discrete=np.concatenate([G.discrete, G.discrete]),
    )
    assert same_space(basis_of(G, p, q).dense(), basis_of(H, p, q).dense())


def test_two_generators_of_a_lie_algebra_are_enough():
    two = groups.subgroup(groups.SO(3), lie=[[1, 0, 0], [0, 1, 0]])
    for k in (3, 6):
        a, b = basis_of(groups.SO(3), k), basis_of(two, k)
        assert same_space(a.dense(), b.dense())


FINITE = [
    (groups.cyclic(6), [[0, 0], [0, 0, 0]]),
    (groups.symmetric(4), [[0, 1], [1], [1, 1, 0]]),
    (groups.dihedral(6), [[0, 1], [1], [0, 0]]),
    (groups.signed_permutations(3), [[0, 2], [1, 0], [2]]),
    (groups.pauli(3), [[0, 1], [1], [1, 0]]),
    (groups.p4m(2), [[0, 2], [1, 3], [2], [3]]),
]


@pytest.mark.parametrize(("G", "words"), FINITE, ids=str)
def test_words_that_generate_the_group_give_the_same_space(G, words):
    H = groups.subgroup(G, words)
    assert groups.order(G) == groups.order(H)
    V, W = reps.vector(G), reps.vector(H)
    a, b = reps.equivariant_basis(V >> V), reps.equivariant_basis(W >> W)
    assert same_space(a.dense(), b.dense())


@pytest.mark.parametrize(
    ("G", "p", "q"),
    [
        (groups.SO(3), 4, 0),
        (groups.SO(3), 6, 0),
        (groups.dihedral(5), 9, 0),
        (groups.symmetric(4), 2, 2),
        (groups.cyclic(5), 2, 2),
        (groups.lorentz(), 2, 2),
        (groups.SU(2), 3, 3),
        (groups.SU(3), 3, 3),
        (groups.O(4), 3, 2),
        (groups.Sp(1), 4, 2),
        (groups.lorentz(), 6, 0),
        (groups.lorentz(), 3, 2),
        (groups.SOpq(1, 3), 4, 2),
        (groups.Opq(2, 2), 5, 1),
        (groups.Sp(2), 4, 2),
    ],
    ids=str,
)
def test_conjugation_moves_the_space_by_rho(G, p, q):
    rng = np.random.default_rng(2)
    s = rng.standard_normal((G.d, G.d)) + 2 * np.eye(G.d)
    inverse = np.linalg.inv(s)
    H = MatrixGroup(
        lie_algebra=s @ G.lie_algebra @ inverse, discrete=s @ G.discrete @ inverse
    )
    rep = reps.T(H, p, q)
    found = reps.equivariant_basis(rep)
    moved = rep.rho(s) @ basis_of(G, p, q).dense()
    assert found.residual <= 1e-9
    q_found = found.dense()
    np.testing.assert_allclose(
        q_found.conj().T @ q_found, np.eye(found.rank), atol=1e-10
    )
    assert same_space(np.linalg.qr(moved)[0], q_found, atol=1e-7)


def test_scale_of_a_discrete_generator_matters():
    for G in (groups.cyclic(64), groups.rotations(5), groups.symmetric(3)):
        H = MatrixGroup(discrete=10 * G.discrete)
        assert basis_of(H, 2).rank == 0
        V, W = reps.vector(G), reps.vector(H)
        assert (
            reps.equivariant_basis(W >> W).rank == reps.equivariant_basis(V >> V).rank
        )


def test_factors_act_independently():
    a, b = groups.cyclic(3).factor("a"), groups.cyclic(3).factor("b")
    together = reps.vector(groups.cyclic(3))
    A, B = reps.vector(a), reps.vector(b)
    assert reps.equivariant_basis(together * together).rank == 3
    for rep, rank in [
        (A * B, 1),
        (A + B, 2),
        ((A * B) >> (A * B), 9),
        ((A + B) >> (A + B), 3 + 1 + 1 + 3),
        (B * A * B, 3),
    ]:
        basis = reps.equivariant_basis(rep)
        q = basis.dense()
        assert basis.rank == rank
        np.testing.assert_allclose(q.T @ q, np.eye(rank), atol=1e-12)
        for g in ({a: a.discrete[0], b: np.eye(3)}, {a: np.eye(3), b: b.discrete[0]}):
            np.testing.assert_allclose(rep.rho(g) @ q, q, atol=1e-12)


def test_mixed_continuous_and_finite_factors():
    S, P = groups.SO(3).factor("space"), groups.symmetric(4).factor("points")
    rep = reps.vector(P) * reps.vector(S)
    basis = reps.equivariant_basis(rep >> rep)
    assert basis.rank == 2  # (identity or mean over points) x identity in space
    q = basis.dense().reshape(-1, 12, 12)
    w = basis.dense()[:, 0].reshape(12, 12)
    g = {S: S.sample(KEY), P: P.sample(KEY)}
    rho = rep.rho(g)
    np.testing.assert_allclose(rho @ w, w @ rho, atol=1e-12)
    assert q.shape[0] * q.shape[1] * q.shape[2] == basis.dense().size


def test_invariants_are_fixed_by_random_elements():
    for G in (groups.SO(3), groups.SU(2), groups.lorentz(), groups.rubiks_cube()):
        V = reps.vector(G)
        basis = reps.equivariant_basis(V >> V)
        g = G.sample(KEY)
        rho = (V >> V).rho(g)
        np.testing.assert_allclose(rho @ basis.dense(), basis.dense(), atol=1e-9)


def test_irrational_rotations_and_near_degeneracy():
    """A slow rotation is a rotation, however small its angle."""
    for angle in (1.0, 1e-2, 1e-4):
        c, s = np.cos(angle), np.sin(angle)
        G = MatrixGroup(discrete=[[[c, -s], [s, c]]])
        assert basis_of(G, 4).rank == 6
    c, s = np.cos(1e-7), np.sin(1e-7)
    G = MatrixGroup(discrete=[[[c, -s], [s, c]]])
    assert basis_of(G, 4).rank == 6


def test_badly_conditioned_generators():
    G = MatrixGroup(discrete=[np.diag([100.0, 0.01])])
    assert basis_of(G, 2).rank == 2
    assert basis_of(G, 4).rank == 6
    shear = MatrixGroup(discrete=[[[1.0, 1.0], [0.0, 1.0]]])
    rep = reps.T(shear, 4)
    found = reps.equivariant_basis(rep)
    assert same_space(dense_null_space(rep, shear), found.dense())


@pytest.mark.parametrize(
    ("G", "k"),
    [
        (groups.rotations(5), 5),
        (groups.symmetric(5), 2),
        (groups.SO(3), 4),
        (groups.SO(3), 6),
    ],
    ids=str,
)
def test_noise_of_the_generators_is_refused_and_never_a_lower_rank(G, k):
    rng = np.random.default_rng(0)
    for noise in (1e-7, 1e-9):
        H = MatrixGroup(
            lie_algebra=G.lie_algebra + noise * rng.standard_normal((1, G.d, G.d)),
            discrete=G.discrete + noise * rng.standard_normal((1, G.d, G.d)),
        )
        with pytest.raises(reps.BasisError, match="double precision"):
            basis_of(H, k)
    single = MatrixGroup(
        lie_algebra=G.lie_algebra.astype(np.float32),
        discrete=G.discrete.astype(np.float32),
    )
    if not np.array_equal(single.discrete, G.discrete):
        with pytest.raises(reps.BasisError, match="single precision"):
            basis_of(single, k)
