"""A matrix as a heat map, each cell with its number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from .style import INK, MUTED

if TYPE_CHECKING:
    import matplotlib.axes

#: Of the fullest colour, so that the numbers stay readable on light and dark pages.
OPACITY = 0.6
_BLUE = (0.18, 0.44, 0.62)


def heat_map(
    axes: "matplotlib.axes.Axes",
    values: Float[np.ndarray, "r c"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    top: float = 1.0,
    words: Sequence[Sequence[str]] | None = None,
) -> None:
    """Draw a matrix: the fuller the colour of a cell, the larger its value.

    Args:
        axes: where to.
        values: from 0; nan where there is nothing, which stays empty.
        rows: a name for each row.
        columns: a name for each column.
        top: the value of the fullest colour, and of all above.
        words: what is written in the cells, in place of nothing.

    Raises:
        ValueError: rows or columns that are not as many as the matrix has.

    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from eqnets import report
    >>> axes = Figure().add_subplot()
    >>> report.heat_map(axes, np.array([[0.2, 0.9]]), ["x"], ["y", "z"],
    ...                 words=[["20 %", "90 %"]])
    >>> [text.get_text() for text in axes.texts]
    ['20 %', '90 %']
    """
    share = np.clip(np.nan_to_num(values) / top, 0, 1)[..., None]
    colours = np.concatenate(
        [np.broadcast_to(_BLUE, (*share.shape[:2], 3)), OPACITY * share], -1
    )
    axes.patch.set_alpha(0.0)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(colors=MUTED, labelcolor=INK, length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for i, line in enumerate(words or ()):
        for j, word in enumerate(line):
            axes.text(j, i, word, ha="center", va="center", fontsize=7, color=INK)
