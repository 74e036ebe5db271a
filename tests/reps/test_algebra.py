"""The algebra of representations: laws, layout, printing, a user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import groups, reps

KEYS = jax.random.split(jax.random.key(5), 2)
G = groups.lorentz()
V = reps.vector(G)
EXAMPLES = [
    V,
    V.dual,
    reps.scalar(G),
    V + V.dual,
    3 * V + reps.scalar(G),
    V * V.dual,
    V**3,
    V >> V,
    (2 * V + V * V) >> (V + reps.scalar(G)),
    2 * (V + V.dual) * V,
    V >> (V >> V),
]


@pytest.mark.parametrize("rep", EXAMPLES, ids=str)
def test_rho_is_a_homomorphism_and_drho_its_derivative(rep):
    g, h = (G.sample(k) for k in KEYS)
    gh = rep.rho(g @ h)
    np.testing.assert_allclose(
        rep.rho(g) @ rep.rho(h), gh, atol=1e-10 * np.abs(gh).max()
    )
    a = G.lie_algebra[0] - 0.3 * G.lie_algebra[3]
    step = 1e-5
    from eqnets.groups.base import expm

    slope = (rep.rho(expm(step * a)) - rep.rho(expm(-step * a))) / (2 * step)
    np.testing.assert_allclose(rep.drho(a), slope, atol=1e-8)
    v = np.random.default_rng(0).standard_normal((3, rep.size))
    np.testing.assert_allclose(rep.rho_apply(g, v), v @ rep.rho(g).T, atol=1e-9)
    np.testing.assert_allclose(rep.drho_apply(a, v), v @ rep.drho(a).T, atol=1e-12)


@pytest.mark.parametrize("rep", EXAMPLES, ids=str)
def test_dual_is_the_inverse_transpose(rep):
    g = G.sample(KEYS[0])
    np.testing.assert_allclose(rep.dual.rho(g), np.linalg.inv(rep.rho(g)).T, atol=1e-8)
    assert rep.dual.dual == rep


def test_jit_vmap_and_grad_of_rho():
    g = jnp.asarray(G.sample(KEYS[0]), jnp.float32)
    rep = 2 * V + V * V.dual
    np.testing.assert_allclose(
        jax.jit(rep.rho)(g), rep.rho(np.asarray(g, np.float64)), rtol=1e-4, atol=1e-5
    )
    assert jax.vmap(rep.rho)(jnp.stack([g, g])).shape == (2, rep.size, rep.size)
    assert jax.grad(lambda g: rep.rho(g).sum())(g).shape == (4, 4)


def test_linear_maps_have_row_major_layout():
    S = groups.SO(3)
    U, W = reps.vector(S), reps.T(S, 2)
    g = S.sample(KEYS[0])
    w = np.random.default_rng(0).standard_normal((9, 3))
    moved = (U >> W).rho(g) @ w.ravel()
    np.testing.assert_allclose(
        moved.reshape(9, 3), W.rho(g) @ w @ U.rho(np.linalg.inv(g)), atol=1e-12
    )


def test_equality_hash_and_immutability():
    other = reps.vector(groups.MatrixGroup(
        lie_algebra=G.lie_algebra, discrete=G.discrete, name="mine"))  # fmt: skip
    assert V + V == 2 * V == sum([V, V])
    assert hash(V * other) == hash(V**2)
    assert V * V.dual != V.dual * V
    assert len({V, other, V.dual, V.dual.dual}) == 2
    assert reps.vector(groups.SO(3)) != reps.vector(groups.O(3))
    # Groups that print alike are not the same group.
    a = groups.MatrixGroup(discrete=groups.cyclic(3).discrete, name="G")
    b = groups.MatrixGroup(discrete=groups.symmetric(3).discrete, name="G")
    A, B = reps.vector(a), reps.vector(b)
    assert reps.equivariant_basis(A >> A).rank == 3
    assert reps.equivariant_basis(B >> B).rank == 2


def test_printed_as_written():
    one = reps.scalar(G)
    for rep, text in [
        (V, "V"),
        (2 * V + one, "2V ⊕ 1"),
        (V + 5 * one, "V ⊕ 5·1"),
        (V >> V, "V⊗V*"),
        (V**4, "V^⊗4"),
        (V * (V + one), "V⊗(V ⊕ 1)"),
        (3 * (V + one), "3(V ⊕ 1)"),
        (3 * (V * V.dual), "3(V⊗V*)"),
        (reps.vector(groups.cyclic(2).factor("a")) * V, "V_{Z_2[a]}⊗V_{O(1,3)}"),
    ]:
        assert str(rep) == text


def test_user_representation_by_rho_alone():
    S = groups.O(3)
    X = reps.vector(S)
    det = reps.from_rho(S, lambda g: jnp.linalg.det(g)[None, None], name="det")
    # The cross product is equivariant up to the determinant.
    assert reps.equivariant_basis((X * X) >> (det * X)).rank == 1
    assert reps.equivariant_basis((X * X) >> X).rank == 0
    sym = reps.from_rho(S, lambda g: jnp.kron(g, g), name="K")
    assert sym.images.lie.dtype == np.float64
    a = S.lie_algebra[0]
    np.testing.assert_allclose(sym.drho(a), reps.T(S, 2).drho(a), atol=1e-6)
    assert reps.equivariant_basis(sym).rank == 1
    assert reps.equivariant_basis(sym >> reps.T(S, 2)).rank == 3
    assert det.dual == det or det.dual.size == 1


def test_multilinear_maps():
    S = reps.vector(groups.SO(3))
    rep = reps.multilinear(S, S, S)
    assert rep == S >> (S >> S)
    w = reps.equivariant_basis(rep).dense()[:, 0].reshape(3, 3, 3)
    x, y = np.eye(3)[0], np.eye(3)[1]
    out = np.einsum("cba,a,b->c", w, x, y)
    np.testing.assert_allclose(np.abs(out) * np.sqrt(6), [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: reps.T(G, -1), ValueError, "p must"),
        (lambda: 0 * V, ValueError, "multiplicity"),
        (lambda: V * 1.5, TypeError, "integer"),
        (lambda: V**-1, ValueError, "exponent"),
        (lambda: V.rho(np.eye(3)), ValueError, "shape"),
        (lambda: V.rho_apply(np.eye(4), np.ones(5)), ValueError, "vectors"),
        (lambda: reps.multilinear(V), ValueError, "at least"),
        (lambda: reps.from_rho(G, lambda g: 2 * g), ValueError, "identity"),
        (
            lambda: reps.from_rho(groups.dihedral(3), lambda g: jnp.ones((1, 2))),
            ValueError,
            "square",
        ),
        (
            lambda: reps.from_rho(groups.dihedral(3), lambda g: jnp.abs(g)),
            ValueError,
            "multiplicative",
        ),
        (  # multiplicative on no pair but with the identity
            lambda: reps.from_rho(groups.SO(3), lambda g: jnp.diag(jnp.diag(g))),
            ValueError,
            "multiplicative",
        ),
        (
            lambda: reps.from_rho(groups.SO(3), lambda g: np.kron(g, g)),
            TypeError,
            "jax.numpy",
        ),
        (lambda: V + 1, TypeError, r"reps\.scalar"),
        (lambda: V >> G, TypeError, r"reps\.vector"),
        (
            lambda: (V * reps.vector(G.factor("b"))).rho(np.eye(4)),
            TypeError,
            "mapping",
        ),
    ],
)
def test_bad_input_is_refused_with_the_mend(make, error, says):
    with pytest.raises(error, match=says):
        make()
