"""Named groups: orders, invariants of motion, and the laws of every group."""

import jax
import numpy as np
import pytest

from eqnets import groups
from eqnets.groups.base import expm

KEY = jax.random.key(3)
ORDERS = [
    (groups.trivial(3), 1),
    (groups.rotations(5), 5),
    (groups.dihedral(4), 8),
    (groups.cyclic(7), 7),
    (groups.symmetric(5), 120),
    (groups.alternating(5), 60),
    (groups.signed_permutations(3), 48),
    (groups.translations(3, 4), 12),
    (groups.p4_images(3), 36),
    (groups.p4m_images(3), 72),
    (groups.p4(3), 36),
    (groups.p4m(3), 72),
    (groups.p4m(4), 128),
    (groups.dihedral_images(4), 8),
    (groups.cube_faces(), 24),
    (groups.pauli(3), 27),
    (groups.direct_product(groups.cyclic(3), groups.cyclic(4)), 12),
    (groups.direct_product(groups.rotations(3), groups.dihedral(3)), 18),
    (groups.block_product(groups.cyclic(3), groups.cyclic(4)), 12),
    (groups.wreath_product(groups.cyclic(3), groups.cyclic(2)), 18),
    (groups.subgroup(groups.symmetric(4), [[1]]), 4),
    (groups.embed(groups.symmetric(3), 5, (4, 1, 2)), 6),
]


@pytest.mark.parametrize(("group", "order"), ORDERS, ids=lambda x: str(x))
def test_orders_of_finite_groups(group, order):
    assert groups.order(group) == order
    assert len(np.unique(np.round(groups.elements(group), 6), axis=0)) == order


@pytest.mark.parametrize(
    ("group", "form"),
    [
        (groups.SO(4), np.eye(4)),
        (groups.O(3), np.eye(3)),
        (groups.SOpq(1, 3), np.diag([1.0, -1, -1, -1])),
        (groups.Opq(2, 2), np.diag([1.0, 1, -1, -1])),
        (groups.lorentz(), np.diag([1.0, -1, -1, -1])),
        (groups.Sp(2), np.kron([[0, 1], [-1, 0]], np.eye(2))),
    ],
    ids=str,
)
def test_samples_preserve_the_form(group, form):
    for key in jax.random.split(KEY, 5):
        g = group.sample(key)
        scale = np.abs(g).max() ** 2
        np.testing.assert_allclose(g.T @ form @ g, form, atol=1e-12 * scale)


def test_samples_of_unitary_and_unimodular_groups():
    for key in jax.random.split(KEY, 5):
        u = groups.SU(3).sample(key)
        np.testing.assert_allclose(u.conj().T @ u, np.eye(3), atol=1e-12)
        assert abs(np.linalg.det(u) - 1) < 1e-12
        assert abs(abs(np.linalg.det(groups.U(2).sample(key))) - 1) < 1e-12
        assert abs(np.linalg.det(groups.SL(3).sample(key)) - 1) < 1e-9
    assert {np.sign(np.linalg.det(groups.O(3).sample(jax.random.key(i))))
            for i in range(20)} == {-1.0, 1.0}  # fmt: skip


def test_sampling_is_a_function_of_the_key():
    g = groups.SO(3)
    np.testing.assert_array_equal(g.sample(KEY), g.sample(KEY))
    assert np.abs(g.sample(KEY) - g.sample(jax.random.key(4))).max() > 1e-3
    with pytest.raises(TypeError, match="key"):
        g.sample(0)


def test_dimensions_of_lie_algebras():
    for group, dim in [
        (groups.SO(5), 10),
        (groups.SU(3), 8),
        (groups.U(3), 9),
        (groups.SL(3), 8),
        (groups.GL(3), 9),
        (groups.Sp(2), 10),
        (groups.lorentz(), 6),
        (groups.heisenberg(), 3),
    ]:
        flat = group.lie_algebra.reshape(len(group.lie_algebra), -1)
        flat = np.concatenate([flat.real, flat.imag], axis=1)
        assert np.linalg.matrix_rank(flat) == dim
        assert group.spans_lie_algebra()
    two = groups.subgroup(groups.SO(3), lie=[[1, 0, 0], [0, 1, 0]])
    assert not two.spans_lie_algebra()


def test_equality_is_by_content():
    a = groups.MatrixGroup(discrete=np.eye(3)[[2, 0, 1]][None], name="mine")
    assert a == groups.cyclic(3)
    assert hash(a) == hash(groups.cyclic(3))
    assert str(a) == "mine"
    shift = groups.MatrixGroup(discrete=10 * groups.cyclic(3).discrete)
    assert shift != groups.cyclic(3)
    assert groups.SO(3) != groups.O(3)
    assert groups.cyclic(3).factor("a") != groups.cyclic(3)
    with pytest.raises(ValueError, match="read-only"):
        a.lie_algebra[...] = 1


