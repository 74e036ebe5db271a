"""From photographs to the input of a pretrained network."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from ..io.extras import extra_package

# Each image of a sequence has its own size, so these axes have no names.
Image = UInt8[np.ndarray, "_ _ 3"]
Images = UInt8[np.ndarray, "b _ _ 3"] | Sequence[Image]


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """Scale the shorter side to ``resize``, crop the centre, and shift the values.

    ``y = (crop(bicubic(x)) - mean) / scale``, with ``x`` from 0 to 255. Pillow's
    bicubic filter widens when it shrinks an image, so there is no aliasing.

    Attributes:
        size: the side of the square crop in pixels.
        resize: the shorter side before the crop in pixels; the longer one is rounded
            to the nearest pixel, and an odd pixel around the crop is above and left.
        mean: subtracted; one number, or one for each colour.
        scale: divides; the same.

    >>> import numpy as np
    >>> from eqnets import models
    >>> preprocess = models.Preprocess(size=224, resize=256, mean=127.0, scale=128.0)
    >>> photograph = np.full((300, 400, 3), 255, np.uint8)
    >>> preprocess(photograph).shape, preprocess([photograph] * 2).shape
    ((224, 224, 3), (2, 224, 224, 3))
    >>> float(preprocess(photograph).max())
    1.0
    """

    size: int
    resize: int
    mean: float | tuple[float, float, float]
    scale: float | tuple[float, float, float]

    def __call__(
        self, images: Image | Images
    ) -> Float[np.ndarray, "s s 3"] | Float[np.ndarray, "b s s 3"]:
        """Map one uint8 image ``[H, W, 3]``, or several, to float32 ``[B, S, S, 3]``.

        Args:
            images: an image, a batch of them, or a sequence of images of any sizes.

        Returns:
            ``[S, S, 3]`` for one image, else ``[B, S, S, 3]``, S being ``size``.

        Raises:
            TypeError: an image is not an array of uint8.
            ValueError: an image is not ``[H, W, 3]``, or there is none.
            ImportError: the package Pillow is missing.
        """
        if isinstance(images, np.ndarray) and images.ndim == 3:
            return self.normalize(self.crop(images))
        if len(images) == 0:
            raise ValueError("there is no image to preprocess; give one or more")
        return self.normalize(np.stack([self.crop(image) for image in images]))

    def crop(self, image: Image) -> UInt8[np.ndarray, "s s 3"]:
        """Resize and crop one image: what the network sees, still to look at.

        Raises:
            TypeError: the image is not an array of uint8.
            ValueError: the image is not ``[H, W, 3]``.
            ImportError: the package Pillow is missing.
        """
        _check(image)
        pillow = extra_package("PIL.Image", "demo")
        height, width = image.shape[:2]
        short = min(height, width)
        shape = [round(self.resize * n / short) for n in (height, width)]
        resized = pillow.fromarray(image).resize(shape[::-1], pillow.Resampling.BICUBIC)
        top, left = ((n - self.size + 1) // 2 for n in shape)
        box = (left, top, left + self.size, top + self.size)
        return np.array(resized.crop(box))

    def normalize(
        self, images: UInt8[np.ndarray, "*b s s 3"]
    ) -> Float[np.ndarray, "*b s s 3"]:
        """Return ``(images - mean) / scale`` in float32."""
        mean, scale = np.float32(self.mean), np.float32(self.scale)
        return (images.astype(np.float32) - mean) / scale


def _check(image: object) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"expected an image as a NumPy array of uint8 (0 to 255), got {found}"
        )
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"expected an image [H, W, 3], got {list(image.shape)}; "
            "eqnets.io.load_images reads grey and transparent files as colour"
        )
