"""Make Jupyter notebooks of the tutorials: notebooks/NAME.ipynb, without outputs.

python -m book.notebooks
"""

from pathlib import Path

import jupytext

from eqnets import io

from .blocks import DOCS, ROOT

TUTORIALS = DOCS / "tutorials"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook(page: Path) -> str:
    """A page as a notebook: its text, and each of its python blocks as a cell."""
    made = jupytext.reads(page.read_text(), fmt="md")
    made.metadata["kernelspec"] = KERNEL
    return jupytext.writes(made, fmt="ipynb")


def main() -> None:
    """Write the notebooks of all tutorials."""
    for page in sorted(TUTORIALS.glob("*.md")):
        path = ROOT / "notebooks" / page.with_suffix(".ipynb").name
        io.atomic_write_text(path, notebook(page))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
