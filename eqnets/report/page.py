"""The report as one self-contained HTML page."""

import importlib.resources
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
    return render(
        "page.html.jinja",
        _drawn(m),
        m=m,
        p=output_symbol(m.readout),
        stencils=sorted({e.stencil for e in m.lee.values() if e.stencil}),
        tabled=TABLED_IMAGES,
        full=figures.FULL,
        curved=next((len(c.slope) for c in m.curves.values()), 0),
    )


def render(template: str, svg: dict[str, str], **values: Any) -> str:
    """Fill a template of this package.

    Args:
        template: its file.
        svg: figures, which are not escaped.
        **values: what else the template reads; texts are escaped.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (exact, lee_symbol, number, output_words, percent, pretty, shift_words)
    environment.filters.update({f.__name__: f for f in words})
    figures = {name: Markup(text) for name, text in svg.items()}
    return environment.get_template(template).render(svg=figures, **values)


def _source(name: str) -> str:
    file = importlib.resources.files(__package__).joinpath(name)
    return file.read_text(encoding="utf-8")


def _drawn(m: Measurement) -> dict[str, str]:
    """Every figure that the measurement has data for, as SVG."""
    drawn = {"bars": figures.lee_bars(m), "photographs": figures.photographs(m)}
    if m.curves:
        drawn["responses"] = figures.responses(m)
    if m.pictures.maps:
        drawn["maps"] = figures.error_maps(m)
    return {name: to_svg(figure, name) for name, figure in drawn.items()}
