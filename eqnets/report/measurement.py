"""What one measurement found, as plain data that survives a round trip through JSON."""

import base64
import dataclasses
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from .results import read, written

#: Written into every file; a reader refuses a format it does not know.
FORMAT = "eqnets-measurement-1"


@dataclasses.dataclass(frozen=True)
class ActionError:
    """The local equivariance error of one action.

    Attributes:
        mean: LEE, the mean over images, per squared unit of the action (per unit for
            the norm ``mean_abs``).
        stderr: standard error of the mean over images; nan for one image.
        per_image: the value of each image.
        stencil: the named stencil the generator was computed with, None for an
            action that needs none.
        units: the units of the action's parameter t.
    """

    mean: float
    stderr: float
    per_image: Float[np.ndarray, " images"]
    stencil: str | None
    units: str


@dataclasses.dataclass(frozen=True)
class Curve:
    """The response ``|f(rho(t) x) - f(x)|`` of the first photographs to one action.

    Attributes:
        t: flow times, in the units of the action.
        distance: Euclidean distance of the outputs, for each time and photograph.
        slope: ``|L f(x)|``, the slope at t = 0, for each photograph.
    """

    t: Float[np.ndarray, " times"]
    distance: Float[np.ndarray, "times few"]
    slope: Float[np.ndarray, " few"]


@dataclasses.dataclass(frozen=True)
class Consistency:
    """The fraction of pairs of shifted copies that get the same label.

    Attributes:
        fraction: in [0, 1].
        max_shift: the largest shift, in pixels.
        pairs: pairs of shifts drawn for each image.
        size: side of the image that is shifted, in pixels.
        crop: side of the window cut out of it; None for circular shifts.
    """

    fraction: float
    max_shift: int
    pairs: int
    size: int
    crop: int | None = None


@dataclasses.dataclass(frozen=True)
class Guess:
    """One of the classes a network takes a photograph for.

    Attributes:
        label: the name of the class.
        probability: that the network gives it, in [0, 1].
    """

    label: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The photographs shown in the figures, as the network sees them.

    Attributes:
        names: their names.
        pixels: the preprocessed input, rescaled linearly from ``limits`` to 0 ... 255.
        limits: the smallest and the largest input value.
        block: side in pixels of the blocks that the maps are summed over.
        maps: by action, the signed contribution of each block to ``|L f(x)|``, for the
            first of these photographs.
    """

    names: tuple[str, ...]
    pixels: UInt8[np.ndarray, "shown height width channels"]
    limits: tuple[float, float]
    block: int
    maps: dict[str, Float32[np.ndarray, "few rows columns"]]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """All that a report shows; `report.page` needs nothing else.

    Attributes:
        model: what was measured.
        images: names of all images measured.
        size: height and width of the network's input, in pixels.
        readout: the function of the network that was measured.
        norm: how one image's Lie derivative became one number.
        lee: local equivariance error, by action.
        top: the likeliest classes of each image, likeliest first.
        circular: consistency under circular shifts of the network's input.
        crop: consistency under shifts of a crop window; None where it could not be
            measured, and ``crop_reason`` says why.
        crop_reason: empty where ``crop`` is given.
        curves: response curves of the photographs shown, by action.
        pictures: the photographs shown and their error maps.
        settings: every option of the run.
        versions: of the libraries, and the device.
        command: the command line that gives these numbers.
        seed: of the random shifts.
        seconds: wall time of each stage.

    >>> import numpy as np
    >>> from eqnets import report
    >>> error = report.ActionError(
    ...     2.0, 1.0, np.array([1.0, 3.0]), "fourier_even", "radians")
    >>> m = report.Measurement(
    ...     model="net", images=("a", "b"), size=(4, 4), readout="probs",
    ...     norm="squared", lee={"rotation": error},
    ...     top=((report.Guess("cat", 0.9),),) * 2,
    ...     circular=report.Consistency(0.5, 3, 5, 4), crop=None, crop_reason="small",
    ...     curves={}, pictures=report.Pictures(
    ...         ("a",), np.zeros((1, 4, 4, 3), np.uint8), (0.0, 1.0), 2, {}),
    ...     settings={}, versions={}, command="eqnets measure", seed=0, seconds={})
    >>> m = report.Measurement.from_json(m.to_json())  # as `eqnets measure` keeps it
    >>> report.lee_lines(m)
    'LEE rotation 2 +- 1'
    >>> print(report.lee_table(m).partition("shift")[0].rstrip())
    LEE = mean over images of |Lp|²; 2 images
    <BLANKLINE>
    action      LEE  std. error  stencil       t
    --------  -----  ----------  ------------  -------
    rotation  2.000         1.0  fourier_even  radians
    >>> print(report.top_table(m.images, m.top))
    image  1.
    -----  ---------
    a      cat 0.900
    b      cat 0.900
    >>> "<svg" in report.page(m)
    True
    """

    model: str
    images: tuple[str, ...]
    size: tuple[int, int]
    readout: str
    norm: str
    lee: dict[str, ActionError]
    top: tuple[tuple[Guess, ...], ...]
    circular: Consistency
    crop: Consistency | None
    crop_reason: str
    curves: dict[str, Curve]
    pictures: Pictures
    settings: dict[str, Any]
    versions: dict[str, str]
    command: str
    seed: int
    seconds: dict[str, float]

    def to_json(self) -> str:
        """Write the measurement as JSON.

        Arrays of float64 are readable lists; the pixels (uint8) and maps (float32) of
        the figures are zlib streams in base 64. An undefined standard error (one
        image) is null.

        Raises:
            ValueError: another number is not finite.
        """
        return written(_encode(self), FORMAT)

    @classmethod
    def from_json(cls, text: str) -> "Measurement":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or of another format.
        """
        tree = read(text, FORMAT, "eqnets measure")
        return _decode_measurement(tree)


