"""The figures of a report, each a pure function from a measurement to a Figure."""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from .measurement import Measurement
from .style import (
    ACCENT,
    INK,
    MUTED,
    SERIES,
    SOFT,
    diverging,
    new_figure,
    picture_axes,
    plain_axes,
)
from .wording import lee_symbol, output_symbol, pretty, short_label

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

#: Beyond this ratio of the largest to the smallest LEE the axis is logarithmic.
LOG_RATIO = 30.0
#: Above this many images the dots of the bar chart are drawn as one picture.
VECTOR_DOTS = 200
#: The quantile of the magnitudes of a map at which its colour is full.
FULL = 0.98


def lee_bars(m: Measurement) -> "matplotlib.figure.Figure":
    """Bars of LEE by action, with standard errors and one dot for each image.

    The axis is logarithmic where the values range over more than `LOG_RATIO`. Values
    of exactly 0 have no place there: they are drawn as triangles at the left edge.
    """
    names = list(m.lee)
    figure = new_figure(7.4, 0.42 * len(names) + 0.9)
    axes = figure.add_subplot()
    plain_axes(axes, grid="x")
    rows = np.arange(len(names))
    means = np.array([m.lee[name].mean for name in names])
    left, right, log = _lee_limits(m)
    if log:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xlim(left, right)
    start = np.full_like(means, left)
    axes.barh(
        rows, np.maximum(means, left) - start, left=start, height=0.62, color=SOFT
    )
    for row, name in enumerate(names):
        _dots(axes, row, m.lee[name].per_image, left, log)
        if math.isfinite(m.lee[name].stderr):
            _error_bar(axes, row, m.lee[name].mean, m.lee[name].stderr, left)
    labels = [f"{pretty(name)}\nt: {m.lee[name].units}" for name in names]
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlabel(f"LEE = {lee_symbol(m.norm, m.readout)}")
    axes.xaxis.label.set_color(INK)
    return figure


def _lee_limits(m: Measurement) -> tuple[float, float, bool]:
    """The ends of the axis, and whether it is logarithmic."""
    means = np.array([error.mean for error in m.lee.values()])
    drawn = np.concatenate(
        [
            np.append(e.per_image, e.mean + np.nan_to_num(e.stderr))
            for e in m.lee.values()
        ]
    )
    largest = float(drawn.max())
    positive = means[means > 0]
    if positive.size and positive.max() > LOG_RATIO * positive.min():
        smallest = float(min(drawn[drawn > 0].min(), positive.min()))
        return 10.0 ** math.floor(math.log10(smallest)), largest * 1.5, True
    return 0.0, largest * 1.06 if largest > 0 else 1.0, False


def _dots(
    axes: "matplotlib.axes.Axes",
    row: int,
    values: Float[np.ndarray, " images"],
    left: float,
    log: bool,
) -> None:
    # A fixed golden-ratio jitter: dots part from each other, runs look alike.
    jitter = ((np.arange(values.size) * 0.618034) % 1.0 - 0.5) * 0.34
    zero = (values <= 0) & log
    style = {"color": SERIES, "linewidths": 0, "zorder": 3, "clip_on": False}
    many = values.size > VECTOR_DOTS
    dots = axes.scatter(
        values[~zero], (row + jitter)[~zero], s=11, alpha=0.75, rasterized=many, **style
    )
    dots.set_gid(f"images-{row}")
    if zero.any():
        axes.scatter(
            np.full(zero.sum(), left), (row + jitter)[zero], s=16, marker="<", **style
        )


def _error_bar(
    axes: "matplotlib.axes.Axes", row: int, mean: float, stderr: float, left: float
) -> None:
    low = max(mean - stderr, left)
    axes.plot(
        [low, mean + stderr], [row, row], color=INK, linewidth=1.4, zorder=4, marker="|"
    )
    axes.plot(
        [mean], [row], color=INK, marker="D", markersize=4, zorder=5, linestyle=""
    )


def photographs(m: Measurement, *, columns: int = 4) -> "matplotlib.figure.Figure":
    """The inputs as the network sees them, each above its likeliest classes."""
    shown = len(m.pictures.names)
    columns = min(columns, shown)
    rows = math.ceil(shown / columns)
    figure = new_figure(7.4, rows * (7.4 / columns + 1.15))
    grid = figure.add_gridspec(
        2 * rows, columns, height_ratios=[1.0, 0.62] * rows, hspace=0.02, wspace=0.04
    )
    for i, name in enumerate(m.pictures.names):
        row, column = divmod(i, columns)
        axes = figure.add_subplot(grid[2 * row, column])
        picture_axes(axes)
        _picture(axes, m.pictures.pixels[i])
        axes.set_title(name, fontsize=9, color=INK, loc="left", parse_math=False)
        _guesses(figure.add_subplot(grid[2 * row + 1, column]), m, name)
    return figure


def _picture(
    axes: "matplotlib.axes.Axes", pixels: UInt8[np.ndarray, "height width channels"]
) -> None:
    if pixels.shape[-1] == 3:
        axes.imshow(pixels)
    else:
        axes.imshow(pixels.mean(-1), cmap="gray", vmin=0, vmax=255)


def _guesses(axes: "matplotlib.axes.Axes", m: Measurement, name: str) -> None:
    picture_axes(axes)
    guesses = m.top[m.images.index(name)]
    rows = np.arange(len(guesses))
    axes.barh(rows, [g.probability for g in guesses], height=0.82, color=SOFT)
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(guesses), 5) - 0.4, -0.6)
    for row, guess in enumerate(guesses):
        label = short_label(guess.label, 21)
        style = {"va": "center", "fontsize": 7.5, "color": INK, "parse_math": False}
        axes.text(0.015, row, label, ha="left", **style)
        axes.text(0.99, row, f"{guess.probability:.3f}", ha="right", **style)


