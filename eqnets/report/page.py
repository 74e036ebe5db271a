"""The report as one self-contained HTML page."""

import importlib.resources

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
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (exact, lee_symbol, number, output_words, percent, pretty, shift_words)
    environment.filters.update({f.__name__: f for f in words})
    source = importlib.resources.files(__package__).joinpath("page.html.jinja")
    template = environment.from_string(source.read_text(encoding="utf-8"))
    svg = {name: Markup(text) for name, text in _drawn(m).items()}
    return template.render(
        m=m,
        svg=svg,
        p=output_symbol(m.readout),
        stencils=sorted({e.stencil for e in m.lee.values() if e.stencil}),
        tabled=TABLED_IMAGES,
        full=figures.FULL,
        curved=next((len(c.slope) for c in m.curves.values()), 0),
    )


def _drawn(m: Measurement) -> dict[str, str]:
    """Every figure that the measurement has data for, as SVG."""
    drawn = {"bars": figures.lee_bars(m), "photographs": figures.photographs(m)}
    if m.curves:
        drawn["responses"] = figures.responses(m)
    if m.pictures.maps:
        drawn["maps"] = figures.error_maps(m)
    return {name: to_svg(figure, name) for name, figure in drawn.items()}
