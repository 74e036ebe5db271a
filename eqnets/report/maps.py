"""The report of equivariance maps: plain data, a table, a figure, a page."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .page import render
from .results import read, written
from .style import ACCENT, INK, MUTED, SERIES, new_figure, plain_axes, to_svg
from .tables import text_table
from .wording import number, percent

if TYPE_CHECKING:
    import matplotlib.figure

#: Written into every file; a reader refuses a format it does not know.
FORMAT = "eqnets-maps-1"


@dataclasses.dataclass(frozen=True)
class LayerMaps:
    """What undoing the transformation at one layer does.

    Attributes:
        layer: its path.
        shape: of its features, without the batch.
        permuted: fraction of labels that change if the sites alone are moved.
        mapped: the same with M.
        permuted_fvu: fraction of the features' variance unexplained by moving sites.
        mapped_fvu: the same with M.
    """

    layer: str
    shape: tuple[int, ...]
    permuted: float
    mapped: float
    permuted_fvu: float
    mapped_fvu: float


@dataclasses.dataclass(frozen=True)
class MapsMeasurement:
    """All that a report of equivariance maps shows.

    Attributes:
        model: what was cut.
        transform: its name on the command line.
        fitted: how many images the maps were fitted to.
        measured: names of the others.
        size: height and width of the network's input.
        m: side of the filters.
        transformed: fraction of labels that change if nothing is undone.
        layers: in the order they were named.
        settings: every option of the run.
        versions: of the libraries, and the device.
        command: the command line that gives these numbers.
        seconds: wall time of each stage.

    >>> from eqnets import report
    >>> layer = report.LayerMaps("stage1", (8, 8, 4), 0.25, 0.125, 0.9, 0.2)
    >>> m = report.MapsMeasurement(
    ...     model="net", transform="hflip", fitted=10, measured=("a", "b"), size=(8, 8),
    ...     m=3, transformed=0.5, layers=(layer,), settings={}, versions={},
    ...     command="eqnets maps hflip", seconds={})
    >>> "stage1" in report.maps_table(m), "<svg" in report.maps_page(m)
    (True, True)
    """

    model: str
    transform: str
    fitted: int
    measured: tuple[str, ...]
    size: tuple[int, int]
    m: int
    transformed: float
    layers: tuple[LayerMaps, ...]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    seconds: Mapping[str, float]

    def to_json(self) -> str:
        """Write the measurement as JSON.

        Raises:
            ValueError: a number is not finite.
        """
        return written(dataclasses.asdict(self), FORMAT)

    @classmethod
    def from_json(cls, text: str) -> "MapsMeasurement":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or of another format.
        """
        tree = read(text, FORMAT, "eqnets maps")
        rows = tuple(
            LayerMaps(**r | {"shape": tuple(r["shape"])}) for r in tree["layers"]
        )
        sizes = {"size": tuple(tree["size"]), "measured": tuple(tree["measured"])}
        return cls(**tree | sizes | {"layers": rows})


def maps_table(m: MapsMeasurement) -> str:
    """Labels that change and variance unexplained, by layer."""
    header = ["undone at", "features", "label changed, P", "M", "unexplained, P", "M"]
    rows = [["nowhere", "-", percent(m.transformed), "-", "-", "-"]]
    rows += [
        [
            r.layer,
            " x ".join(map(str, r.shape)),
            percent(r.permuted),
            percent(r.mapped),
            number(r.permuted_fvu, 3),
            number(r.mapped_fvu, 3),
        ]
        for r in m.layers
    ]
    return text_table(header, rows, right=[2, 3, 4, 5])


def maps_figure(m: MapsMeasurement) -> "matplotlib.figure.Figure":
    """Both measures over the layers, P beside M."""
    figure = new_figure(7.4, 2.9)
    place = np.arange(len(m.layers))
    panels = figure.subplots(1, 2)
    parts = (("", "labels changed"), ("_fvu", "variance unexplained"))
    for axes, (ending, label) in zip(panels, parts, strict=True):
        plain_axes(axes, grid="y")
        for kind, name, colour in (("permuted", "P", ACCENT), ("mapped", "M", SERIES)):
            values = [getattr(r, kind + ending) for r in m.layers]
            axes.plot(place, values, marker="o", markersize=4, color=colour, label=name)
        axes.set_xticks(place, [r.layer for r in m.layers], rotation=30, ha="right")
        axes.set_ylabel(label, fontsize=9, color=INK)
        axes.set_ylim(bottom=0)
    panels[0].axhline(m.transformed, color=MUTED, linestyle="--", linewidth=1)
    panels[1].axhline(1.0, color=MUTED, linestyle=":", linewidth=1)
    panels[0].legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def maps_page(m: MapsMeasurement) -> str:
    """The report as one self-contained HTML page; names are escaped."""
    drawn = {"layers": to_svg(maps_figure(m), "layers")}
    return render("maps.html.jinja", drawn, m=m)