def test_exponential_against_eigenvalues():
    rng = np.random.default_rng(0)
    for scale in (1e-9, 0.3, 30.0):
        a = rng.standard_normal((5, 5))
        a = scale * (a - a.T)
        w, v = np.linalg.eigh(1j * a)
        exact = (v * np.exp(-1j * w)) @ v.conj().T
        np.testing.assert_allclose(expm(a), exact.real, atol=1e-12)


def test_rubiks_cube_order_by_schreier_sims():
    combinatorics = pytest.importorskip("sympy.combinatorics")
    perms = groups.rubiks_cube().monomial[0]
    group = combinatorics.PermutationGroup(
        [combinatorics.Permutation([int(i) for i in p]) for p in perms]
    )
    assert group.order() == 43252003274489856000


def test_wreath_product_of_a_lie_group():
    g = groups.wreath_product(groups.SO(3), groups.symmetric(2))
    assert (g.d, len(g.lie_algebra)) == (6, 6)
    x = g.sample(KEY)
    np.testing.assert_allclose(x.T @ x, np.eye(6), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: groups.MatrixGroup(), ValueError, "needs generators"),
        (lambda: groups.MatrixGroup(discrete=[]), ValueError, "empty"),
        (lambda: groups.MatrixGroup(discrete=np.ones((1, 2, 3))), ValueError, "square"),
        (lambda: groups.MatrixGroup(discrete=np.eye(2)), ValueError, r"h\[None\]"),
        (
            lambda: groups.MatrixGroup(lie_algebra=np.full((1, 2, 2), np.nan)),
            ValueError,
            "finite",
        ),
        (
            lambda: groups.MatrixGroup(discrete=[[[1, 1], [1, 1]]]),
            ValueError,
            "singular",
        ),
        (
            lambda: groups.MatrixGroup(
                lie_algebra=np.zeros((1, 2, 2)), discrete=np.eye(3)[None]
            ),
            ValueError,
            "same d",
        ),
        (
            lambda: groups.MatrixGroup(discrete=[np.eye(2), np.eye(3)]),
            ValueError,
            "same d",
        ),
        (lambda: groups.MatrixGroup(discrete=[[["a"]]]), TypeError, "numbers"),
        (
            lambda: groups.MatrixGroup(
                lie_algebra=groups.SO(3).lie_algebra[:2], closed=True
            ),
            ValueError,
            "claimed closed",
        ),
        (
            lambda: groups.MatrixGroup.from_permutations([[0, 0]]),
            ValueError,
            "permutations",
        ),
        (lambda: groups.cyclic(0), ValueError, "at least 1"),
        (lambda: groups.embed(groups.SO(2), 3, (0, 0)), ValueError, "coordinates"),
        (lambda: groups.elements(groups.SO(2)), ValueError, "Lie algebra"),
        (lambda: groups.order(groups.rubiks_cube(), limit=99), ValueError, "limit"),
        (
            lambda: groups.semidirect_product(groups.symmetric(3), groups.SO(3)),
            ValueError,
            "permutation groups",
        ),
        (
            lambda: groups.semidirect_product(
                groups.subgroup(groups.symmetric(3), [[0]]), groups.cyclic(3)
            ),
            ValueError,
            "normalise",
        ),
        (lambda: groups.wreath_product(groups.SO(3), groups.SO(2)), ValueError, "H"),
        (lambda: groups.subgroup(groups.SO(3), [[0]]), ValueError, "words"),
    ],
)
def test_bad_input_is_refused_with_the_mend(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_scale_of_samples_is_that_of_the_exponents():
    G = groups.lorentz()
    np.testing.assert_array_equal(G.sample(KEY), G.sample(KEY, scale=np.ones(6)))
    boosts = (G.lie_algebra == G.lie_algebra.swapaxes(1, 2)).all((1, 2))
    for key in jax.random.split(KEY, 5):
        turned = G.sample(key, scale=np.where(boosts, 0.0, 1.0))
        np.testing.assert_allclose(turned.T @ turned, np.eye(4), atol=1e-12)
        assert not np.allclose(turned, np.round(turned))  # rotations remain
        still = G.sample(key, scale=0.0)
        np.testing.assert_array_equal(still, np.diag(np.diag(still)))  # reversals
    far, near = (
        np.mean([G.sample(k, scale=s)[0, 0] ** 2 for k in jax.random.split(KEY, 50)])
        for s in (1.0, 0.1)
    )
    assert 1 < near < 1.1 < far


@pytest.mark.parametrize("scale", [-1.0, np.nan, [1.0, 2.0], np.ones((6, 1))])
def test_a_scale_that_fits_no_lie_algebra_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be"):
        groups.lorentz().sample(KEY, scale=scale)
