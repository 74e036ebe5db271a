"""The ``eqnets`` command: parses a command line and runs one subcommand."""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Sequence
from typing import Any

DESCRIPTION = """\
Does this network respect this symmetry, by how much does it fail, where?

`eqnets measure` alone measures EfficientNet-Lite0 on photographs and writes a report
to report/. `eqnets layerwise` says which of its layers break equivariance. `eqnets maps
vflip` finds the layers where it becomes invariant to a transformation. `eqnets stitch`
finds which layers of one network do for which of another. `eqnets consistency` shows
which labels change under which shifts. `eqnets basis GROUP REP` finds the
weight-sharing basis of a group.
`eqnets COMMAND --help` lists the options of a command.
"""
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``eqnets`` command.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 interrupted.

    >>> main(["--version"])
    eqnets 0.1.0
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written", debug, INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone; so that closing the stream does not fail once more:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _fail(_message(error), debug, getattr(error, "exit_code", 1))


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        import eqnets

        print(f"eqnets {eqnets.__version__}")
        return 0
    if missing := _missing_extra():
        raise ModuleNotFoundError(
            f"the eqnets command needs {missing}: pip install 'eqnets[demo]'"
        )
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter shows a question mark, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = _parse(arguments)
    if options is None:  # the help was asked for, or nothing was
        return 0 if arguments else 2
    from eqnets import commands

    return commands.run(options, f"eqnets {shlex.join(arguments)}")


def _missing_extra() -> str:
    from importlib.util import find_spec

    needed = ("tyro", "rich", "jinja2", "matplotlib", "PIL")
    return ", ".join(name for name in needed if find_spec(name) is None)


def _parse(arguments: list[str]) -> Any:
    """The options of a subcommand; None after printing the help."""
    import tyro

    from eqnets import commands

    arguments = arguments or ["--help"]
    said, helped = io.StringIO(), io.StringIO()
    try:
        with contextlib.ExitStack() as streams:
            streams.enter_context(contextlib.redirect_stderr(said))
            if {"-h", "--help"} & set(arguments):
                streams.enter_context(contextlib.redirect_stdout(helped))
            return tyro.extras.subcommand_cli_from_dict(
                commands.COMMANDS,
                args=arguments,
                prog="eqnets",
                description=DESCRIPTION,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as done:
        if done.code not in (0, None):
            raise commands.UsageError(one_line(said.getvalue())) from None
        print(wrapped(helped.getvalue(), shutil.get_terminal_size().columns))
        return None


def wrapped(text: str, width: int) -> str:
    r"""Wrap the paragraphs between the boxes of a help text, which tyro leaves long.

    >>> print(wrapped("one two three\n│ a box │", 9))
    one two
    three
    │ a box │
    """
    lines = re.sub(r"\n{3,}", "\n\n", text.rstrip()).splitlines()
    return "\n".join(
        line.rstrip() if line[:1] in " ╭│╰" else textwrap.fill(line, min(width, 88))
        for line in lines
    )


def one_line(box: str) -> str:
    """The message inside a box that tyro draws around an error, in one line.

    The title above it and what follows below the next rule are left out.

    >>> print(one_line('''
    ... ╭─ Value error ───────────────────╮
    ... │ Error parsing --seed: invalid   │
    ... │ literal                         │
    ... │ ─────────────────────────────── │
    ... │ For full helptext, see --help   │
    ... ╰─────────────────────────────────╯'''))
    Error parsing --seed: invalid literal
    """
    lines = [line.strip(" │╭╮╰╯") for line in box.strip().splitlines()]
    words: list[str] = []
    for line in lines[1:]:
        rule = re.fullmatch(r"[─-]{3,}", line)
        if rule and words:
            break
        if line and not rule:
            words.append(line)
    return " ".join(words) or " ".join(box.split())


def _message(error: Exception) -> str:
    """What an exception says, in one line; its type too where the text needs it."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename!r}" if error.filename else text
    elif not hasattr(error, "exit_code") and not isinstance(error, ValueError):
        text = f"{type(error).__name__}: {text or 'no message'}"
    return text.strip()


def _fail(message: str, debug: bool, code: int) -> int:
    if debug:
        traceback.print_exc()
    limit = 600
    short = message if len(message) <= limit else message[: limit - 1] + "…"
    print(f"eqnets: error: {short}", file=sys.stderr, flush=True)
    return code
