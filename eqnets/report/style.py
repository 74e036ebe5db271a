"""The look of the figures: one set of colours, themed by the page they are put in."""

import io
import re
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

# Colours of a light page. In `to_svg` each becomes a CSS variable with itself as the
# fallback, so that a page can redefine them for a dark screen.
INK = "#1c2126"
MUTED = "#5d6873"
GRID = "#d9dee3"
SERIES = "#2f6f9f"
ACCENT = "#c4511d"
SOFT = "#b9d3e6"
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    SERIES: "series",
    ACCENT: "accent",
    SOFT: "soft",
}

_RC = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # it comes with matplotlib; pages use their own
    "font.size": 9.0,
    "axes.unicode_minus": True,
}


def new_figure(width: float, height: float) -> "matplotlib.figure.Figure":
    """Make a figure of a size in inches, outside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: "matplotlib.axes.Axes", *, grid: str = "") -> None:
    """Thin ticks, two spines, a faint grid along ``grid`` ("x", "y", "both" or "")."""
    axes.patch.set_alpha(0.0)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.6)
    axes.tick_params(colors=MUTED, labelcolor=INK, width=0.6, length=3, labelsize=8)
    axes.minorticks_off()
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.6)


def picture_axes(axes: "matplotlib.axes.Axes") -> None:
    """Axes that hold a picture: no ticks and no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.patch.set_alpha(0.0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def diverging(
    values: Float[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape 4"]:
    """Colours (RGBA in [0, 1]) of values in [-1, 1]: blue below 0, orange above.

    The opacity is the magnitude, so that the picture underneath shows through at 0.
    """
    below, above = np.array([0.13, 0.40, 0.67]), np.array([0.77, 0.28, 0.07])
    magnitude = np.abs(values)[..., None]
    rgb = np.where(values[..., None] < 0, below, above)
    return np.concatenate([rgb, magnitude], -1)


def to_svg(figure: "matplotlib.figure.Figure", name: str, *, dpi: int = 144) -> str:
    """Draw a figure as an ``<svg>`` element that can stand inside an HTML page.

    The text stays text, in the page's font. Identifiers start with ``name``, which
    has to differ between the figures of a page. The same figure gives the same bytes.

    Args:
        figure: what to draw.
        name: letters and digits, unique on the page.
        dpi: resolution of the pictures inside.

    >>> from matplotlib.figure import Figure
    >>> from eqnets import report
    >>> figure = Figure(figsize=(1, 1))
    >>> _ = figure.text(0.1, 0.5, "rotation")
    >>> svg = report.to_svg(figure, "one")
    >>> svg[:4], "rotation" in svg, "http" in svg
    ('<svg', True, False)
    """
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context(_RC | {"svg.hashsalt": name}):
        figure.savefig(
            text, format="svg", dpi=dpi, transparent=True, metadata={"Date": None}
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    # HTML knows these namespaces without being told.
    svg = re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r"font-family: [^;\"]*(; )?", "", svg)
    svg = re.sub(r"font: (?:\S+ )?([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable}, {colour})")
    return svg
