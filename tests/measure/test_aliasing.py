"""The aliasing theorem against the Lie derivative of decimation, and as printed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from eqnets import actions, measure

PERIODIC = {"interpolation": "fourier", "boundary": "wrap"}


def derivative(x, strides, velocity):
    """|L_v A x|^2 in the plainest way: two generators around a slice."""
    moves = [actions.translation(a, **PERIODIC).tangent for a in "xy"]
    v = lambda x: sum(c * move(x) for c, move in zip(velocity, moves, strict=True))
    down = lambda x: x[:, :: strides[0], :: strides[1]]
    return ((down(v(x)) - v(down(x))) ** 2).sum((1, 2, 3))


@pytest.mark.usefixtures("x64")
class TestTheorem:
    @pytest.mark.parametrize(
        ("strides", "h", "w"), [((2, 2), 6, 8), ((3, 2), 12, 6), ((4, 1), 12, 5)]
    )
    def test_is_the_lie_derivative_of_decimation(self, strides, h, w):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, h, w, 2)))
        for velocity in ((1.0, 0.0), (0.3, -0.7)):
            expected = derivative(x, strides, velocity)
            got = measure.aliasing_lee(x, strides, velocity)
            assert_allclose(got, expected, rtol=1e-11, atol=1e-9)
        if strides == (4, 1):
            f = lambda x: x[:, ::4]
            down = actions.translation("y", **PERIODIC)
            lee = measure.lee(f, down, x, action_out=down)
            alone = measure.aliasing_lee(x, strides, (0.0, 1.0))
            assert_allclose(alone, lee.per_example, rtol=1e-11)

    @pytest.mark.parametrize(("k", "value"), [(5, 10106.4749067155), (3, 0.0)])
    def test_published_values_of_one_wave(self, k, value):
        x = jnp.cos(2 * jnp.pi * k * jnp.arange(16) / 16)
        assert_allclose(measure.aliasing_lee(x, 2, 1.0), value, rtol=1e-12, atol=1e-9)

    def test_jit_and_grad(self):
        x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, 6, 1)))
        f = lambda x: measure.aliasing_lee(x, 2, (1.0, 2.0)).sum()
        assert_allclose(jax.jit(f)(x), f(x))
        # Quadratic in x: its derivative along x is twice its value.
        assert_allclose(jnp.vdot(jax.grad(f)(x), x), 2 * f(x))


@pytest.mark.usefixtures("x64")
class TestPrinted:
    @pytest.mark.parametrize("size", [12, 14, 16, 18])
    @pytest.mark.parametrize("half_of_half", [False, True])
    @pytest.mark.parametrize("half", [False, True])
    def test_holds_at_stride_2_without_two_frequencies(self, size, half_of_half, half):
        f = np.abs(np.fft.fftfreq(size, 1 / size))
        spectrum = np.fft.fft(np.random.default_rng(2).normal(size=size))
        if not half_of_half:
            spectrum[4 * f == size] = 0
        if not half:
            spectrum[2 * f == size] = 0
        x = jnp.asarray(np.fft.ifft(spectrum).real)
        pair = measure.printed_aliasing_lee(x, 2, 1.0), measure.aliasing_lee(x, 2, 1.0)
        # sizes 14 and 18 have no frequency M / 4; M / 2 folds onto 0 where M' is odd
        holds = not (half_of_half and size % 4 == 0) and not half
        if holds:
            assert_allclose(*pair, rtol=1e-12)
        elif half and abs(spectrum[size // 2]) > 0:
            assert pair[0] > pair[1] * (1 + 1e-6)

    @pytest.mark.parametrize(
        ("strides", "velocity"),
        [((2, 2), (1.0, 0.0)), ((2, 2), (1.0, 1.0)), ((1, 3), (1.0, 0.0))],
    )
    def test_fails_where_amplitudes_add(self, strides, velocity):
        x = jnp.asarray(np.random.default_rng(3).normal(size=(1, 6, 18, 1)))
        printed = measure.printed_aliasing_lee(x, strides, velocity)
        exact = measure.aliasing_lee(x, strides, velocity)
        assert abs(printed / exact - 1) > 1e-2

    def test_holds_line_by_line_along_one_axis(self):
        x = np.random.default_rng(4).normal(size=(2, 3, 14, 2))
        spectrum = np.fft.fft(x, axis=2)
        spectrum[:, :, 7] = 0
        x = jnp.asarray(np.fft.ifft(spectrum, axis=2).real)
        pair = [
            f(x, (1, 2), (1.0, 0.0))
            for f in (measure.printed_aliasing_lee, measure.aliasing_lee)
        ]
        assert_allclose(*pair, rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "stride", "velocity", "message"),
    [
        (jnp.ones((4, 4)), 2, 1.0, r"\[M\] or images"),
        (jnp.ones(10), 4, 1.0, "stride 4 does not divide the size 10"),
        (jnp.ones(10), 0, 1.0, "stride 0"),
        (jnp.ones(10), 2, (1.0, 1.0), "v_x alone"),
        (jnp.ones((1, 4, 4, 1)), (2, 2, 2), 1.0, r"\(s_y, s_x\)"),
    ],
)
def test_what_does_not_fit_is_refused(x, stride, velocity, message):
    with pytest.raises(ValueError, match=message):
        measure.aliasing_lee(x, stride, velocity)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating"):
        measure.aliasing_lee(jnp.arange(8), 2, 1.0)
