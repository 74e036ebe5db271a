"""Run the python blocks of one page, top to bottom, as a notebook would.

What a block prints is its output, and so are its figures: those of pyplot, and one that
its last line names. A page whose blocks are doctests is run as doctests. `execute`
starts one process of this module for each page.
"""

import ast
import contextlib
import doctest
import io
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from .blocks import Block, blocks

DOCTEST = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
DPI = 110


class PageError(Exception):
    """A page does not run as it stands."""


def run_page(page: Path, folder: Path) -> None:
    """Run a page; write ``folder/outputs.json`` and the figures beside it.

    The JSON holds for each block its code, what it printed and its figures' file names,
    and the processor time of the whole.

    Raises:
        PageError: a doctest fails, or a block prints a nan.
        Exception: whatever a block raises, with its line in the page.
    """
    text = page.read_text()
    found = blocks(text)
    if any(block.code.startswith(">>> ") for block in found):
        outputs = _run_doctests(page, text, found)
    else:
        outputs = _run_blocks(page, found, folder)
    kept = {"cpu_seconds": time.process_time(), "blocks": outputs}
    (folder / "outputs.json").write_text(json.dumps(kept, indent=1))


def _run_doctests(page: Path, text: str, found: list[Block]) -> list[dict[str, Any]]:
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=DOCTEST)
    done = runner.run(examples, out=said.write)
    if done.failed:
        raise PageError(said.getvalue())
    return [_output(block, "", []) for block in found]


def _run_blocks(page: Path, found: list[Block], folder: Path) -> list[dict[str, Any]]:
    names: dict[str, Any] = {"__name__": "page"}
    outputs = []
    for number, block in enumerate(found, 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = _run_block(page, block, names)
        if "nan" in printed.getvalue().split():
            raise PageError(f"line {block.line}: the block prints nan")
        figures = _save(_figures(value), f"{page.stem}-{number}", folder)
        outputs.append(_output(block, printed.getvalue(), figures))
    return outputs


def _run_block(page: Path, block: Block, names: dict[str, Any]) -> Any:
    """Run a block; the value of its last line if that is an expression, else None."""
    tree = ast.parse(block.code, str(page))
    ast.increment_lineno(tree, block.line - 1)  # tracebacks show the page's own lines
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(page), "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), str(page), "eval"), names)


def _is_figure(value: Any) -> bool:
    return hasattr(value, "savefig") and hasattr(value, "axes")


def _figures(value: Any) -> list[Any]:
    """The figures a block leaves: those of pyplot, and its value if it is one."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    figures = [pyplot.figure(n) for n in pyplot.get_fignums()] if pyplot else []
    if pyplot:
        pyplot.close("all")
    return figures + [value] * (_is_figure(value) and value not in figures)


def _save(figures: list[Any], stem: str, folder: Path) -> list[str]:
    saved = []
    for figure in figures:
        saved.append(f"{stem}{'abcdef'[len(saved)]}.png")
        figure.savefig(folder / saved[-1], dpi=DPI, facecolor="white")
    return saved


def _output(block: Block, printed: str, figures: list[str]) -> dict[str, Any]:
    return {"code": block.code, "printed": printed, "figures": figures}


def main() -> None:
    """Run the page of the first argument into the folder of the second."""
    page, folder = map(Path, sys.argv[1:3])
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
    try:
        run_page(page, folder)
    except PageError as error:
        sys.exit(f"{page}: {error}")


if __name__ == "__main__":
    main()
