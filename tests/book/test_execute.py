"""The program that runs the pages: it runs them as they stand, and says what failed."""

import json
import textwrap

import pytest

from book.blocks import ROOT, blocks, pages
from book.execute import execute


def run(tmp_path, *code, limit=60):
    fences = [f"```python\n{textwrap.dedent(block)}```\n" for block in code]
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n" + "\nText.\n\n".join(fences))
    done = execute(page, folder=tmp_path / "out", limit=limit)
    kept = tmp_path / "out" / "outputs.json"
    return done, json.loads(kept.read_text())["blocks"] if kept.exists() else None


def test_every_page_with_code_is_executed():
    found = {page.relative_to(ROOT).as_posix() for page in pages()}
    assert {"README.md", "docs/measure.md", "docs/tutorials/measure.md"} <= found
    assert all(blocks((ROOT / page).read_text()) for page in found)


def test_blocks_know_where_they_stand():
    text = (
        "a\n\n```python\nx = 1\n```\n\n```\nno python\n```\n\n```python\ny = 2\n```\n"
    )
    first, second = blocks(text)
    assert (first.code, first.line) == ("x = 1\n", 4)
    assert text.splitlines()[second.line - 1] == "y = 2"
    assert text[: second.end].endswith("y = 2\n```")


def test_blocks_share_names_and_keep_what_they_print(tmp_path):
    done, kept = run(tmp_path, "x = 20\nprint(x + 1)\n", "print(2 * x)\n")
    assert done.error == ""
    assert [block["printed"] for block in kept] == ["21\n", "40\n"]


def test_figures_are_kept_once(tmp_path):
    code = """\
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots()
    figure
    """
    done, kept = run(tmp_path, code, "plt.show()\n")
    assert done.error == ""
    assert [block["figures"] for block in kept] == [["page-1a.png"], []]
    assert (tmp_path / "out" / "page-1a.png").read_bytes()[:4] == b"\x89PNG"


def test_an_error_names_the_line_of_the_page(tmp_path):
    done, kept = run(tmp_path, "x = 1\n", "y = 2\nraise ValueError('broken')\n")
    assert kept is None
    assert f'{tmp_path}/page.md", line 11' in done.error
    assert "ValueError: broken" in done.error


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (">>> 1 + 1\n3\n", "Expected:"),
        ("print(float('nan'))\n", "prints nan"),
        ("x = (\n", "SyntaxError"),
    ],
)
def test_what_fails_is_said(tmp_path, code, message):
    done, kept = run(tmp_path, code)
    assert kept is None
    assert message in done.error


def test_doctests_pass_where_they_are_right(tmp_path):
    done, kept = run(tmp_path, ">>> x = 1\n>>> x\n1\n\n")
    assert done.error == ""
    assert len(kept) == 1


def test_a_page_that_hangs_is_stopped(tmp_path):
    done, _ = run(tmp_path, "import time\ntime.sleep(60)\n", limit=1)
    assert "stopped after 1 s" in done.error
