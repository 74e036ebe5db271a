"""The two ways a command ends early."""

import difflib
from collections.abc import Sequence


class CommandError(Exception):
    """The command failed; the message is one line for the person who typed it."""

    exit_code = 1


class UsageError(CommandError):
    """The command line asks for something that does not exist."""

    exit_code = 2


def unknown(kind: str, name: str, known: Sequence[str]) -> UsageError:
    """The error for a name that is not in a list, with the nearest and all names.

    >>> print(unknown("action", "rotate", ["rotation", "scaling"]))
    unknown action 'rotate', did you mean 'rotation'? known: rotation, scaling
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ";"
    return UsageError(f"unknown {kind} {name!r}{hint} known: {', '.join(known)}")