def block_sums(
    maps: Float[np.ndarray, "images height width"], *, block: int
) -> Float[np.ndarray, "images rows columns"]:
    """Sum maps over square blocks of pixels, the last ones smaller where need be.

    Every pixel is in one block, so the total of a map stays what it was.

    Raises:
        ValueError: ``block`` is below 1.

    >>> import numpy as np
    >>> from eqnets import report
    >>> report.block_sums(np.ones((1, 3, 4)), block=2)
    array([[[4., 4.],
            [2., 2.]]])
    """
    if block < 1:
        raise ValueError(f"a block has a side of at least 1 pixel, not {block}")
    height, width = maps.shape[1:]
    padded = np.pad(maps, ((0, 0), (0, -height % block), (0, -width % block)))
    rows, columns = padded.shape[1] // block, padded.shape[2] // block
    return padded.reshape(-1, rows, block, columns, block).sum((2, 4))


def to_pixels(
    x: Float[np.ndarray, "images height width channels"],
) -> tuple[UInt8[np.ndarray, "images height width channels"], tuple[float, float]]:
    """Rescale a network's input linearly to 0 ... 255; also the limits it had.

    One scale for all images, so that nothing is clipped and they stay comparable.

    >>> import numpy as np
    >>> from eqnets import report
    >>> x = np.array([-1.0, 0.0, 1.0]).reshape(1, 1, 3, 1)
    >>> pixels, limits = report.to_pixels(x)
    >>> pixels.ravel(), limits
    (array([  0, 128, 255], dtype=uint8), (-1.0, 1.0))
    """
    low, high = float(x.min()), float(x.max())
    span = high - low if high > low else 1.0
    pixels = np.round((np.asarray(x, np.float64) - low) * (255.0 / span))
    return pixels.astype(np.uint8), (low, high)


def _pack(array: np.ndarray) -> dict[str, Any]:
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    stream = base64.b64encode(zlib.compress(array.tobytes(), 9)).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "zlib": stream}


def _unpack(tree: Mapping[str, Any]) -> np.ndarray:
    raw = zlib.decompress(base64.b64decode(tree["zlib"]))
    dtype = np.dtype(tree["dtype"]).newbyteorder("<")
    array = np.frombuffer(raw, dtype).reshape(tree["shape"])
    return array.astype(dtype.newbyteorder("="))


def _encode(value: Any) -> Any:
    """Turn dataclasses, mappings, sequences and arrays into what JSON can hold."""
    if dataclasses.is_dataclass(value):
        tree = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        if isinstance(value, ActionError) and math.isnan(value.stderr):
            tree["stderr"] = None
        return _encode(tree)
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype == np.float64 else _pack(value)
    return value


def _array(tree: Any) -> np.ndarray:
    return _unpack(tree) if isinstance(tree, Mapping) else np.asarray(tree, np.float64)


def _decode_measurement(tree: Mapping[str, Any]) -> Measurement:
    plain = {f.name: tree[f.name] for f in dataclasses.fields(Measurement)}
    crop, pictures = tree["crop"], tree["pictures"]
    return Measurement(
        **plain
        | {
            "images": tuple(tree["images"]),
            "size": tuple(tree["size"]),
            "lee": {name: _decode_lee(e) for name, e in tree["lee"].items()},
            "top": tuple(tuple(Guess(**g) for g in guesses) for guesses in tree["top"]),
            "circular": Consistency(**tree["circular"]),
            "crop": None if crop is None else Consistency(**crop),
            "curves": {name: _decode_curve(c) for name, c in tree["curves"].items()},
            "pictures": _decode_pictures(pictures),
        }
    )


def _decode_lee(tree: Mapping[str, Any]) -> ActionError:
    stderr = math.nan if tree["stderr"] is None else tree["stderr"]
    return ActionError(
        **{**tree, "stderr": stderr, "per_image": _array(tree["per_image"])}
    )


def _decode_curve(tree: Mapping[str, Any]) -> Curve:
    return Curve(**{name: _array(values) for name, values in tree.items()})


def _decode_pictures(tree: Mapping[str, Any]) -> Pictures:
    return Pictures(
        names=tuple(tree["names"]),
        pixels=_array(tree["pixels"]),
        limits=tuple(tree["limits"]),
        block=tree["block"],
        maps={name: _array(packed) for name, packed in tree["maps"].items()},
    )
