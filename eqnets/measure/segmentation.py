"""Dense predictions: their consistency under shifts, and their overlap with labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

AnyArray = Array | np.ndarray
Predict = Callable[[Array], Int[AnyArray, "b h w"]]


def segmentation_consistency(
    predict: Predict,
    x: Float[AnyArray, "b h w c"],
    key: Array,
    *,
    max_shift: int,
    pairs: int,
    circular: bool = True,
    against: str = "pair",
    ignore: int | None = None,
) -> Float[Array, ""]:
    """The fraction of pixels whose label stays the same under shifts of the image.

    Images are shifted, predictions shifted back and compared per pixel: mASCC with
    circular shifts, mASSC with standard ones (Rojas-Gomez et al., 2022, 5.4, 5.5).
    Shifts are uniform in ``-max_shift .. max_shift`` on each axis, drawn anew for
    every image and pair. The paper draws five pairs up to 32 pixels.

    Args:
        predict: images to integer labels ``[B, H, W]``.
        x: images ``[B, H, W, C]``.
        key: a JAX random key.
        max_shift: the largest shift, in pixels.
        pairs: the number of comparisons per image.
        circular: wrap around; otherwise zeros move in, and only pixels of the image
            that both predictions saw are compared.
        against: ``"pair"`` compares two shifts (the paper), ``"unshifted"`` one shift
            with none (its code).
        ignore: pixels that both predictions give this label are left out.

    Returns:
        A fraction in [0, 1], the mean over pairs and images of the fraction over
        pixels; an image without a pixel to compare is left out.

    Raises:
        ValueError: ``max_shift`` reaches the size of the image, fewer than one pair,
            an unknown ``against``, or labels of another shape.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> key = jax.random.key(1)
    >>> options = {"max_shift": 2, "pairs": 1}
    >>> threshold = lambda x: (x[..., 0] > 0).astype(int)  # pixel by pixel
    >>> float(measure.segmentation_consistency(threshold, x, key, **options))
    1.0
    """
    if against not in ("pair", "unshifted"):
        raise ValueError(f'against must be "pair" or "unshifted", got {against!r}')
    limit = min(x.shape[1:3])
    if pairs < 1 or max_shift < 0 or (not circular and max_shift >= limit):
        raise ValueError(
            f"expected pairs >= 1 and 0 <= max_shift < {limit} (the image size), "
            f"got pairs={pairs}, max_shift={max_shift}"
        )
    x = jnp.asarray(x)
    fractions = []
    for pair_key in jax.random.split(key, pairs):
        shape = (2, x.shape[0], 2)
        shifts = jax.random.randint(pair_key, shape, -max_shift, max_shift + 1)
        if against == "unshifted":
            shifts = shifts.at[1].set(0)
        first, second = (_unshifted_labels(predict, x, s, circular) for s in shifts)
        fractions.append(_agreement(first, second, ignore))
    return jnp.nanmean(jnp.stack(fractions))


def _unshifted_labels(
    predict: Predict, x: Array, shifts: Int[Array, "b 2"], circular: bool
) -> tuple[Int[Array, "b h w"], Bool[Array, "b h w"]]:
    """Labels in the coordinates of ``x``, and which pixels the prediction saw."""
    shifted = _roll(x, shifts)
    inside = jnp.ones(x.shape[:3], bool)
    if not circular:
        inside = jax.vmap(_stays, (None, 0))(x.shape[1:3], shifts)
        shifted = shifted * _roll(inside, shifts)[..., None]
    labels = jnp.asarray(predict(shifted))
    if labels.shape != x.shape[:3] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"predict must return integer labels of shape {x.shape[:3]}, "
            f"got {labels.dtype} {labels.shape}"
        )
    return _roll(labels, -shifts), inside


def _roll(x: Array, shifts: Int[Array, "b 2"]) -> Array:
    return jax.vmap(lambda image, shift: jnp.roll(image, shift, (0, 1)))(x, shifts)


def _stays(shape: tuple[int, int], shift: Int[Array, "2"]) -> Bool[Array, "h w"]:
    """Pixels of the image that are still in the frame after the shift."""
    masks = []
    for size, by in zip(shape, shift, strict=True):
        place = jnp.arange(size) + by
        masks.append((place >= 0) & (place < size))
    return masks[0][:, None] & masks[1][None, :]


def _agreement(
    first: tuple[Array, Array], second: tuple[Array, Array], ignore: int | None
) -> Float[Array, " b"]:
    counted = first[1] & second[1]
    if ignore is not None:
        counted = counted & ~((first[0] == ignore) & (second[0] == ignore))
    same = (first[0] == second[0]) & counted
    total = jnp.sum(counted, axis=(1, 2))
    return jnp.where(total > 0, jnp.sum(same, axis=(1, 2)) / total, jnp.nan)


def mean_iou(
    labels: Int[AnyArray, "..."],
    predictions: Int[AnyArray, "..."],
    num_classes: int,
    *,
    ignore: int | None = 255,
) -> Float[Array, ""]:
    """Mean intersection over union over the classes that occur.

    Args:
        labels: the truth, integers of any shape.
        predictions: integers of the same shape, over *all* images: the counts are
            pooled before the division.
        num_classes: ``K``; classes 0 to ``K - 1``.
        ignore: pixels of this true label are left out.

    Returns:
        A fraction in [0, 1]; nan when there is nothing to compare.

    Raises:
        ValueError: shapes that differ, or a label outside ``0 .. K - 1``.

    >>> import numpy as np
    >>> from eqnets import measure
    >>> truth, predicted = np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0])
    >>> float(measure.mean_iou(truth, predicted, 3))
    0.5
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise ValueError(f"shapes differ: {labels.shape} and {predictions.shape}")
    keep = np.ones(labels.shape, bool) if ignore is None else labels != ignore
    truth, guess = labels[keep].ravel(), predictions[keep].ravel()
    for name, values in (("labels", truth), ("predictions", guess)):
        if values.size and not (0 <= values.min() and values.max() < num_classes):
            raise ValueError(
                f"{name} must be in 0..{num_classes - 1}, "
                f"got {values.min()}..{values.max()}"
            )
    pairs = truth.astype(np.int64) * num_classes + guess
    counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, -1)
    intersection = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - intersection
    present = union > 0
    if not present.any():
        return jnp.asarray(jnp.nan)
    return jnp.asarray(np.mean(intersection[present] / union[present]), jnp.float32)
