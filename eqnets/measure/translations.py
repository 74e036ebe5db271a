"""EQ-T and EQ-T_frac: the error of a network under finite translations."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from eqnets.actions import Action, identity, translation
from eqnets.actions.interpolate import fourier_weights

from .lee import Estimate, require_batch_axis
from .lie import Function, checked_input, output_actions
from .program import Program, trace

NORMALIZATIONS = ("none", "sqrt", "size", "psnr")
Shift = Float[Array, "b 2"]


def eq_t(
    f: Function,
    x: Array,
    key: Key[Array, ""],
    *,
    samples: int,
    max_fraction: float | int = 0.125,
    normalize: str = "none",
    periodic: bool = False,
    action_out: PyTree[Action] | None = None,
) -> Estimate:
    """Error under translations by whole pixels, output moved back and masked.

    With e = mask (rho_out(-t) f(rho(t) x) - f(x)), N the number of its entries that the
    mask leaves, and t uniform in +-max_fraction of both axes, rounded to whole pixels
    of the input: the mean over t of |e|, |e| / sqrt N or |e| / N (Gruver et al. 2022,
    D.1), or 10 log10(peak^2 / mean over t of |e|^2 / N) in dB (Karras et al. 2021,
    eq. 23), where peak is the range of f(x) on the image. Images move by periodic
    trigonometric interpolation, which moving back undoes (up to the Nyquist frequency
    of an even size), and the mask drops what comes from outside the frame. An output
    that moves at another resolution is moved back by the same fraction, interpolated
    where that is no whole number of its pixels.

    Args:
        f: a function of images; outputs [B, h, w, K] move like images.
        x: images [B, H, W, C].
        key: for the translations; each image draws its own.
        samples: translations for each image.
        max_fraction: the largest, in fractions of the axis.
        normalize: ``"none"``, ``"sqrt"``, ``"size"`` or ``"psnr"``.
        periodic: keep what comes from outside: circular translations.
        action_out: `actions.identity` for image-shaped outputs that must
            not move; None decides by shape.

    Returns:
        ``.mean``, ``.stderr`` over images, ``.per_example`` [B]. For ``"psnr"`` more is
        better, and an error of zero gives inf.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, or an option or a number that does not fit.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> options = {"key": jax.random.key(1), "samples": 4, "max_fraction": 0.25}
    >>> mirrored = lambda x: x[:, ::-1]  # it moves the other way
    >>> error = measure.eq_t(mirrored, x, periodic=True, **options)
    >>> error.per_example.shape, error.mean > 0.1
    ((2,), True)
    """
    draw = Draw(samples, max_fraction, periodic, whole=True)
    return _end_to_end(f, x, key, draw, normalize, action_out)


def eq_t_frac(
    f: Function,
    x: Array,
    key: Key[Array, ""],
    *,
    samples: int,
    max_fraction: float | int = 0.125,
    normalize: str = "none",
    periodic: bool = False,
    action_out: PyTree[Action] | None = None,
) -> Estimate:
    """`eq_t` under continuous translations, by trigonometric interpolation.

    Args:
        f: a function of images; outputs [B, h, w, K] move like images.
        x: images [B, H, W, C].
        key: for the translations; each image draws its own.
        samples: translations for each image.
        max_fraction: the largest, in fractions of the axis.
        normalize: see `eq_t`.
        periodic: see `eq_t`.
        action_out: see `eq_t`.

    Returns:
        As `eq_t`.

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, or an option or a number that does not fit.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> options = {"key": jax.random.key(1), "samples": 2, "max_fraction": 0.5}
    >>> error = measure.eq_t_frac(lambda x: x.mean((1, 2)), x, **options)
    >>> error.mean < 1e-5  # the mean over the image does not move
    True
    """
    draw = Draw(samples, max_fraction, periodic, whole=False)
    return _end_to_end(f, x, key, draw, normalize, action_out)


@dataclasses.dataclass(frozen=True)
class Draw:
    """How translations are drawn.

    Raises:
        ValueError: an option or a number that does not fit.
    """

    samples: int
    max_fraction: float | int
    periodic: bool
    whole: bool

    def __post_init__(self):
        if self.samples < 1 or not 0 < self.max_fraction <= 0.5:
            raise ValueError(
                "samples must be at least 1 and max_fraction in (0, 0.5]; got "
                f"{self.samples}, {self.max_fraction}"
            )

    def times(self, key: Key[Array, ""], images: int) -> Float[Array, "s b 2"]:
        """Translations (down, right), in fractions of the axes."""
        shape, most = (self.samples, images, 2), self.max_fraction
        return jax.random.uniform(key, shape, jnp.float32, -most, most)

    def rounded(self, t: Float[Array, "*b 2"], sizes: tuple[int, int]) -> Array:
        """Whole pixels of an image of these sizes, where they are asked for."""
        n = jnp.asarray(sizes, t.dtype)
        return jnp.round(t * n) / n if self.whole else t

    def moved(self, images: Array, t: Shift) -> Array:
        """Images [B, H, W, C], each by its own translation."""
        formulas = ("bij,bjwc->biwc", "bij,bhjc->bhic")
        for n, along, formula in zip(images.shape[1:3], t.T, formulas, strict=True):
            sources = jnp.arange(n) - n * along[:, None].astype(images.dtype)
            weights = fourier_weights(sources, n, "wrap")
            images = jnp.einsum(formula, weights, images, precision="highest")
        return images

    def inside(self, sizes: tuple[int, int], t: Shift) -> Bool[Array, "b h w"]:
        """The pixels that a move by t and back does not bring in from outside."""
        if self.periodic:
            return jnp.ones((len(t), *sizes), bool)
        rows, columns = (
            (p := (jnp.arange(n) + 0.5) / n + t[:, i, None], (p >= 0) & (p <= 1))[1]
            for i, n in enumerate(sizes)
        )
        return rows[:, :, None] & columns[:, None]


def check_normalize(kind: str) -> None:
    """Raise ValueError for a normalisation that does not exist."""
    if kind not in NORMALIZATIONS:
        known = ", ".join(NORMALIZATIONS)
        raise ValueError(f"normalize must be one of {known}; got {kind!r}")


def normalized(
    kind: str,
    square: Float[np.ndarray, "s rows"],
    count: Float[np.ndarray, "s rows"],
    peak: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, " rows"]:
    """The mean over translations of |e| in a normalisation, or the PSNR.

    Args:
        kind: one of ``NORMALIZATIONS``.
        square: |e|^2 for each translation.
        count: the entries N that were compared.
        peak: the range of the output.
    """
    square, count = (np.asarray(v, np.float64) for v in (square, count))
    if kind == "psnr":
        noise = (square / count).mean(0)
        with np.errstate(divide="ignore"):
            return 10 * np.log10(np.asarray(peak, np.float64) ** 2 / noise)
    power = {"none": 0.0, "sqrt": 0.5, "size": 1.0}[kind]
    return (np.sqrt(square) / count**power).mean(0)


def _end_to_end(
    f: Function,
    x: Array,
    key: Key[Array, ""],
    draw: Draw,
    normalize: str,
    action_out: PyTree[Action] | None,
) -> Estimate:
    check_normalize(normalize)
    action = translation("x")
    x = checked_input((action,), x)
    program, consts = trace(f, x)
    outs = output_actions(program.out, (action,), action_out, x.shape)
    require_batch_axis(program, len(x))
    moving = tuple(out != identity() for (out,) in outs)
    times = draw.rounded(draw.times(key, len(x)), x.shape[1:3])
    parts = _sampled(program, moving, draw, consts, x, times)
    return Estimate(normalized(normalize, *map(np.asarray, parts)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _sampled(
    program: Program,
    moving: tuple[bool, ...],
    draw: Draw,
    consts: list[Array],
    x: Array,
    times: Float[Array, "s b 2"],
) -> tuple[Array, Array, Array]:
    """Squared error and entries compared [S, B], and the range of the output [B]."""
    start = program(consts, x)

    def at(t: Shift) -> tuple[Array, Array]:
        square = count = jnp.zeros(len(x))
        leaves = program(consts, draw.moved(x, t))
        for moves, y, z in zip(moving, start, leaves, strict=True):
            mask = jnp.ones_like(y)
            if moves:
                z = draw.moved(z, -t)
                mask = mask * draw.inside(y.shape[1:3], t)[..., None]
            square = square + _sums(mask * (z - y) ** 2)
            count = count + _sums(mask)
        return square, count

    high, low = (
        functools.reduce(best, (jax.vmap(pick)(y) for y in start))
        for best, pick in ((jnp.maximum, jnp.max), (jnp.minimum, jnp.min))
    )
    return *jax.lax.map(at, times), high - low


def _sums(y: Array) -> Float[Array, " b"]:
    """The sum over everything but the batch."""
    return y.reshape(len(y), -1).astype(jnp.float32).sum(-1)
