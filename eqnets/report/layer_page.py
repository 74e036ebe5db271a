"""The report on layers: one self-contained HTML page, and tables for a terminal."""

import numpy as np

from . import layer_figures
from .layers import LayerReport
from .page import render
from .style import to_svg
from .tables import text_table
from .wording import exact, number, output_symbol, percent

#: Up to this many images have columns of their own in the table of layers.
COLUMNS = 6
#: Layers in the table for the terminal.
LARGEST = 12


def layer_page(r: LayerReport) -> str:
    """Build the report: figures, tables, definitions, provenance; it loads nothing.

    Args:
        r: what was found, or ``LayerReport.from_json`` of a results file.

    Returns:
        The text of an HTML file; the same report gives the same text.
    """
    drawn = {"contributions": layer_figures.contributions(r)}
    if r.subnetworks is not None:
        drawn["subnetworks"] = layer_figures.subnetworks(r)
    if r.convergence is not None:
        drawn["convergence"] = layer_figures.convergence(r)
    return render(
        "layers.html.jinja",
        {name: to_svg(figure, name) for name, figure in drawn.items()},
        m=r,
        p=output_symbol(r.readout),
        total=total_norm(r),
        columns=COLUMNS,
    )


def total_norm(r: LayerReport) -> float:
    """Root mean square over images of |L f|."""
    return float(np.sqrt((r.total**2).mean()))


def layer_table(r: LayerReport) -> str:
    """The share of each kind, and the layers that contribute most."""
    kinds = [
        [kind, str(count), percent(share)]
        for kind, (count, share) in r.by_kind().items()
    ]
    largest = np.argsort(-r.norms, kind="stable")[:LARGEST]
    rows = [
        [
            r.names[g],
            r.kinds[g],
            number(r.norms[g], 4),
            number(r.stderr[g], 2),
            percent(r.share[g]),
        ]
        for g in largest
        if r.norms[g] > 0
    ]
    header = ["largest layers", "kind", "|C|", "std. error", "share"]
    return "\n\n".join(
        [
            text_table(["kind", "layers", "share"], kinds, right=[1, 2]),
            text_table(header, rows, right=[2, 3, 4]),
        ]
    )


def layer_lines(r: LayerReport) -> str:
    """``LAYER <name> <norm> +- <stderr>`` for every layer, and ``TOTAL``, for machines.

    The standard error of a single image is undefined and written ``nan``.
    """
    lines = [
        f"LAYER {name} {exact(norm)} +- {exact(error)}"
        for name, norm, error in zip(r.names, r.norms, r.stderr, strict=True)
    ]
    total = f"TOTAL {exact(total_norm(r))} residual {exact(r.residual)}"
    return "\n".join([*lines, total])
