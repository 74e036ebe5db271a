"""The report as one self-contained HTML page."""

import importlib.resources
from collections.abc import Mapping
from typing import Any

from . import figures
from .measurement import Measurement
from .style import to_svg
from .tables import shift_words
from .wording import (
    exact,
    lee_symbol,
    number,
    output_symbol,
    output_words,
    percent,
    pretty,
)

#: Up to this many images have their values in a table of the page.
TABLED_IMAGES = 200


def page(m: Measurement) -> str:
    """Build the report of a measurement: figures, tables, definitions, provenance.

    The page loads nothing: styles and figures are inside. Names of images, classes and
    models are escaped. The same measurement gives the same text.

    Args:
        m: what was measured, or ``Measurement.from_json`` of a results file.

    Returns:
        The text of an HTML file.
    """
    words = (exact, lee_symbol, number, output_words, percent, pretty, shift_words)
    return render(
        "page.html.jinja",
        _drawn(m),
        {f.__name__: f for f in words},
        m=m,
        p=output_symbol(m.readout),
        stencils=sorted({e.stencil for e in m.lee.values() if e.stencil}),
        tabled=TABLED_IMAGES,
        full=figures.FULL,
        curved=next((len(c.slope) for c in m.curves.values()), 0),
    )


def render(
    template: str, drawn: Mapping[str, str], filters: Mapping[str, Any], **values: Any
) -> str:
    """Fill a template of this package with the style, figures (SVG) and values."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    folder = importlib.resources.files(__package__)
    source, style = (
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in (template, "page.css")
    )
    svg = {name: Markup(text) for name, text in drawn.items()}
    return environment.from_string(source).render(
        svg=svg, style=Markup(style), **values
    )


def _drawn(m: Measurement) -> dict[str, str]:
    """Every figure that the measurement has data for, as SVG."""
    drawn = {"bars": figures.lee_bars(m), "photographs": figures.photographs(m)}
    if m.curves:
        drawn["responses"] = figures.responses(m)
    if m.pictures.maps:
        drawn["maps"] = figures.error_maps(m)
    return {name: to_svg(figure, name) for name, figure in drawn.items()}
