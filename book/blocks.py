"""The python blocks of a page in Markdown."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Where the results of executed pages are kept, for the site to show.
RESULTS = ROOT / "build" / "pages"
_FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A python block: its code, its first line in the page, and where it ends."""

    code: str
    line: int
    end: int


def blocks(text: str) -> list[Block]:
    r"""Find the python blocks of a page.

    >>> blocks("One:\n\n```python\nx = 1\n```\n")
    [Block(code='x = 1\n', line=4, end=25)]
    """
    return [
        Block(found[1], text.count("\n", 0, found.start(1)) + 1, found.end())
        for found in _FENCE.finditer(text)
    ]


def pages() -> list[Path]:
    """The pages that are executed: README.md and those of docs/ that have code."""
    every = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [page for page in every if blocks(page.read_text())]


def results_of(page: Path) -> Path:
    """The folder that holds what a page printed and drew."""
    return RESULTS / page.relative_to(ROOT).with_suffix("")
