"""Similarities of features against slow definitions and their invariances."""

import jax
import numpy as np
import pytest

from eqnets import maps

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5)) @ np.diag([4, 2, 1, 1, 0.5])
Y = X @ RNG.standard_normal((5, 7)) + RNG.standard_normal((60, 7))
WIDE = RNG.standard_normal((60, 200))


def rotated(x):
    q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((x.shape[1],) * 2))
    return 3 * x @ q + 1


def slow_cka(x, y):
    h = np.eye(len(x)) - 1 / len(x)
    k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
    return (k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m)


def slow_procrustes(x, y):
    x, y = (v - v.mean(0) for v in (x, y))
    x, y = (v / np.linalg.norm(v) for v in (x, y))
    return 2 - 2 * np.linalg.norm(x.T @ y, "nuc")


@pytest.mark.parametrize("other", [Y, WIDE])
def test_definitions(other):
    np.testing.assert_allclose(maps.cka(X, other), slow_cka(X, other), rtol=1e-10)
    expected = slow_procrustes(X, other)
    np.testing.assert_allclose(maps.procrustes_distance(X, other), expected, rtol=1e-9)


@pytest.mark.parametrize("x", [X, WIDE])
def test_rotation_and_scale_change_nothing(x):
    assert maps.cka(x, rotated(x)) == pytest.approx(1)
    assert maps.procrustes_distance(x, rotated(x)) == pytest.approx(0, abs=1e-9)
    assert maps.cka(X, rotated(Y)) == pytest.approx(maps.cka(X, Y))
    centred, turned = x - x.mean(0), rotated(x) - 1
    turned = turned - turned.mean(0)
    mine, theirs = (maps.relative_representation(v, v[:9]) for v in (centred, turned))
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
    np.testing.assert_allclose(np.diag(mine[:9]), 1, atol=1e-6)


def test_svcca_is_blind_to_invertible_maps_and_finds_correlations():
    mixed = X @ np.random.default_rng(2).standard_normal((5, 5))
    assert maps.svcca(X, mixed, keep=1.0) == pytest.approx(1)
    u, v = (np.linalg.qr(z - z.mean(0))[0] for z in (X, Y))
    expected = np.linalg.svd(u.T @ v, compute_uv=False).mean()
    assert maps.svcca(X, Y, keep=1.0) == pytest.approx(expected)
    assert maps.svcca(X, RNG.standard_normal((60, 5))) < 0.6
    tail = np.concatenate([10 * X[:, :1], 1e-3 * RNG.standard_normal((60, 3))], 1)
    assert maps.svcca(X[:, :1], tail) == pytest.approx(1, abs=1e-3)


def test_under_transformations():
    f = jax.jit(maps.relative_representation)
    np.testing.assert_allclose(f(X, X[:4]), maps.relative_representation(X, X[:4]))


def test_bad_input():
    with pytest.raises(ValueError, match="constant"):
        maps.cka(X, np.ones((60, 2)))
    with pytest.raises(ValueError, match="constant"):
        maps.svcca(X, np.ones((60, 2)))
    with pytest.raises(ValueError, match="more images"):
        maps.svcca(WIDE, X, keep=1.0)
    with pytest.raises(ValueError, match="keep"):
        maps.svcca(X, Y, keep=2)
    with pytest.raises(ValueError, match="same number"):
        maps.procrustes_distance(X, Y[:4])
    with pytest.raises(ValueError, match="anchors"):
        maps.relative_representation(X, Y)
