"""Photographs as arrays."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from .extras import extra_package
from .paths import existing_file, existing_folder

# Each image of a list has its own size, so these axes have no names.
Image = UInt8[np.ndarray, "_ _ 3"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

# Of scikit-image's collection the photographs: no drawings, scans, micrographs or
# masks, and one of the two views of the motorcycle.
_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)


def load_images(folder: str | os.PathLike[str]) -> tuple[list[str], list[Image]]:
    """Read the image files of a folder, sorted by name; see `load_image`.

    Files that begin with a dot, files of other kinds and subfolders are left out.

    Args:
        folder: the folder; images are the files that end in `SUFFIXES`.

    Returns:
        The names of the files, and uint8 arrays ``[H, W, 3]``.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is a file.
        ValueError: it holds no image, or one cannot be read.
        ImportError: the package Pillow is missing.

    >>> import tempfile
    >>> from PIL import Image
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", "a.png"):
    ...         Image.new("RGB", (3, 2)).save(f"{folder}/{name}")
    ...     names, images = io.load_images(folder)
    >>> names, [x.shape for x in images]
    (['a.png', 'b.png'], [(2, 3, 3), (2, 3, 3)])
    """
    folder = existing_folder(folder)
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES
        and not file.name.startswith(".")
        and file.is_file()
    )
    if not files:
        raise ValueError(
            f"there are no images in the folder {str(folder)!r}; expected files that "
            f"end in {', '.join(SUFFIXES)}"
        )
    return [file.name for file in files], [load_image(file) for file in files]


def load_image(path: str | os.PathLike[str]) -> Image:
    """Read an image file as uint8 ``[H, W, 3]``, upright.

    The rotation in the EXIF data is carried out. Grey becomes three equal channels, and
    16 bits become 8, 65535 being white. Palettes are looked up. Transparent pixels are
    composited on white. Of an animation the first frame is taken.

    Raises:
        FileNotFoundError, IsADirectoryError: ``path`` is not a file.
        ValueError: the file is damaged or of another kind.
        ImportError: the package Pillow is missing.

    >>> import tempfile
    >>> from PIL import Image
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (3, 2), 7).save(f"{folder}/grey.png")
    ...     pixels = io.load_image(f"{folder}/grey.png")
    >>> pixels.shape, pixels[0, 0].tolist()
    ((2, 3, 3), [7, 7, 7])
    """
    file = existing_file(path)
    pillow = extra_package("PIL.Image", "demo")
    turn = extra_package("PIL.ImageOps", "demo").exif_transpose
    try:
        with pillow.open(file) as image:
            return np.array(_as_colour(turn(image), pillow))
    # Pillow raises many kinds of errors for damaged files.
    except Exception as error:
        raise ValueError(
            f"cannot read the image {str(file)!r} ({error}); it may be truncated or of "
            "another kind, so convert it to PNG or JPEG, or remove it"
        ) from error


def sample_photographs() -> tuple[list[str], list[Image]]:
    """Read the photographs that come with scikit-image, without a network.

    Returns:
        Names such as ``"chelsea"``, sorted, and uint8 arrays ``[H, W, 3]`` of many
        sizes; some are grey, in three equal channels.

    Raises:
        ImportError: scikit-image or Pillow is missing.

    >>> from eqnets import io
    >>> names, photographs = io.sample_photographs()
    >>> len(names), photographs[names.index("chelsea")].shape
    (14, (300, 451, 3))
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ImportError(
            "the photographs are in the package 'scikit-image', which is not "
            "installed; install it with pip install 'eqnets[demo]', or give a folder "
            "of images"
        )
    folder = Path(spec.origin).parent / "data"
    images = [load_image(folder / name) for name in _PHOTOGRAPHS]
    return [Path(name).stem for name in _PHOTOGRAPHS], images


def _as_colour(image, pillow: ModuleType):
    """The same picture in RGB, transparency composited on white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image, pillow)
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBa"):
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        white = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(white, image)
    return image.convert("RGB")


def _from_deep_grey(image, pillow: ModuleType):
    # Pillow's own conversion cuts off at 255 instead of scaling.
    if image.mode == "F":
        raise ValueError("its pixels are real numbers, of no known range")
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels are beyond 16 bits")
    grey = (values * 255 + 32767) // 65535  # to the nearest
    return pillow.fromarray(grey.astype(np.uint8)).convert("RGB")
