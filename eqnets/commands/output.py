"""The folder a report is written to."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from eqnets import io

from .errors import CommandError


def check_writable(folder: Path) -> None:
    """Make sure that files can be written to a folder, without leaving a trace.

    Folders that are missing are made and removed again, as permissions, read-only
    file systems and full disks show only when something is written.

    Raises:
        CommandError: they cannot.
    """
    missing = []
    above = folder.absolute()
    while not above.exists() and above.parent != above:
        missing.append(above)
        above = above.parent
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError("it is a file")
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(8)}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandError(
            f"cannot write to the folder {os.fspath(folder)!r}: {why}; "
            "name another one with --out"
        ) from error
    finally:
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()


def write_together(folder: Path, files: Mapping[str, str]) -> None:
    """Write several text files to a folder, all of them or none.

    All are on the disk under temporary names before the first takes its place.

    Args:
        folder: where to; it is made if missing.
        files: texts by file name.
    """
    with contextlib.ExitStack() as stack:
        aside = {
            name: stack.enter_context(io.atomic_write(folder / name)) for name in files
        }
        for name, text in files.items():
            aside[name].write_bytes(text.encode("utf-8"))
