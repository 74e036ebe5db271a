"""The figures of a report on layers, each a pure function to a Figure."""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .layers import LayerReport
from .style import ACCENT, GRID, INK, MUTED, SERIES, new_figure, plain_axes
from .wording import output_symbol, percent

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

#: The colour of each kind of layer; they differ in lightness too.
KIND_COLOURS = {
    "convolution": SERIES,
    "linear": "#8a63b8",
    "attention": "#c2478a",
    "norm": "#8d99a6",
    "nonlinearity": ACCENT,
    "pooling": "#3f9460",
    "add": "#c39a2b",
    "other": "#6b7076",
}
#: Up to this many layers are named one by one; beyond it, their blocks are.
NAMED = 40
#: Below this share a kind is not drawn.
ROUNDING = 5e-4
#: The colours of the largest layers, whose estimates are drawn one by one.
FOLLOWED = (SERIES, ACCENT, "#3f9460", "#8a63b8", "#c39a2b")
WIDTH = 7.4
_INDEX = re.compile(r"^\[?\d+\]?$")


def contributions(r: LayerReport) -> "matplotlib.figure.Figure":
    """Bars |C_g| in depth order by kind, above their running sum and |C_1 + ... + C_g|.

    Error bars are standard errors over images.
    """
    figure = new_figure(WIDTH, 5.2)
    bars, running = figure.subplots(2, 1, sharex=True, height_ratios=[1.15, 1])
    _bars(bars, r)
    _running(running, r)
    _depth_axis(running, r.names)
    for axes in (bars, running):
        _bands(axes, r.names)
    _legend(figure, r)
    return figure


