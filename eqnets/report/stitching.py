"""The report of stitches between two networks: plain data, heat maps, a page."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from .heat_map import heat_map
from .page import render
from .results import read, written
from .style import INK, new_figure, to_svg

if TYPE_CHECKING:
    import matplotlib.figure

#: Written into every file; a reader refuses a format it does not know.
FORMAT = "eqnets-stitch-1"
#: An untrained donor that errs so much more is as good: a point.
AS_GOOD = 0.01
#: What the controls are called on the page, in this order.
STITCH_CONTROLS = {
    "identity": "the donor's features as they are",
    "random_donor": "an untrained donor",
    "clustered_noise": "noise that knows the class",
    "noise": "noise",
}


@dataclasses.dataclass(frozen=True)
class StitchControl:
    """What a donor that proves nothing reaches.

    Attributes:
        error: ``[La, Lb]``, nan where there is nothing to measure.
        fvu: the unexplained variance, the same.
    """

    error: Float[np.ndarray, "la lb"]
    fvu: Float[np.ndarray, "la lb"]


@dataclasses.dataclass(frozen=True)
class StitchMeasurement:
    """All that a report of stitches shows; rows are donors, columns receivers.

    Attributes:
        receiver: the network whose rest is used.
        donor: the network whose front is used.
        layers: of the receiver.
        donor_layers: of the donor.
        fitted: how many images the filters were fitted to.
        measured: how many others were measured on.
        size: height and width of the input.
        labels_given: whether labels were given; else they are what the receiver says.
        clean: error of the receiver itself.
        errors: of every stitch by seed, ``[S, La, Lb]``.
        fvus: unexplained variance of the receiver's features, ``[S, La, Lb]``.
        flagged: stitches that explain no more than noise that knows the class.
        controls: by name; never empty.
        settings: every option of the run.
        versions: of the libraries, and the device.
        command: the command line that gives these numbers.
        seed: of all that is random.
        seconds: wall time of each stage.

    >>> import numpy as np
    >>> from eqnets import report
    >>> one = report.StitchControl(np.array([[0.5]]), np.array([[0.9]]))
    >>> m = report.StitchMeasurement(
    ...     receiver="b", donor="a", layers=("y",), donor_layers=("x",), fitted=8,
    ...     measured=2, size=(4, 4), labels_given=True, clean=0.0,
    ...     errors=np.array([[[0.1]], [[0.3]]]), fvus=np.array([[[0.2]], [[0.2]]]),
    ...     flagged=np.array([[False]]),
    ...     controls=dict.fromkeys(report.STITCH_CONTROLS, one),
    ...     settings={}, versions={}, command="eqnets stitch", seed=0, seconds={})
    >>> m.error.round(3).tolist(), "<svg" in report.stitch_page(m)
    ([[0.2]], True)
    """

    receiver: str
    donor: str
    layers: tuple[str, ...]
    donor_layers: tuple[str, ...]
    fitted: int
    measured: int
    size: tuple[int, ...]
    labels_given: bool
    clean: float
    errors: Float[np.ndarray, "s la lb"]
    fvus: Float[np.ndarray, "s la lb"]
    flagged: Bool[np.ndarray, "la lb"]
    controls: Mapping[str, StitchControl]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    seed: int
    seconds: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.controls) != set(STITCH_CONTROLS):
            needed, given = (", ".join(c) for c in (STITCH_CONTROLS, self.controls))
            raise ValueError(
                f"stitches are shown with the controls {needed}; got {given or 'none'}"
            )

    @property
    def error(self) -> Float[np.ndarray, "la lb"]:
        """Mean error over seeds."""
        return self.errors.mean(0)

    @property
    def fvu(self) -> Float[np.ndarray, "la lb"]:
        """Mean unexplained variance over seeds."""
        return self.fvus.mean(0)

    @property
    def as_good(self) -> int:
        """Stitches that an untrained donor does as well, but for a point."""
        return int((self.controls["random_donor"].error <= self.error + AS_GOOD).sum())

    def to_json(self) -> str:
        """Write the measurement as JSON; null where nothing is measured.

        Raises:
            ValueError: a number is infinite.
        """
        return written(_listed(dataclasses.asdict(self)), FORMAT)

    @classmethod
    def from_json(cls, text: str) -> "StitchMeasurement":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or of another format.
        """
        tree = read(text, FORMAT, "eqnets stitch")
        controls = {
            name: StitchControl(*(np.array(c[k], float) for k in ("error", "fvu")))
            for name, c in tree["controls"].items()
        }
        arrays = {k: np.array(tree[k], float) for k in ("errors", "fvus")}
        arrays["flagged"] = np.array(tree["flagged"], bool)
        tuples = {k: tuple(tree[k]) for k in ("layers", "donor_layers", "size")}
        return cls(**tree | arrays | tuples | {"controls": controls})


def _listed(tree: Any) -> Any:
    """Arrays as lists, nan as None."""
    if isinstance(tree, dict):
        return {name: _listed(value) for name, value in tree.items()}
    if isinstance(tree, np.ndarray):
        return _listed(tree.tolist())
    if isinstance(tree, list):
        return [_listed(value) for value in tree]
    return None if isinstance(tree, float) and math.isnan(tree) else tree


def stitch_rows(
    m: StitchMeasurement,
) -> list[tuple[str, tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]]:
    """Every matrix: its title, names of the rows, errors, unexplained, flags.

    Noise has one row: it has no layers.
    """
    plain = np.zeros_like(m.flagged)
    rows = [("the donor", m.donor_layers, m.error, m.fvu, m.flagged)]
    for name, title in STITCH_CONTROLS.items():
        control = m.controls[name]
        if "noise" in name:
            one = (control.error[:1], control.fvu[:1], ~plain[:1])
            rows.append((title, ("for any layer",), *one))
        else:
            rows.append((title, m.donor_layers, control.error, control.fvu, plain))
    return rows


def stitch_figure(m: StitchMeasurement) -> "matplotlib.figure.Figure":
    """Errors left, unexplained variance right; the donor, and below every control."""
    parts = stitch_rows(m)
    heights = [len(names) for _, names, *_ in parts]
    figure = new_figure(7.4, 0.32 * sum(heights) + 0.25 * len(parts) + 0.9)
    panels = figure.subplots(
        len(parts), 2, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    for line, (title, names, error, fvu, flags) in zip(panels, parts, strict=True):
        shown = ((error, _errors(error, flags)), (fvu, _fractions(fvu)))
        for axes, (values, words) in zip(line, shown, strict=True):
            heat_map(axes, values, names, m.layers, words=words)
            axes.set_title(title, fontsize=8, color=INK, loc="left")
    for axes, label in zip(panels[-1], ("error, %", "unexplained"), strict=True):
        axes.set_xlabel(label, fontsize=9, color=INK)
    return figure


def _errors(error: np.ndarray, flags: np.ndarray) -> list[list[str]]:
    return [
        [
            "" if math.isnan(v) else f"{100 * v:.1f}{'!' if flag else ''}"
            for v, flag in zip(*row, strict=True)
        ]
        for row in zip(error, flags, strict=True)
    ]


def _fractions(fvu: np.ndarray) -> list[list[str]]:
    return [["" if math.isnan(v) else f"{v:.2f}" for v in row] for row in fvu]


def stitch_page(m: StitchMeasurement) -> str:
    """The report as one self-contained HTML page; names are escaped."""
    drawn = {"matrices": to_svg(stitch_figure(m), "matrices")}
    return render("stitching.html.jinja", drawn, m=m, rows=stitch_rows(m))
