"""The examples of a tutorial on weight sharing, against layers written by hand."""

import numpy as np
import pytest

from eqnets import groups, reps

RNG = np.random.default_rng(0)


def generic_layer(rep_in, rep_out):
    """A random equivariant matrix and the basis it comes from."""
    basis = reps.equivariant_basis(rep_in >> rep_out)
    c = RNG.standard_normal(basis.rank)
    return basis.expand(c).reshape(rep_out.size, rep_in.size), basis


def spans(basis, matrices):
    """Whether hand-written layers span what the solver found."""
    made = np.stack([m.ravel() for m in matrices], axis=1)
    assert np.linalg.matrix_rank(made) == basis.rank
    np.testing.assert_allclose(basis.project(made.T).T, made, atol=1e-12)


def test_circulants_of_z4():
    T = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(groups.cyclic(4).discrete[0], T)
    V = reps.vector(groups.cyclic(4))
    W, basis = generic_layer(V, V)
    for power in range(1, 4):  # one generator is enough for all its powers
        P = np.linalg.matrix_power(T, power)
        np.testing.assert_allclose(W @ P, P @ W, atol=1e-14)
    spans(basis, [np.linalg.matrix_power(T, k) for k in range(4)])


@pytest.mark.parametrize("n", [5, 8])
def test_maps_of_zn_are_circular_convolutions(n):
    V = reps.vector(groups.cyclic(n))
    W, _ = generic_layer(V, V)
    kernel, x = W[:, 0], RNG.standard_normal(n)
    by_hand = [sum(kernel[(i - j) % n] * x[j] for j in range(n)) for i in range(n)]
    np.testing.assert_allclose(W @ x, by_hand, atol=1e-12)
    fourier = np.fft.ifft(np.fft.fft(kernel) * np.fft.fft(x)).real
    np.testing.assert_allclose(W @ x, fourier, atol=1e-12)


def test_locality_on_top_of_a_solution():
    n, k = 8, 3
    V = reps.vector(groups.cyclic(n))
    W, basis = generic_layer(V, V)
    i, j = np.indices((n, n))
    near = np.minimum((i - j) % n, (j - i) % n) <= k // 2
    local = W * near
    # The mask is a union of orbits, so the masked matrix is still a solution.
    np.testing.assert_allclose(basis.project(local.ravel()), local.ravel(), atol=1e-12)
    assert len(np.unique(basis.labels.reshape(n, n)[near])) == k


@pytest.mark.parametrize("d", [3, 4, 7])
def test_three_representations_of_zd(d):
    """Trivial, a root of unity, regular: invariant maps between them."""
    root = np.exp(2j * np.pi / d)
    G = groups.MatrixGroup(discrete=[[[root]]])
    F = reps.vector(G)
    one = reps.scalar(G)
    R = reps.regular(G)
    assert (one.size, F.size, R.size) == (1, 1, d)
    np.testing.assert_allclose(np.linalg.matrix_power(R.rho(G.discrete[0]), d),
                               np.eye(d))  # fmt: skip
    assert reps.equivariant_basis(one >> F).rank == 0
    assert reps.equivariant_basis(F >> F).rank == 1
    assert reps.equivariant_basis(R >> R).rank == d
    W, _ = generic_layer(R, F)  # the Fourier coefficient of frequency one
    spectrum = np.fft.fft(W.ravel())
    assert np.sum(np.abs(spectrum) > 1e-9) == 1


def test_d4_relations_and_layers():
    r, f = groups.dihedral(4).discrete
    np.testing.assert_array_equal(np.linalg.matrix_power(r, 4), np.eye(2))
    np.testing.assert_array_equal(f @ f, np.eye(2))
    np.testing.assert_array_equal(r @ f, f @ np.linalg.inv(r))
    G = groups.dihedral_images(5)
    P = reps.vector(G)
    W, basis = generic_layer(P, P)
    x = RNG.standard_normal((5, 5))
    for act in (np.rot90, np.fliplr, np.flipud, np.transpose):
        moved = (W @ act(x).ravel()).reshape(5, 5)
        np.testing.assert_allclose(
            moved, act((W @ x.ravel()).reshape(5, 5)), atol=1e-12
        )
    # By hand: average matrix units over the eight elements.
    every = groups.elements(G)
    units = [
        sum(np.outer(g[:, i], g[:, j]) for g in every)
        for i in range(25)
        for j in range(25)
    ]
    spans(basis, units)


def test_two_dimensional_convolution():
    h, w = 3, 4
    V = reps.vector(groups.translations(h, w))
    W, basis = generic_layer(V, V)
    kernel = W[:, 0].reshape(h, w)
    x = RNG.standard_normal((h, w))
    by_hand = np.fft.ifft2(np.fft.fft2(kernel) * np.fft.fft2(x)).real
    np.testing.assert_allclose((W @ x.ravel()).reshape(h, w), by_hand, atol=1e-12)
    assert basis.rank == h * w


def test_deep_sets():
    n = 6
    S = reps.vector(groups.symmetric(n))
    _, basis = generic_layer(S, S)
    spans(basis, [np.eye(n), np.ones((n, n))])
    # Channels: each pair of channels has its own two weights.
    _, basis = generic_layer(3 * S, 2 * S)
    assert basis.rank == 2 * 3 * 2


@pytest.mark.parametrize("n", [3, 4])
def test_p4_group_convolution(n):
    """The sum over (s, z) of k(r^-1 s, r^-1 (z - x)) f(s, z), indices mod n."""
    G = groups.p4(n)
    V = reps.vector(G)
    W, basis = generic_layer(V, V)
    turn = [np.linalg.matrix_power([[0, -1], [1, 0]], r) for r in range(4)]
    kernel = W[0].reshape(4, n, n)  # the output at (0, 0) reads the kernel itself
    by_hand = np.empty((4, n, n, 4, n, n))
    for r, i, j, s, p, q in np.ndindex(by_hand.shape):
        z = turn[-r % 4] @ np.array([p - i, q - j])
        by_hand[r, i, j, s, p, q] = kernel[(s - r) % 4, z[0] % n, z[1] % n]
    np.testing.assert_allclose(W, by_hand.reshape(W.shape), atol=1e-12)
    assert basis.rank == 4 * n * n


def test_pointwise_nonlinearities_and_permutations():
    """A permutation commutes with any pointwise function; a rotation does not."""
    x = RNG.standard_normal(4)
    p = groups.cyclic(4).discrete[0]
    np.testing.assert_array_equal(np.tanh(p @ x), p @ np.tanh(x))
    r = groups.rotations(8).discrete[0]
    assert np.abs(np.tanh(r @ x[:2]) - r @ np.tanh(x[:2])).max() > 1e-2
