"""The report of labels under shifts: plain data, a table, heat maps, a page."""

import base64
import dataclasses
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from .measurement import Guess
from .page import render
from .results import read, written
from .style import INK, MUTED, new_figure, picture_axes, plain_axes, to_svg
from .tables import text_table
from .wording import exact, number, percent, short_label

if TYPE_CHECKING:
    import matplotlib.figure

#: Written into every file; a reader refuses a format it does not know.
FORMAT = "eqnets-shifts-1"


@dataclasses.dataclass(frozen=True)
class ShiftCase:
    """The shift at which one image is taken for something else, or nearly.

    Attributes:
        image: its name.
        shift: ``(dy, dx)`` in pixels of the network's input.
        before: the likeliest class of the image as it is.
        after: the likeliest class of the shifted image.
        distance: total variation between the class probabilities, in [0, 1].
        pixels: the image, small.
    """

    image: str
    shift: tuple[int, int]
    before: Guess
    after: Guess
    distance: float
    pixels: UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class ShiftsMeasurement:
    """All that a report of labels under shifts shows.

    Attributes:
        model: what was measured.
        images: names of all images.
        size: height and width of the network's input, in pixels.
        rows: shifts down, in pixels.
        columns: shifts to the right, in pixels.
        changed: the fraction of images with another label, row by row.
        distance: the mean total variation between the class probabilities, likewise.
        worst: the worst shift of the worst images.
        settings: every option of the run.
        versions: of the libraries, and the device.
        command: the command line that gives these numbers.
        seconds: wall time of each stage.

    >>> import numpy as np
    >>> from eqnets import report
    >>> cat, dog = report.Guess("cat", 0.6), report.Guess("dog", 0.5)
    >>> pixels = np.zeros((4, 4, 3), np.uint8)
    >>> case = report.ShiftCase("a", (0, 1), cat, dog, 0.2, pixels)
    >>> m = report.ShiftsMeasurement(
    ...     model="net", images=("a",), size=(4, 4), rows=(0,), columns=(0, 1),
    ...     changed=np.array([0.0, 1.0]), distance=np.array([0.0, 0.2]), worst=(case,),
    ...     settings={}, versions={}, command="eqnets consistency", seconds={})
    >>> m.grid, m.invariant
    ((1, 2), False)
    >>> "dog" in report.shifts_table(m), "IMAGES 1" in report.shifts_lines(m)
    (True, True)
    >>> "<svg" in report.shifts_page(m)
    True
    """

    model: str
    images: tuple[str, ...]
    size: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    changed: Float[np.ndarray, " shifts"]
    distance: Float[np.ndarray, " shifts"]
    worst: tuple[ShiftCase, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    seconds: Mapping[str, float]

    @property
    def grid(self) -> tuple[int, int]:
        """How many shifts there are, down and across."""
        return len(self.rows), len(self.columns)

    @property
    def invariant(self) -> bool:
        """Whether no probability changed at any shift, to the last bit."""
        return not self.distance.any()

    def to_json(self) -> str:
        """Write the measurement as JSON.

        Raises:
            ValueError: a number is not finite.
        """
        tree = dataclasses.asdict(self)
        for name in ("changed", "distance"):
            tree[name] = tree[name].tolist()
        for case in tree["worst"]:
            shape, pixels = case["pixels"].shape, case["pixels"].tobytes()
            packed = base64.b64encode(zlib.compress(pixels, 9)).decode("ascii")
            case["pixels"] = {"shape": list(shape), "zlib": packed}
        return written(tree, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> "ShiftsMeasurement":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or of another format.
        """
        tree = read(text, FORMAT, "eqnets consistency")
        for name in ("images", "size", "rows", "columns"):
            tree[name] = tuple(tree[name])
        for name in ("changed", "distance"):
            tree[name] = np.array(tree[name], np.float64)
        tree["worst"] = tuple(_case(case) for case in tree["worst"])
        return cls(**tree)


def _case(tree: dict[str, Any]) -> ShiftCase:
    raw = zlib.decompress(base64.b64decode(tree["pixels"]["zlib"]))
    pixels = np.frombuffer(raw, np.uint8).reshape(tree["pixels"]["shape"])
    guesses = {name: Guess(**tree[name]) for name in ("before", "after")}
    return ShiftCase(
        **tree | guesses | {"shift": tuple(tree["shift"])} | {"pixels": pixels}
    )


def shifts_table(m: ShiftsMeasurement) -> str:
    """The worst cases, worst first."""
    header = ["worst cases", "shift down, right", "as it is", "p", "shifted", "p"]
    rows = [
        [
            case.image,
            f"{case.shift[0]:+d}, {case.shift[1]:+d}",
            short_label(case.before.label, 24),
            number(case.before.probability, 2),
            short_label(case.after.label, 24),
            number(case.after.probability, 2),
        ]
        for case in m.worst
    ]
    return text_table(header, rows, right=[3, 5])


def shifts_lines(m: ShiftsMeasurement) -> str:
    """One line a quantity, for machines to read."""
    return "\n".join(
        [
            f"SHIFTS {m.grid[0] * m.grid[1]} IMAGES {len(m.images)}",
            f"CHANGED mean {exact(float(m.changed.mean()))} "
            f"worst {exact(float(m.changed.max()))}",
            f"DISTANCE mean {exact(float(m.distance.mean()))} "
            f"worst {exact(float(m.distance.max()))}",
        ]
    )


def shifts_figure(m: ShiftsMeasurement) -> "matplotlib.figure.Figure":
    """Two heat maps by shift: labels that change, and how far the probabilities go."""
    figure = new_figure(7.4, 3.3)
    panels = figure.subplots(1, 2)
    extent = _extent(m)
    parts = ((m.changed, "images with another label"), (m.distance, "change of p"))
    for axes, (values, title) in zip(panels, parts, strict=True):
        plain_axes(axes)
        image = axes.imshow(
            values.reshape(m.grid),
            origin="lower",
            extent=extent,
            vmin=0,
            vmax=max(float(values.max()), 1e-9),
            cmap="Blues",
            interpolation="nearest",
        )
        axes.invert_yaxis()
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_xlabel("shift to the right, px", fontsize=8, color=INK)
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.ax.tick_params(labelsize=7, colors=MUTED, labelcolor=INK)
        bar.outline.set_visible(False)
    panels[0].set_ylabel("shift down, px", fontsize=8, color=INK)
    return figure


def _extent(m: ShiftsMeasurement) -> tuple[float, float, float, float]:
    """Where the heat map lies, half a step around the outermost shifts."""

    def ends(places: tuple[int, ...]) -> tuple[float, float]:
        half = (places[1] - places[0]) / 2 if len(places) > 1 else 0.5
        return places[0] - half, places[-1] + half

    return (*ends(m.columns), *ends(m.rows))


def cases_figure(m: ShiftsMeasurement) -> "matplotlib.figure.Figure":
    """The worst cases: the image as it is above, shifted below, with their labels."""
    figure = new_figure(7.4, 3.4)
    columns = figure.subplots(2, len(m.worst), squeeze=False).T
    for (upper, lower), case in zip(columns, m.worst, strict=True):
        scale = case.pixels.shape[0] / m.size[0]
        shift = tuple(round(d * scale) for d in case.shift)
        shown = ((upper, case.pixels, case.before), (lower, None, case.after))
        for axes, pixels, guess in shown:
            picture_axes(axes)
            moved = np.roll(case.pixels, shift, (0, 1)) if pixels is None else pixels
            axes.imshow(moved)
            name = short_label(guess.label, 18)
            text = f"{name} {number(guess.probability, 2)}"
            axes.set_title(text, fontsize=7, color=INK)
        label = f"{case.shift[0]:+d}, {case.shift[1]:+d} px"
        lower.set_xlabel(label, fontsize=7, color=INK)
    return figure


def shifts_page(m: ShiftsMeasurement) -> str:
    """The report as one self-contained HTML page; names are escaped."""
    drawn = {
        "shifts": to_svg(shifts_figure(m), "shifts"),
        "cases": to_svg(cases_figure(m), "cases"),
    }
    summary = {
        "changed": percent(float(m.changed.mean())),
        "worst": percent(float(m.changed.max())),
        "distance": number(float(m.distance.mean()), 3),
    }
    return render("shifts.html.jinja", drawn, m=m, summary=summary)
