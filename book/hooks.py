"""What mkdocs does beside its own work, named in mkdocs.yml.

Below each python block stands what it printed and drew when `book.execute` ran it.
Links that lead out of docs/ (results, figures of experiments) work on a git host as
they are; for the site the files they name are added at their paths in the repository.
"""

import json
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from book.blocks import DOCS, ROOT, blocks, pages, results_of

log = get_plugin_logger(__name__)
_LINK = re.compile(r"(?<=\]\()(?!\w+:|/|#)([^)\s#]+)(?=[)#\s])")
_FETCHED = re.compile(r"<(?:script|img|link)\b[^>]*(?:src|href)=\"(?:https?:)?//[^>]*>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add figures of executed pages, and the files outside docs/ that pages link."""
    for page in pages():
        if page.is_relative_to(DOCS):
            beside = PurePosixPath(page.relative_to(DOCS).parent)
            for figure in sorted(results_of(page).glob("*.png")):
                _add(files, config, str(beside / figure.name), figure)
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        for uri in sorted(_outside(waiting.pop())):
            if uri not in files.src_uris:
                _add(files, config, uri, ROOT / uri)
                waiting += [uri] * uri.endswith(".md")
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files):
    """Put outputs below their blocks, and turn links out of docs/ into the site's."""
    return _site_links(_with_outputs(markdown, page.file.src_uri), page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse pages that would fetch anything from a network when they are read."""
    for html in sorted(Path(config.site_dir).rglob("*.html")):
        if fetched := _FETCHED.search(html.read_text()):
            raise PluginError(f"{html}: needs a network: {fetched[0]}")


def source_of(uri: str) -> Path:
    """The file of the repository that stands at a path of the site's sources."""
    return DOCS / uri if (DOCS / uri).exists() else ROOT / uri


def _add(files: Files, config: MkDocsConfig, uri: str, path: Path) -> None:
    if not path.is_file():
        raise PluginError(f"a page links to {uri}, which is no file of the repository")
    files.append(File.generated(config, uri, abs_src_path=str(path)))


def _target(uri: str, link: str) -> str | None:
    """The path in the repository of a link out of docs/; None for links inside."""
    folder = source_of(uri).parent.relative_to(ROOT).as_posix()
    target = normpath(f"{folder}/{link}")
    return None if target.startswith(f"{DOCS.name}/") else target


def _outside(uri: str) -> set[str]:
    """The repository paths outside docs/ that a page links to."""
    links = _LINK.findall(_without_blocks(source_of(uri).read_text()))
    return {target for link in links if (target := _target(uri, link))}


def _without_blocks(text: str) -> str:
    """A page without its fenced code, in which brackets are no links."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _site_links(markdown: str, uri: str) -> str:
    here = PurePosixPath(uri).parent.as_posix()

    def moved(link: re.Match[str]) -> str:
        target = _target(uri, link[1])
        return relpath(target, here) if target else link[1]

    return _LINK.sub(moved, markdown)


def _with_outputs(markdown: str, uri: str) -> str:
    found = blocks(markdown)
    if not found:
        return markdown
    kept = results_of(source_of(uri)) / "outputs.json"
    outputs = json.loads(kept.read_text())["blocks"] if kept.exists() else []
    if [block.code for block in found] != [output["code"] for output in outputs]:
        log.warning("%s is not as it was executed; run `make docs`", uri)
        return markdown
    for block, output in reversed(list(zip(found, outputs, strict=True))):
        markdown = markdown[: block.end] + _shown(output) + markdown[block.end :]
    return markdown


def _shown(output: dict) -> str:
    """The output of a block in Markdown."""
    text = output["printed"].rstrip()
    parts = [f'```text title="prints"\n{text}\n```'] if text else []
    parts += [f"![drawn by the code above]({name})" for name in output["figures"]]
    return "".join(f"\n\n{part}" for part in parts)
