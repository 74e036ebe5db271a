"""Do the predicted labels survive a shift? The classical consistency metrics."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Int, Integer, Key

from eqnets.actions import roll

Predict = Callable[[Array], Integer[Array | np.ndarray, " b"]]


def agreement(predictions: ArrayLike | Sequence) -> float:
    """Fraction of columns where all R rows of [R, B] integer labels equal the first.

    Raises:
        TypeError: the labels are not integers.
        ValueError: the array has not two axes, or is empty.

    >>> from eqnets import measure
    >>> measure.agreement([[0, 1, 2, 3], [0, 1, 1, 3]])
    0.75
    """
    labels = np.asarray(predictions)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(
            f"predictions must be integer labels, got {labels.dtype}: take "
            "logits.argmax(-1)"
        )
    if labels.ndim != 2 or not labels.size:
        raise ValueError(
            f"predictions must be [R, B], R >= 1 labels for each of B >= 1 images; "
            f"got shape {labels.shape}"
        )
    return float(np.mean((labels == labels[:1]).all(0)))


def circular_consistency(
    predict: Predict, x: Array, key: Key[Array, ""], *, max_shift: int, pairs: int
) -> float:
    """Fraction of predictions that are equal under two random circular shifts.

    C-Cons of Rojas-Gomez et al. (2022). Every image draws its own two shifts in each
    of the pairs, uniform in 0..max_shift pixels along both axes.

    Args:
        predict: images [B, H, W, C] to integer labels [B].
        x: images [B, H, W, C].
        key: for the shifts.
        max_shift: largest shift, in pixels.
        pairs: pairs of shifts for each image.

    Returns:
        A fraction in [0, 1].

    Raises:
        TypeError: ``predict`` does not return integers.
        ValueError: a shape or a number that does not fit.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (4, 4, 4, 2))
    >>> predict = lambda x: x.max((1, 2)).argmax(-1)  # a maximum does not move
    >>> key = jax.random.key(1)
    >>> measure.circular_consistency(predict, x, key, max_shift=3, pairs=2)
    1.0
    """
    _require_images(x)
    _require_counts(max_shift=max_shift, pairs=pairs)
    shift = jax.jit(jax.vmap(lambda image, s: roll(image[None], s[0], s[1])[0]))
    return _pairwise(predict, x, key, pairs, max_shift, shift)


def shift_consistency(
    predict: Predict,
    x: Array,
    key: Key[Array, ""],
    *,
    crop: int,
    max_shift: int,
    pairs: int,
) -> float:
    """Fraction of predictions that are equal on two windows of the same image.

    S-Cons (Zhang 2019; Rojas-Gomez et al. 2022): a crop x crop window, its corner
    displaced by 0..max_shift pixels along both axes, the range centred in the image;
    224 of 256 with max_shift = 31 is the published setting. No pixel is invented at
    the border.

    Args:
        predict: images [B, crop, crop, C] to integer labels [B].
        x: images [B, H, W, C] with H and W at least crop + max_shift.
        key: for the shifts.
        crop: side of the window, in pixels.
        max_shift: largest displacement, in pixels.
        pairs: pairs of windows for each image.

    Returns:
        A fraction in [0, 1].

    Raises:
        TypeError: ``predict`` does not return integers.
        ValueError: images too small for the window, or a number that does not fit.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (4, 4, 4, 2))
    >>> centre = lambda x: x[:, 1, 1].argmax(-1)  # looks at one pixel
    >>> key = jax.random.key(1)
    >>> measure.shift_consistency(centre, x, key, crop=3, max_shift=1, pairs=2) < 1
    True
    """
    _require_images(x)
    _require_counts(max_shift=max_shift, pairs=pairs, crop=crop)
    h, w = jnp.shape(x)[1:3]
    if crop < 1 or min(h, w) < crop + max_shift:
        raise ValueError(
            f"images must be at least crop + max_shift = {crop + max_shift} pixels on "
            f"both sides, got {h} x {w}: give larger images or a smaller crop"
        )
    corner = jnp.array([(h - crop - max_shift) // 2, (w - crop - max_shift) // 2])

    def window(image, s):
        start = (*(corner + s), 0)
        return jax.lax.dynamic_slice(image, start, (crop, crop, image.shape[-1]))

    return _pairwise(predict, x, key, pairs, max_shift, jax.jit(jax.vmap(window)))


def discrete_consistency(predict: Predict, x: Array, *, shift: int = 10) -> float:
    """1 - agreement under a circular shift of ``shift`` pixels down and right.

    An error: 0 for a network whose labels do not change (Gruver et al. 2022, D.4).

    Args:
        predict: images [B, H, W, C] to integer labels [B].
        x: images [B, H, W, C].
        shift: in pixels, of either sign.

    Returns:
        A fraction in [0, 1].

    Raises:
        TypeError: ``predict`` does not return integers.
        ValueError: a shape that does not fit.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (4, 4, 4, 2))
    >>> measure.discrete_consistency(lambda x: x.max((1, 2)).argmax(-1), x)
    0.0
    """
    _require_images(x)
    moved = roll(jnp.asarray(x), shift, shift)
    return 1.0 - agreement([_labels(predict, x), _labels(predict, moved)])


def _pairwise(
    predict: Predict,
    x: Array,
    key: Key[Array, ""],
    pairs: int,
    max_shift: int,
    transform: Callable[[Array, Int[Array, "b 2"]], Array],
) -> float:
    x = jnp.asarray(x)
    size = (pairs, 2, len(x), 2)
    shifts = jax.random.randint(key, size, 0, max_shift + 1)
    same = [
        agreement([_labels(predict, transform(x, s)) for s in pair]) for pair in shifts
    ]
    return float(np.mean(same))


def _labels(predict: Predict, x: Array) -> np.ndarray:
    labels = np.asarray(predict(x))
    if labels.shape != (len(x),) or not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(
            f"predict must return integer labels of shape ({len(x)},), got "
            f"{labels.dtype}{list(labels.shape)}: e.g. lambda x: f(x).argmax(-1)"
        )
    return labels


def _require_images(x: Array) -> None:
    if jnp.ndim(x) != 4 or not jnp.shape(x)[0]:
        raise ValueError(f"x must be images [B, H, W, C], got shape {jnp.shape(x)}")


def _require_counts(*, max_shift: int, pairs: int, crop: int = 1) -> None:
    for name, value, least in (
        ("max_shift", max_shift, 0),
        ("pairs", pairs, 1),
        ("crop", crop, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")
