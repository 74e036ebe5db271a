"""Docstrings as the site shows them: examples as code, names as links.

The library's docstrings end with their example, and name each other in backticks:
``split`` is of the same package, ``polyphase.split`` of any. griffe calls this when it
has read the source, which stays as it is.
"""

import re
from typing import Any

import griffe

_NAME = re.compile(r"(?<![`\[])`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)`(?![`\]])")

_MARKUP = {"<": "&lt;", "*": r"\*", "](": r"]\("}
# **options is the name of a parameter.
_MARKED = re.compile(r"<|(?<!\*)\*(?!\*)|\]\(")


class Docstrings(griffe.Extension):
    """Rewrites the docstrings of a package for mkdocstrings."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Rewrite all docstrings, once the whole package is known."""
        for part in pkg.modules.values():
            for thing in _inside(part):
                if thing.docstring:
                    text = _linked(thing.docstring.value, part, pkg)
                    thing.docstring.value = _with_example(text)


def _inside(thing: griffe.Object):
    yield thing
    for member in thing.members.values():
        if not member.is_alias:
            yield from _inside(member)


def _with_example(text: str) -> str:
    """The example, which ends a docstring, as a section of its own."""
    before, start, example = f"\n{text}".partition("\n>>>")
    if not start:
        return text
    lines = f">>>{example}".splitlines()
    indented = "\n".join(f"    {line}".rstrip() for line in lines)
    return f"{before.strip()}\n\nExamples:\n{indented}\n"


def _linked(text: str, part: griffe.Module, pkg: griffe.Module) -> str:
    """The names in backticks that the reference has, as links to it."""
    prose, start, example = text.partition("\n>>>")
    # Every other part stands in backticks; the rest is mathematics, not markup.
    parts = re.split(r"(`+[^`]+`+)", prose)
    parts[::2] = (_MARKED.sub(lambda m: _MARKUP[m[0]], p) for p in parts[::2])
    prose = "".join(parts)

    def link(found: re.Match) -> str:
        name = found[1]
        for path in (f"{part.name}.{name}", name):
            package, _, public = path.partition(".")
            home = pkg.members.get(package)
            if "." not in public and home is not None and public in home.members:
                member = home.members[public]
                if member.is_function or member.is_class:
                    return f"[`{name}`][{pkg.name}.{path}]"
        return found[0]

    return _NAME.sub(link, prose) + start + example