def _bars(axes: "matplotlib.axes.Axes", r: LayerReport) -> None:
    plain_axes(axes, grid="y")
    at = np.arange(len(r.names))
    colours = [kind_colour(kind) for kind in r.kinds]
    axes.bar(at, r.norms, width=0.86, color=colours, linewidth=0)
    shown = np.isfinite(r.stderr) & (r.norms > 0)
    axes.errorbar(
        at[shown],
        r.norms[shown],
        yerr=np.stack([np.minimum(r.stderr, r.norms), r.stderr])[:, shown],
        fmt="none",
        ecolor=INK,
        elinewidth=0.7,
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("|C|, root mean square", color=INK)


def _running(axes: "matplotlib.axes.Axes", r: LayerReport) -> None:
    """The norms summed up, stacked by kind, and the norm of the signed sum."""
    plain_axes(axes, grid="y")
    edges = np.arange(len(r.names) + 1) - 0.5
    below = np.zeros(len(edges))
    for kind in _ordered(r):
        mine = np.where([k == kind for k in r.kinds], r.norms, 0.0)
        above = below + np.concatenate([[0.0], np.cumsum(mine)])
        axes.fill_between(edges, below, above, color=kind_colour(kind), linewidth=0)
        below = above
    partial = np.sqrt((r.cumulative**2).mean(1))
    symbol = output_symbol(r.readout)
    axes.plot(
        edges, np.concatenate([[0.0], partial]), color=INK, linewidth=1.5, label="sum"
    )
    total = float(np.sqrt((r.total**2).mean()))
    axes.plot([edges[-1]], [total], "D", color=INK, markersize=4, clip_on=False)
    axes.annotate(
        f"|L{symbol}|",
        (edges[-1], total),
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK,
        annotation_clip=False,
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("running sum of |C|", color=INK)


def subnetworks(r: LayerReport) -> "matplotlib.figure.Figure":
    """LEE of the network cut off behind each layer, outputs batch-normalised.

    Raises:
        ValueError: the report has no subnetworks.
    """
    if r.subnetworks is None:
        raise ValueError("this report has no subnetworks: run with --subnetworks")
    s = r.subnetworks
    figure = new_figure(WIDTH, 3.4)
    axes = figure.add_subplot()
    plain_axes(axes, grid="y")
    positive = s.lee > 0
    at = np.arange(len(s.names))
    axes.plot(at[positive], s.lee[positive], color=GRID, linewidth=0.8, zorder=1)
    for kind in dict.fromkeys(s.kinds):
        mine = np.array([k == kind for k in s.kinds]) & positive
        low = np.minimum(s.stderr, 0.9 * s.lee)
        axes.errorbar(
            at[mine],
            s.lee[mine],
            yerr=np.stack([low, s.stderr])[:, mine],
            fmt="o",
            markersize=3,
            elinewidth=0.7,
            color=kind_colour(kind),
            label=kind,
        )
    if positive.any():
        axes.set_yscale("log")
        axes.minorticks_off()
    _depth_axis(axes, s.names)
    _bands(axes, s.names)
    axes.set_ylabel("LEE of the subnetwork", color=INK)
    _kinds_below(figure, axes)
    return figure


def convergence(r: LayerReport) -> "matplotlib.figure.Figure":
    """The relative error of the stochastic estimate against the number of probes.

    Thin lines are the largest layers, the thick one is the root mean square over all;
    dashed, what theory expects, 1 / sqrt(2 N).

    Raises:
        ValueError: the report has no convergence.
    """
    if r.convergence is None:
        raise ValueError("this report has no convergence: run with --probes N")
    c = r.convergence
    figure = new_figure(WIDTH, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
    error = relative_errors(r)
    largest = np.argsort(-c.exact, kind="stable")
    for g, colour in zip(largest, FOLLOWED, strict=False):
        ratio = c.estimates[:, g] / (c.exact[g] or 1.0)
        left.plot(c.probes, ratio, color=colour, linewidth=1.2, label=r.names[g])
    left.axhline(1.0, color=INK, linewidth=0.8)
    left.set_ylabel("estimate / exact", color=INK)
    left.legend(frameon=False, fontsize=6.5, labelcolor=INK, loc="best")
    right.loglog(c.probes, error, "o-", color=SERIES, markersize=3, label="measured")
    theory = 1 / np.sqrt(2 * c.probes)
    right.loglog(c.probes, theory, "--", color=ACCENT, label="1 / √(2N)")
    right.set_ylabel("relative error, all layers", color=INK)
    right.legend(frameon=False, fontsize=7.5, labelcolor=INK)
    for axes in (left, right):
        plain_axes(axes, grid="y")
        axes.set_xlabel("probes N", color=INK)
    drawn = np.concatenate([error, theory])
    right.set_xticks(*_round_numbers(c.probes, "{:g}"))
    right.set_yticks(*_round_numbers(drawn, "{:.0%}"))
    right.minorticks_off()
    return figure


def _round_numbers(values: np.ndarray, form: str) -> tuple[list[float], list[str]]:
    """Ticks around positive values, at 1, 2, 3, 5 times powers of ten, and labels."""
    positive = values[values > 0]
    low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    ticks = [m * 10.0**e for e in np.arange(low, high + 1) for m in (1, 2, 3, 5)]
    inside = [t for t in ticks if 0.7 * positive.min() <= t <= 1.4 * positive.max()]
    return inside, [form.format(t) for t in inside]


def relative_errors(r: LayerReport) -> np.ndarray:
    """Root mean square over layers of the relative error, for each number of probes.

    Layers below a millionth of the largest are rounding, and left out.
    """
    c = r.convergence
    counted = c.exact > 1e-6 * c.exact.max()
    ratio = c.estimates[:, counted] / c.exact[counted] - 1
    return np.sqrt((ratio**2).mean(1))


def kind_colour(kind: str) -> str:
    """The colour of a kind of layer; that of ``"other"`` for one without its own."""
    return KIND_COLOURS.get(kind, KIND_COLOURS["other"])


def block_of(name: str) -> str:
    """The block that a layer is part of: its path up to the first number.

    >>> block_of("blocks/3/attn/qkv"), block_of("head/conv"), block_of("add")
    ('blocks/3', 'head', 'add')
    """
    parts = name.split("/")
    for i, part in enumerate(parts[:-1]):
        if _INDEX.match(part):
            return "/".join(parts[: i + 1])
    return parts[0]


def _blocks(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Runs of layers of one block: its name, its first layer and the next block's."""
    found, start = [], 0
    for block, run in itertools.groupby(names, block_of):
        stop = start + len(list(run))
        found.append((block, start, stop))
        start = stop
    return found


def _bands(axes: "matplotlib.axes.Axes", names: Sequence[str]) -> None:
    """Every second block on a faint ground."""
    for _, start, stop in _blocks(names)[1::2]:
        axes.axvspan(
            start - 0.5, stop - 0.5, color=GRID, alpha=0.4, linewidth=0, zorder=0
        )


def _depth_axis(axes: "matplotlib.axes.Axes", names: Sequence[str]) -> None:
    """Names of the layers, or of their blocks if there are many."""
    axes.set_xlim(-0.5, len(names) - 0.5)
    if len(names) <= NAMED:
        places, labels = range(len(names)), names
    else:
        blocks = [b for b in _blocks(names) if b[2] - b[1] > 1] or _blocks(names)
        step = -(-len(blocks) // NAMED)
        places = [(start + stop - 1) / 2 for _, start, stop in blocks[::step]]
        labels = [block for block, _, _ in blocks[::step]]
    axes.set_xticks(places, labels, rotation=90, fontsize=7, parse_math=False)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("layers in the order in which they act", color=INK)


def _ordered(r: LayerReport) -> list[str]:
    """The kinds that contribute more than rounding, largest share first."""
    return [kind for kind, (_, share) in r.by_kind().items() if share > ROUNDING]


def _legend(figure: "matplotlib.figure.Figure", r: LayerReport) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shares = r.by_kind()
    handles = [
        Patch(color=kind_colour(kind), label=f"{kind} {percent(shares[kind][1])}")
        for kind in _ordered(r)
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1.5, label="|sum of C so far|"))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 4),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handlelength=1.1,
    )


def _kinds_below(
    figure: "matplotlib.figure.Figure", axes: "matplotlib.axes.Axes"
) -> None:
    from matplotlib.patches import Patch

    _, labels = axes.get_legend_handles_labels()
    handles = [Patch(color=kind_colour(kind), label=kind) for kind in labels]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
        labelcolor=MUTED,
        handlelength=1.1,
    )
