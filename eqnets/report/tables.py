"""The tables of a report as plain text, for a terminal or a log."""

import unicodedata
from collections.abc import Sequence

from .measurement import Consistency, Guess, Measurement
from .wording import exact, lee_symbol, number, percent, short_label


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """Lay out a table in columns as wide as their widest cell.

    Args:
        header: the titles of the columns.
        rows: the cells; each row has as many as the header.
        right: the columns that are aligned to the right.

    Raises:
        ValueError: a row is shorter or longer than the header.

    >>> from eqnets import report
    >>> print(report.text_table(["action", "LEE"], [["rotation", "0.5"]], right=[1]))
    action    LEE
    --------  ---
    rotation  0.5
    """
    lines = [tuple(map(printable, line)) for line in [header, *rows]]
    if any(len(line) != len(header) for line in lines):
        raise ValueError(f"every row needs {len(header)} cells, as the header has")
    widths = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    laid = (
        "  ".join(
            _pad(cell, width, column in right)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
    return "\n".join(line.rstrip() for line in laid)


def display_width(text: str) -> int:
    """Columns a text takes in a terminal: wide letters two, combining marks none.

    >>> display_width("chat"), display_width("猫")
    (4, 2)
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def printable(text: str) -> str:
    r"""Replace control characters, which a file name may hold, by ``?``.

    >>> printable("a\x1b[31m.png")
    'a?[31m.png'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def top_table(images: Sequence[str], top: Sequence[Sequence[Guess]]) -> str:
    """The likeliest classes of each image, likeliest first."""
    count = max(map(len, top), default=0)
    rows = [
        [name, *(f"{short_label(g.label, 24)} {g.probability:.3f}" for g in guesses)]
        for name, guesses in zip(images, top, strict=True)
    ]
    return text_table(["image", *(f"{i + 1}." for i in range(count))], rows)


def lee_table(m: Measurement) -> str:
    """LEE by action with its standard error and stencil, then shift consistency."""
    header = ["action", "LEE", "std. error", "stencil", "t"]
    rows = [
        [name, number(e.mean, 4), number(e.stderr, 2), e.stencil or "none", e.units]
        for name, e in m.lee.items()
    ]
    images = f"{len(m.images)} image{'s' if len(m.images) > 1 else ''}"
    parts = [
        f"LEE = {lee_symbol(m.norm, m.readout)}; {images}",
        text_table(header, rows, right=[1, 2]),
        consistency_table(m),
    ]
    return "\n\n".join(parts)


def consistency_table(m: Measurement) -> str:
    """Circular and crop shift consistency, the latter with the reason if missing."""
    rows = [["circular", percent(m.circular.fraction), shift_words(m.circular)]]
    if m.crop is None:
        rows.append(["crop", "-", f"not measured: {m.crop_reason}"])
    else:
        rows.append(["crop", percent(m.crop.fraction), shift_words(m.crop)])
    return text_table(["shift consistency", "same label", "shifts"], rows, right=[1])


def shift_words(consistency: Consistency) -> str:
    """How the shifts of a consistency were drawn.

    >>> shift_words(Consistency(0.9, 32, 5, 256, 224))
    '5 pairs an image, 224 px windows of 256 px, up to 32 px apart'
    """
    c = consistency
    what = "periodic" if c.crop is None else f"{c.crop} px windows of {c.size} px"
    reach = f"up to {c.max_shift} px" + (" apart" if c.crop else "")
    return f"{c.pairs} pairs an image, {what}, {reach}"


def lee_lines(m: Measurement) -> str:
    """One line ``LEE <action> <value> +- <stderr>`` an action, for machines to read.

    The standard error of a single image is undefined and written ``nan``.
    """
    return "\n".join(
        f"LEE {name} {exact(e.mean)} +- {exact(e.stderr)}" for name, e in m.lee.items()
    )


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - display_width(cell))
    return space + cell if right else cell + space
