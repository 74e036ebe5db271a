"""check_equivariance: finds what is wrong, and never calls the unknown perfect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets.measure.shift_checks import check_equivariance

X = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))


def test_invariant_and_equivariant_functions_have_no_violations():
    pooled = check_equivariance(lambda x: x.max((1, 2)), X)
    assert pooled.worst == 0
    assert pooled.violations(0) == 0
    assert pooled.differences.shape == (24, 2)
    same = check_equivariance(lambda x: jnp.tanh(x), X, output="equivariant")
    assert same.violations(0) == 0


def test_the_worst_shift_and_example_are_named():
    def f(x):
        return jnp.where(x[:, :1, 0, 0] == X[1, 2, 3, 0], 5.0, 0.0)

    report = check_equivariance(f, X)
    assert report.shift == (4, 1)
    assert report.example == 1
    assert report.worst == 5
    assert report.violations(1) == 1
    assert check_equivariance(f, X, shifts=[(0, 0), (1, 1)]).violations(0) == 0


def test_downsampling_may_round_a_shift_either_way_but_not_more():
    def lattice(x):
        return x[:, ::2, ::2]

    even = check_equivariance(lattice, X, output="equivariant", stride=2)
    assert even.violations(0) == 2 * (24 - 6)
    only = check_equivariance(
        lattice, X, output="equivariant", stride=2, shifts=[(2, 0), (4, 2)]
    )
    assert only.violations(0) == 0


def test_what_is_not_a_number_is_a_violation():
    def f(x):
        return jnp.where(x[:, 0, 0, :1] == X[:, 0, 0, :1], 1.0, jnp.nan)

    report = check_equivariance(f, X)
    assert np.isnan(report.worst)
    assert report.violations(1e9) == 2 * 23


def test_claims_that_the_shape_cannot_support_are_refused():
    with pytest.raises(ValueError, match="spatial sizes"):
        check_equivariance(lambda x: x.mean((1, 2)), X, output="equivariant")
    with pytest.raises(ValueError, match="batch axis"):
        check_equivariance(lambda x: x.sum(), X)
    with pytest.raises(ValueError, match="output must be"):
        check_equivariance(lambda x: x, X, output="covariant")
    with pytest.raises(ValueError, match="no shifts"):
        check_equivariance(lambda x: x, X, shifts=[])
