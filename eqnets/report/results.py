"""Results files: JSON that says its own format."""

import json
from typing import Any


def written(tree: dict[str, Any], form: str) -> str:
    """The text of a results file of the format ``form``.

    Raises:
        ValueError: a number is not finite.
    """
    whole = {"format": form, **tree}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(text: str, form: str, command: str) -> dict[str, Any]:
    """What `written` was given; ``command`` is what writes such files.

    Raises:
        ValueError: the text is not JSON, or of another format.
    """
    tree = json.loads(text)
    found = tree.pop("format", None) if isinstance(tree, dict) else None
    if found != form:
        raise ValueError(
            f"expected a file of the format {form!r}, as `{command}` writes to "
            f"results.json; this one says {found!r}"
        )
    return tree
