"""Regressions beside NumPy and scikit-learn, and on the columns that break them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge, orthogonal_mp

from eqnets import maps

RNG = np.random.default_rng(0)
TALL = RNG.normal(size=(60, 12)) + 3, RNG.normal(size=(60, 5)) - 1
WIDE = RNG.normal(size=(20, 33)) + 3, RNG.normal(size=(20, 5)) - 1


def centred(a):
    return a - a.mean(0)


@pytest.mark.parametrize(("x", "y"), [TALL, WIDE], ids=["tall", "wide"])
class TestDense:
    def test_least_squares_is_the_minimum_norm_solution(self, x, y):
        f = maps.least_squares(x, y)
        reference = np.linalg.lstsq(centred(x), centred(y), rcond=None)[0].T
        np.testing.assert_allclose(f.A, reference, rtol=0, atol=1e-12)
        np.testing.assert_allclose(f(x.mean(0)), y.mean(0), atol=1e-12)

    def test_ridge_path_is_sklearn_at_every_weight(self, x, y):
        path = maps.ridge_path(x, y, [0.0, 1e-3, 0.1, 10.0])
        np.testing.assert_allclose(path[0].A, maps.least_squares(x, y).A, atol=1e-12)
        for lam, f in zip([1e-3, 0.1, 10.0], path[1:], strict=True):
            reference = Ridge(alpha=lam * len(x), solver="svd").fit(x, y)
            np.testing.assert_allclose(f.A, reference.coef_, atol=1e-12)
            np.testing.assert_allclose(f.b, reference.intercept_, atol=1e-11)

    def test_moments_of_batches_give_the_same_maps(self, x, y):
        parts = [(x[i : i + 7], y[i : i + 7]) for i in range(0, len(x), 7)]
        m = maps.accumulate(parts)
        np.testing.assert_allclose(m.xx, centred(x).T @ centred(x), atol=1e-10)
        np.testing.assert_allclose(m.xy, centred(x).T @ centred(y), atol=1e-10)
        pairs = [
            (maps.least_squares_from(m), maps.least_squares(x, y)),
            (maps.ridge_path_from(m, [0.1])[0], maps.ridge(x, y, 0.1)),
            (maps.forward_select_from(m, 3), maps.forward_select(x, y, 3)),
        ]
        for a, b in pairs:
            np.testing.assert_allclose(a.A, b.A, atol=1e-9)
            np.testing.assert_allclose(a.b, b.b, atol=1e-8)


class TestDenseEdges:
    def test_wide_moments_are_made_of_blocks(self):
        x = RNG.normal(size=(9, 601)) + 3
        m = maps.moments(x, x[:, :2])
        np.testing.assert_allclose(m.xx, centred(x).T @ centred(x), atol=1e-11)

    def test_dependent_and_constant_columns_share_the_least_norm(self):
        x, y = TALL
        x = np.concatenate([x, x[:, :3], np.full((60, 1), 1e3)], 1)
        reference = np.linalg.lstsq(centred(x), centred(y), rcond=1e-13)[0].T
        np.testing.assert_allclose(maps.least_squares(x, y).A, reference, atol=1e-10)
        assert abs(maps.least_squares(x, y).A[:, -1]).max() < 1e-12

    def test_jit_vmap_and_grad_agree_with_the_float64_solve(self, x64):
        x, y = (jnp.asarray(a) for a in TALL)
        inside = jax.jit(maps.least_squares)(x, y)
        np.testing.assert_allclose(inside.A, maps.least_squares(x, y).A, atol=1e-12)
        many = jax.vmap(lambda x, y: maps.ridge(x, y, 0.1))(x[None], y[None])
        np.testing.assert_allclose(many.A[0], maps.ridge(x, y, 0.1).A, atol=1e-12)

        def error(s):
            return jnp.sum((maps.ridge(s * x, y, 0.1)(s * x) - y) ** 2)

        slope = (error(1 + 1e-5) - error(1 - 1e-5)) / 2e-5
        np.testing.assert_allclose(jax.grad(error)(1.0), slope, rtol=1e-5)

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            (np.ones(3), np.ones((3, 1)), "one example a row"),
            (np.ones((3, 1)), np.ones((4, 1)), "same number"),
            (np.ones((0, 1)), np.ones((0, 1)), "n > 0"),
        ],
    )
    def test_shapes_are_checked(self, x, y, message):
        for fit in (maps.least_squares, lambda x, y: maps.forward_select(x, y, 1)):
            with pytest.raises(ValueError, match=message):
                fit(x, y)

    def test_complex_numbers_and_negative_weights_are_refused(self):
        with pytest.raises(TypeError, match="real numbers"):
            maps.least_squares(np.ones((3, 1)) * 1j, np.ones((3, 1)))
        with pytest.raises(ValueError, match="not negative"):
            maps.ridge(*TALL, -1.0)
        with pytest.raises(ValueError, match="12 numbers"):
            maps.least_squares(*TALL)(np.ones(3))


def stepwise(x, y, k, allowed=None):
    """Orthogonal least squares, by brute force over all candidates at every step."""
    x, y, chosen = centred(x), centred(y), []
    allowed = range(x.shape[1]) if allowed is None else np.flatnonzero(allowed)

    def error(s):
        return np.linalg.norm(y - x[:, s] @ np.linalg.lstsq(x[:, s], y, rcond=None)[0])

    for _ in range(k):
        rest = [j for j in allowed if j not in chosen]
        chosen.append(min(rest, key=lambda j: error([*chosen, j])))
    return set(chosen)


class TestForwardSelection:
    @pytest.mark.parametrize("k", [1, 4])
    def test_omp_is_sklearn_on_unit_columns(self, k):
        x, y = WIDE
        f = maps.forward_select(x, y, k)
        norms = np.linalg.norm(centred(x), axis=0)
        unit = centred(x) / norms
        for row, target in zip(f.A, centred(y).T, strict=True):
            reference = orthogonal_mp(unit, target, n_nonzero_coefs=k) / norms
            np.testing.assert_allclose(row, reference, atol=1e-10)

    def test_ols_lowers_the_error_most_at_every_step(self):
        x, y = WIDE
        mask = RNG.random((5, 33)) < 0.5
        f = maps.forward_select(x, y, 3, rule="ols", mask=mask)
        for i in range(5):
            chosen = set(np.flatnonzero(f.A[i]))
            assert chosen == stepwise(x, y[:, i], 3, mask[i])

    def test_a_mask_is_kept(self):
        x, y = WIDE
        mask = RNG.random((5, 33)) < 0.2
        A = maps.forward_select(x, y, 4, mask=mask).A
        assert not A[~mask].any()
        assert (np.count_nonzero(A, 1) == np.minimum(4, mask.sum(1))).all()

    def test_exact_targets_stop_early_and_are_exact(self):
        x = RNG.normal(size=(50, 30))
        y = x[:, [4, 7]] @ np.array([[1.0, 0.5], [-2.0, 0.0]]) + 7
        f = maps.forward_select(x, y, 9)
        assert np.count_nonzero(f.A, 1).tolist() == [2, 1]
        np.testing.assert_allclose(f(x), y, atol=1e-13)

    @pytest.mark.parametrize("rule", ["omp", "ols"])
    def test_constant_and_dependent_columns_are_never_selected(self, rule):
        base = RNG.normal(size=(50, 4))
        x = np.concatenate(
            [np.full((50, 2), [0.1, 1e6]), base, base, base[:, :1] + base[:, 1:2]], 1
        )
        y = RNG.normal(size=(50, 6))
        f = maps.forward_select(x, y, 11, rule=rule)
        assert not f.A[:, :2].any()
        assert np.isfinite(f.A).all()
        for row in f.A:
            chosen = x[:, np.flatnonzero(row)]
            assert chosen.shape[1] == 4  # the rank: a basis, and nothing beside it
            assert np.linalg.cond(centred(chosen)) < 100
        np.testing.assert_allclose(f(x), maps.least_squares(x, y)(x), atol=1e-8)

    def test_constant_targets_select_nothing(self):
        f = maps.forward_select(WIDE[0], np.full((20, 1), 2.5), 3)
        assert not f.A.any()
        assert f.b.tolist() == [2.5]

    def test_inside_jit_in_single_precision(self):
        x, y = (np.float32(a) for a in WIDE)
        inside = jax.jit(lambda x, y: maps.forward_select(x, y, 3))(x, y)
        assert inside.A.dtype == jnp.float32
        outside = maps.forward_select(x, y, 3)
        np.testing.assert_allclose(inside.A, outside.A, atol=1e-5)

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match="rule must be one of"):
            maps.forward_select(*WIDE, 2, rule="lars")
        with pytest.raises(ValueError, match="at least 1"):
            maps.forward_select(*WIDE, 0)
        with pytest.raises(TypeError, match="boolean"):
            maps.forward_select(*WIDE, 1, mask=np.ones((5, 33)))
        with pytest.raises(ValueError, match=r"\[5, 33\]"):
            maps.forward_select(*WIDE, 1, mask=np.ones((33, 5), bool))


class TestAlignment:
    def test_procrustes_recovers_a_rotation_and_beats_others(self):
        x = RNG.normal(size=(40, 6))
        q = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
        f = maps.procrustes(x, x @ q.T + 5)
        np.testing.assert_allclose(f.A, q, atol=1e-12)
        y = RNG.normal(size=(40, 6))
        best = np.linalg.norm(maps.procrustes(x, y)(x) - y)
        for seed in range(20):
            other = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
            assert np.linalg.norm(centred(x) @ other.T - centred(y)) > best

    def test_matching_recovers_a_rescaled_permutation(self):
        x = RNG.normal(size=(40, 6)) * 10.0 ** np.arange(-3, 3)
        order, factors = RNG.permutation(6), RNG.uniform(0.5, 2, 6)
        f = maps.match_permutation(x, factors * x[:, order] + 1, rescale=True)
        np.testing.assert_allclose(f.A, np.diag(factors)[:, np.argsort(order)], 1e-9)
        g = maps.match_permutation(x, x[:, order] + 0.01 * x.std())
        assert (g.A == np.eye(6)[order]).all()
        with pytest.raises(ValueError, match="one shape"):
            maps.match_permutation(x, x[:, :3])
        with pytest.raises(TypeError, match="outside of jit"):
            jax.jit(maps.match_permutation)(x, x)


def test_distances_by_hand():
    x, y = np.array([[0.04, 0.0, 0.25]]), np.array([[0.09, -0.01, 0.0]])
    assert maps.squared(x, y)[0] == pytest.approx(0.0025 + 1e-4 + 0.0625)
    assert maps.hellinger(x, y)[0] == pytest.approx((0.01 + 0 + 0.25) ** 0.5)
    y = np.abs(y)
    expected = 0.5 * (0.0025 / 0.13 + 0.01 + 0.25)
    assert maps.chi2(x, y)[0] == pytest.approx(expected)
