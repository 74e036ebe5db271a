"""What is done to pages on their way into the site."""

import json

import pytest
import yaml

from book import blocks, hooks
from book.blocks import DOCS, ROOT


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "RESULTS", tmp_path / "build")
    text = "One.\n\n```python\nprint(1)\n```\n\nTwo.\n"
    kept = [{"code": "print(1)\n", "printed": "1\n", "figures": ["page-1a.png"]}]
    folder = blocks.results_of(DOCS / "page.md")
    folder.mkdir(parents=True)
    (folder / "outputs.json").write_text(json.dumps({"blocks": kept}))
    monkeypatch.setattr(hooks, "source_of", lambda uri: DOCS / uri)
    return text


def test_outputs_stand_below_their_block(page):
    shown = hooks._with_outputs(page, "page.md")
    assert shown.index("print(1)") < shown.index("\n1\n") < shown.index("page-1a.png")
    assert shown.index("page-1a.png") < shown.index("Two.")


def test_a_page_that_has_changed_is_a_warning(page, caplog):
    changed = page.replace("print(1)", "print(2)")
    assert hooks._with_outputs(changed, "page.md") == changed
    assert "make docs" in caplog.text


@pytest.mark.parametrize(
    ("uri", "link", "moved"),
    [
        ("index.md", "measure.md", "measure.md"),
        ("tutorials/measure.md", "../measure.md", "../measure.md"),
        ("index.md", "../README.md", "README.md"),
        ("tutorials/measure.md", "../../README.md", "../README.md"),
        ("index.md", "https://arxiv.org/abs/1", "https://arxiv.org/abs/1"),
    ],
)
def test_links_out_of_docs_become_the_sites(uri, link, moved):
    assert hooks._site_links(f"[a]({link}#b)", uri) == f"[a]({moved}#b)"


@pytest.mark.parametrize("page", ["README.md", "experiments/README.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(page):
    links = hooks._LINK.findall(hooks._without_blocks((ROOT / page).read_text()))
    broken = [
        link for link in links if not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert not broken


def test_every_page_is_in_the_navigation():
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)
    named = set(leaves(config["nav"]))
    assert {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} <= named


def leaves(tree):
    if isinstance(tree, str):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree
    return [leaf for value in values for leaf in leaves(value)]
