"""What decimation alone does to translations: the aliasing theorem."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float


def aliasing_lee(
    x: ArrayLike,
    stride: int | tuple[int, ...],
    velocity: ArrayLike | tuple[ArrayLike, ...],
) -> Float[Array, "..."]:
    """|L_v A x|^2 of decimation A x = x[::s], by aliasing alone, from the spectrum.

    With H the unitary discrete Fourier transform of M samples, n its frequencies,
    M' = M / s and Alias(n) = ((n + floor(M'/2)) mod M') - floor(M'/2),

    |L_v A x|^2 = (2 pi)^2 / (s_x s_y) sum_{n',m'} | sum_{(n,m) -> (n',m')}
    [v_x (n~' - n~) + v_y (m~' - m~)] H_nm |^2,

    where (n, m) -> (n', m') by Alias, and n~ is n except 0 at the Nyquist frequency of
    an even number of samples, whose derivative vanishes on the samples. This is
    identically `measure.lie_derivative` of the decimation under periodic
    translations, ``interpolation="fourier", boundary="wrap"``. Gruver et al. (2022),
    appendix C.2; where their eq. 9 holds is said at `printed_aliasing_lee`.

    Args:
        x: a signal [M] or images [B, H, W, C], periodic.
        stride: s, or (s_y, s_x), which divides the size.
        velocity: of the translation in fractions of the axis: v_x, or (v_x, v_y).

    Returns:
        A number for a signal, [B] for images (summed over channels).

    Raises:
        TypeError: x is not of a floating dtype.
        ValueError: other shapes, or a stride that does not divide the size.

    >>> import jax.numpy as jnp
    >>> from eqnets import measure
    >>> wave = lambda k: jnp.cos(2 * jnp.pi * k * jnp.arange(16) / 16)
    >>> round(float(measure.aliasing_lee(wave(5), 2, 1.0)))  # above M / 4: folded over
    10106
    """
    images, strides, velocities, is_signal = _checked(x, stride, velocity)
    energy = _exact(images, strides, velocities)
    return energy[0] if is_signal else energy


def printed_aliasing_lee(
    x: ArrayLike,
    stride: int | tuple[int, ...],
    velocity: ArrayLike | tuple[ArrayLike, ...],
) -> Float[Array, "..."]:
    """Eq. 9 as it is printed in Gruver et al. (2022), with H normalised to M' samples.

    (2 pi)^2 sum_nm |H_nm|^2 [v_x^2 (Alias(n) - n)^2 + v_y^2 (Alias(m) - m)^2], where
    Parseval's sum runs over the samples that are left, so |H|^2 is that of the unitary
    transform over s_x s_y (the paper leaves the factor out). It adds the energies of
    frequencies that fold onto one another where amplitudes add, it has no product
    v_x v_y, and it lets the Nyquist frequency move. For a signal at s = 2 it is
    `aliasing_lee` if there is no energy at M / 2 and at +-M' / 2; for images the
    same, line by line, if they are decimated along one axis and move along it. At
    larger strides, and for images decimated along both axes, it differs as soon as two
    frequencies that fold onto one another both have energy and one of them moves.

    Args:
        x: a signal [M] or images [B, H, W, C], periodic.
        stride: s, or (s_y, s_x), which divides the size.
        velocity: of the translation in fractions of the axis: v_x, or (v_x, v_y).

    Returns:
        A number for a signal, [B] for images (summed over channels).

    Raises:
        TypeError: x is not of a floating dtype.
        ValueError: other shapes, or a stride that does not divide the size.

    >>> import jax.numpy as jnp
    >>> from eqnets import measure
    >>> wave = lambda k: jnp.cos(2 * jnp.pi * k * jnp.arange(16) / 16)
    >>> both = [f(wave(5), 2, 1.0) for f in (measure.printed_aliasing_lee,
    ...                                      measure.aliasing_lee)]
    >>> bool(jnp.allclose(*both))  # a signal at stride 2
    True
    """
    images, strides, velocities, is_signal = _checked(x, stride, velocity)
    energy = _printed(images, strides, velocities)
    return energy[0] if is_signal else energy


@functools.partial(jax.jit, static_argnums=1)
def _exact(
    x: Float[Array, "b h w c"],
    strides: tuple[int, int],
    velocity: tuple[ArrayLike, ...],
) -> Float[Array, " b"]:
    b, h, w, c = x.shape
    down, across = (
        _folds(n, s, nyquist_moves=False) for n, s in zip((h, w), strides, strict=True)
    )
    rate = velocity[1] * down[:, None] + velocity[0] * across
    spectrum = jnp.fft.fft2(x, axes=(1, 2), norm="ortho") * rate[:, :, None]
    # Frequencies that fold onto one another are M' bins apart.
    (sy, sx), (h2, w2) = strides, (h // strides[0], w // strides[1])
    folded = spectrum.reshape(b, sy, h2, sx, w2, c).sum((1, 3))
    scale = (2 * math.pi) ** 2 / (sy * sx)
    return scale * jnp.sum(jnp.abs(folded) ** 2, (1, 2, 3))


@functools.partial(jax.jit, static_argnums=1)
def _printed(
    x: Float[Array, "b h w c"],
    strides: tuple[int, int],
    velocity: tuple[ArrayLike, ...],
) -> Float[Array, " b"]:
    down, across = (
        _folds(n, s, nyquist_moves=True)
        for n, s in zip(x.shape[1:3], strides, strict=True)
    )
    square = (velocity[1] * down[:, None]) ** 2 + (velocity[0] * across) ** 2
    energy = jnp.abs(jnp.fft.fft2(x, axes=(1, 2), norm="ortho")) ** 2
    scale = (2 * math.pi) ** 2 / math.prod(strides)
    return scale * jnp.sum(energy * square[:, :, None], (1, 2, 3))


def _folds(n: int, stride: int, *, nyquist_moves: bool) -> Float[np.ndarray, " n"]:
    """How far the frequency of each bin is carried by decimation, Alias(n) - n."""
    from_, to = (np.fft.fftfreq(m, 1 / m) for m in (n, n // stride))
    if not nyquist_moves:
        from_, to = (np.where(2 * np.abs(f) == len(f), 0, f) for f in (from_, to))
    return np.tile(to, stride) - from_


def _checked(
    x: ArrayLike,
    stride: int | tuple[int, ...],
    velocity: ArrayLike | tuple[ArrayLike, ...],
) -> tuple[Array, tuple[int, ...], tuple[ArrayLike, ...], bool]:
    """Images, (s_y, s_x), (v_x, v_y), and whether x was a signal."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x must be of a floating dtype, got {x.dtype}")
    if x.ndim not in (1, 4):
        raise ValueError(
            f"x must be a signal [M] or images [B, H, W, C], got shape {x.shape}"
        )
    is_signal = x.ndim == 1
    one = (1, stride) if is_signal else (stride, stride)
    strides = one if np.ndim(stride) == 0 else tuple(stride)
    velocities = (velocity, 0.0) if np.ndim(velocity) == 0 else tuple(velocity)
    if len(strides) != 2 or len(velocities) != 2 or (is_signal and velocities[1]):
        raise ValueError(
            "stride is s or (s_y, s_x), velocity v_x or (v_x, v_y), of which a signal "
            f"has v_x alone; got {stride} and {velocity}"
        )
    images = x.reshape(1, 1, -1, 1) if is_signal else x
    for n, s in zip(images.shape[1:3], strides, strict=True):
        if s < 1 or n % s:
            raise ValueError(
                f"stride {s} does not divide the size {n}: crop or pad x to a multiple"
            )
    return images, strides, velocities, is_signal
