"""Named discretisations of d/du along one axis of a sampled image.

Every stencil is a linear map; u is measured in pixels here and actions convert. A
generator is never obtained by differentiating an interpolator (see
`actions.base.linear_flow`).
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

STENCILS = ("fourier", "fourier_even", "central", "cubic", "reference")


@functools.lru_cache(maxsize=64)
def fourier_matrix(n: int) -> Float[np.ndarray, "n n"]:
    """d/du (per pixel) of the trigonometric interpolant of n periodic samples.

    D = F^-1 [2 pi i k~ / n] F with k~ = k except 0 at the Nyquist bin of even n, in
    closed form: pi/n (-1)^m cot(pi m/n) for even n, pi/n (-1)^m / sin(pi m/n) for odd,
    m = row - column. Antisymmetric, so translation preserves the norm.
    """
    m = np.arange(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.tan(np.pi * m / n) if n % 2 == 0 else np.sin(np.pi * m / n)
        column = np.pi / n * (-1.0) ** m / slope
    column[0] = 0.0
    if n % 2 == 0:
        column[n // 2] = 0.0  # cot(pi/2), which rounding leaves at 1e-17
    d = column[(m[:, None] - m[None, :]) % n]
    # the closed form is antisymmetric only up to rounding; make it so to the bit
    return (d - d.T) / 2


@functools.lru_cache(maxsize=64)
def fourier_even_matrix(n: int) -> Float[np.ndarray, "n n"]:
    """d/du (per pixel) of the cosine interpolant: samples mirrored about the edges.

    The even extension has period 2n and no energy at its Nyquist bin; column k gathers
    what sample k contributes from both of its places, k and 2n - 1 - k.
    """
    d = fourier_matrix(2 * n)[:n]
    return d[:, :n] + d[:, n:][:, ::-1]


def differentiate(
    x: Float[Array, "b h w c"], axis: int, stencil: str, boundary: str
) -> Float[Array, "b h w c"]:
    """dx/du along ``axis`` (1 = y, 2 = x), per pixel.

    Args:
        x: images.
        axis: 1 or 2.
        stencil: ``fourier`` (periodic trigonometric interpolant), ``fourier_even``
            (even extension about the edges), ``central`` and ``cubic`` ((x[j+1] -
            x[j-1])/2, which is also the slope of the Keys cubic at its nodes),
            ``reference`` (forward difference, whole-sample reflection).
        boundary: ``reflect``, ``wrap`` or ``zeros``; read by ``central`` and ``cubic``.
    """
    n = x.shape[axis]
    if n == 1:
        return jnp.zeros_like(x)
    if stencil in ("fourier", "fourier_even"):
        matrix = fourier_matrix if stencil == "fourier" else fourier_even_matrix
        return _apply(jnp.asarray(matrix(n), x.dtype), x, axis)
    if stencil == "reference":
        ahead = lax.slice_in_dim(x, 1, n, axis=axis)
        mirrored = lax.slice_in_dim(x, n - 2, n - 1, axis=axis)
        return jnp.concatenate([ahead, mirrored], axis=axis) - x
    mode = {"reflect": "symmetric", "wrap": "wrap", "zeros": "constant"}[boundary]
    padded = jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(4)], mode=mode)
    ahead = lax.slice_in_dim(padded, 2, n + 2, axis=axis)
    behind = lax.slice_in_dim(padded, 0, n, axis=axis)
    return (ahead - behind) / 2


def _apply(
    matrix: Float[Array, "m n"], x: Float[Array, "b h w c"], axis: int
) -> Float[Array, "b h2 w2 c"]:
    """``matrix`` along one axis; full precision also where the default is lower."""
    formula = "ij,bjwc->biwc" if axis == 1 else "ij,bhjc->bhic"
    return jnp.einsum(formula, matrix, x, precision=lax.Precision.HIGHEST)