def responses(m: Measurement, *, columns: int = 5) -> "matplotlib.figure.Figure":
    """``|f(rho(t) x) - f(x)|`` over t, with the tangent that the Lie derivative gives.

    A thin line for each photograph, a thick one for their mean; the dashed
    tangent is the mean slope times ``|t|``, and leaves the panel where it may.
    """
    names = list(m.curves)
    columns = min(columns, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(7.4, 1.75 * rows + 0.35)
    top = max(float(curve.distance.max()) for curve in m.curves.values())
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_visible(False)
            continue
        _response_panel(axes, m, names[i])
        axes.set_ylim(0, 1.05 * top if top > 0 else 1.0)
    symbol = output_symbol(m.readout)
    label = f"|{symbol}(ρ(t)x) − {symbol}(x)|"  # noqa: RUF001
    figure.supylabel(label, fontsize=9, color=INK)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    return figure


def _response_panel(axes: "matplotlib.axes.Axes", m: Measurement, name: str) -> None:
    curve = m.curves[name]
    plain_axes(axes, grid="y")
    for i in range(curve.distance.shape[1]):
        label = "one photograph" if i == 0 else None
        axes.plot(curve.t, curve.distance[:, i], color=SOFT, linewidth=0.9, label=label)
    style = {"linewidth": 1.8, "marker": "o", "markersize": 2.6}
    axes.plot(curve.t, curve.distance.mean(1), color=SERIES, label="mean", **style)
    ends = np.array([curve.t.min(), 0.0, curve.t.max()])
    symbol = output_symbol(m.readout)
    tangent = np.abs(ends) * curve.slope.mean()
    axes.plot(
        ends, tangent, "--", color=ACCENT, linewidth=1.3, label=f"|t|·|L{symbol}(x)|"
    )
    axes.set_title(pretty(name), fontsize=9, color=INK)
    axes.set_xlabel(f"t: {m.lee[name].units}", fontsize=7.5, color=MUTED)
    axes.set_xlim(float(curve.t.min()), float(curve.t.max()))
    axes.set_xticks(ends, [f"{end:g}" for end in ends])


def error_maps(m: Measurement) -> "matplotlib.figure.Figure":
    """Where in the first photographs the error of an action comes from, signed.

    One row for each mapped action. Orange blocks add to ``|L p|``, blue ones cancel;
    the colour is full at the quantile `FULL` of a panel's magnitudes.
    """
    names = list(m.pictures.maps)
    shown = len(m.pictures.maps[names[0]])
    side = (7.4 - 0.45) / max(shown, 4)
    figure = new_figure(7.4, len(names) * (side + 0.2) + 0.75)
    grid = figure.subplots(len(names), shown, squeeze=False)
    for row, name in enumerate(names):
        for i in range(shown):
            axes = grid[row, i]
            picture_axes(axes)
            _map_panel(axes, m, name, i)
            if row == 0:
                axes.set_title(m.pictures.names[i], fontsize=8, color=INK)
                axes.title.set_parse_math(False)
        grid[row, 0].set_ylabel(pretty(name), fontsize=9, color=INK)
    _colour_scale(figure, grid)
    return figure


def map_scale(blocks: Float[np.ndarray, "rows columns"]) -> float:
    """The magnitude at which the colour of a map is full; 1 for a map of zeros."""
    scale = float(np.quantile(np.abs(blocks), FULL))
    return scale or float(np.abs(blocks).max()) or 1.0


def _map_panel(axes: "matplotlib.axes.Axes", m: Measurement, name: str, i: int) -> None:
    blocks = m.pictures.maps[name][i]
    height, width = m.pictures.pixels.shape[1:3]
    grey = m.pictures.pixels[i].mean(-1)
    # Half the contrast of the photograph, so that both colours stand out from it.
    axes.imshow(64 + grey / 2, cmap="gray", vmin=0, vmax=255)
    strength = np.clip(blocks / map_scale(blocks), -1, 1)
    side = m.pictures.block
    right, bottom = blocks.shape[1] * side - 0.5, blocks.shape[0] * side - 0.5
    axes.imshow(
        diverging(strength),
        extent=(-0.5, right, bottom, -0.5),
        interpolation="nearest",
    )
    # The last blocks may reach over the edge of the photograph.
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    total = float(blocks.sum(dtype=np.float64))
    symbol = output_symbol(m.readout)
    axes.set_xlabel(f"|L{symbol}| = {total:.3g}", fontsize=7.5, color=MUTED, labelpad=2)


def _colour_scale(figure: "matplotlib.figure.Figure", grid: np.ndarray) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = diverging(np.linspace(-1, 1, 101))
    opacity = colours[:, 3:]
    over_grey = colours[:, :3] * opacity + 0.7 * (1 - opacity)
    mappable = ScalarMappable(Normalize(-1, 1), ListedColormap(over_grey))
    bar = figure.colorbar(
        mappable, ax=grid, location="bottom", shrink=0.45, aspect=45, pad=0.03
    )
    bar.set_ticks([-1, 0, 1], labels=["cancels", "0", "adds to |Lp|"])
    bar.ax.tick_params(labelsize=7.5, labelcolor=INK, length=0)
    bar.outline.set_visible(False)
