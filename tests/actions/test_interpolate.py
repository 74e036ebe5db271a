"""The interpolators against independent implementations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from numpy.testing import assert_allclose

from eqnets.actions import interpolate, stencils


def slow_fourier(x, row, column, boundary):
    """The DFT (of the even extension) summed as waves, point by point."""
    if boundary == "reflect":
        x = np.concatenate([x, x[::-1]], 0)
        x = np.concatenate([x, x[:, ::-1]], 1)
    h, w = x.shape
    coefficients = np.fft.fft2(x) / (h * w)

    def waves(position, n):
        k = np.fft.fftfreq(n, 1 / n)
        wave = np.exp(2j * np.pi * k * position / n)
        if n % 2 == 0:
            wave[n // 2] = np.cos(np.pi * position)
        return wave

    return np.array(
        [
            (waves(r, h) @ coefficients @ waves(c, w)).real
            for r, c in zip(row.ravel(), column.ravel(), strict=True)
        ]
    ).reshape(row.shape)


@pytest.mark.parametrize("boundary", ["wrap", "reflect"])
@pytest.mark.parametrize("shape", [(6, 5), (5, 8), (7, 7), (1, 4)])
@pytest.mark.usefixtures("x64")
def test_fourier_is_the_sum_of_its_waves(boundary, shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    row, column = rng.uniform(-9, 12, (2, *shape))
    got = interpolate.resample(
        jnp.asarray(x)[None, :, :, None],
        jnp.asarray(column),
        jnp.asarray(row),
        "fourier",
        boundary,
    )[0, :, :, 0]
    assert_allclose(got, slow_fourier(x, row, column, boundary), atol=1e-12)


@pytest.mark.parametrize(
    ("boundary", "mode"),
    [
        ("wrap", "grid-wrap"),
        ("reflect", "reflect"),
        ("zeros", "grid-constant"),
        ("mirror", "mirror"),
    ],
)
@pytest.mark.usefixtures("x64")
def test_bilinear_is_scipys_order_one(boundary, mode):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 9))
    row, column = rng.uniform(-8, 14, (2, 6, 9))
    got = interpolate.resample(
        jnp.asarray(x)[None, :, :, None],
        jnp.asarray(column),
        jnp.asarray(row),
        "bilinear",
        boundary,
    )[0, :, :, 0]
    want = scipy.ndimage.map_coordinates(x, [row, column], order=1, mode=mode)
    assert_allclose(got, want, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_cubic_reproduces_parabolas_and_is_keys_kernel():
    j = np.arange(12.0)
    position = np.linspace(2, 8.9, 23)
    index, weights = interpolate.local_taps(
        jnp.asarray(position), 12, "cubic", "reflect"
    )
    for power in range(3):
        value = (j**power)[np.asarray(index)] * np.asarray(weights)
        assert_allclose(value.sum(-1), position**power, atol=1e-11)

    def keys(d):
        d = abs(d)
        if d <= 1:
            return 1.5 * d**3 - 2.5 * d**2 + 1
        return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0

    for p, row, w in zip(position, np.asarray(index), np.asarray(weights), strict=True):
        assert_allclose(w, [keys(p - i) for i in row], atol=1e-12)


@pytest.mark.parametrize("interpolation", ["bilinear", "cubic", "fourier"])
@pytest.mark.parametrize("boundary", ["wrap", "reflect"])
def test_one_axis_and_two_axes_agree(interpolation, boundary):
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    column = jax.random.uniform(jax.random.key(1), (6, 7), minval=-9, maxval=12)
    row = jnp.broadcast_to(jnp.arange(6.0)[:, None], (6, 7))
    one = interpolate.resample_axis(x, column, interpolation, boundary)
    two = interpolate.resample(x, column, row, interpolation, boundary)
    assert_allclose(one, two, atol=2e-5)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8, 16, 31])
def test_fourier_matrices_are_the_dft_ones(n):
    """F^-1 [2 pi i k~ / n] F with numpy's own transform, even extension included."""

    def by_dft(x):
        m = len(x)
        k = np.fft.fftfreq(m, 1 / m)
        if m % 2 == 0:
            k[m // 2] = 0
        slope = np.fft.ifft(2j * np.pi * k[:, None] / m * np.fft.fft(x, axis=0), axis=0)
        return slope.real

    eye = np.eye(n)
    assert_allclose(stencils.fourier_matrix(n), by_dft(eye), atol=1e-12)
    even = by_dft(np.concatenate([eye, eye[::-1]]))[:n]
    assert_allclose(stencils.fourier_even_matrix(n), even, atol=1e-12)
    assert (stencils.fourier_matrix(n) == -stencils.fourier_matrix(n).T).all()


@pytest.mark.parametrize("stencil", ["fourier_even", "central", "cubic", "reference"])
def test_constants_have_no_slope(stencil):
    x = jnp.ones((1, 5, 6, 2))
    for axis in (1, 2):
        got = stencils.differentiate(x, axis, stencil, "reflect")
        assert_allclose(got, 0 * x, atol=1e-5)


def test_central_difference_follows_the_boundary():
    x = jnp.asarray([1.0, 4.0, 9.0, 16.0]).reshape(1, 1, 4, 1)
    want = {
        "reflect": [1.5, 4, 6, 3.5],
        "wrap": [-6, 4, 6, -4],
        "zeros": [2, 4, 6, -4.5],
    }
    for boundary, slope in want.items():
        got = stencils.differentiate(x, 2, "central", boundary).ravel()
        assert_allclose(got, slope, err_msg=boundary)
