"""Whole-or-nothing writes: a reader sees the old file or the new one, never a part."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and move it there if the block succeeds.

    The temporary file lies in the same folder, since a rename is atomic only within
    one file system. It is synchronised to the disk before the rename, and it is
    removed when the block raises, in which case ``path`` is as it was. Parent folders
    are created. A symbolic link at ``path`` stays, and the file it points to is
    replaced; the permissions of an existing file are kept.

    Args:
        path: the file to write.

    Yields:
        The path, ending as ``path`` does, of a file that exists and is empty.

    Raises:
        IsADirectoryError: ``path`` is a folder.

    >>> from pathlib import Path
    >>> import tempfile
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with io.atomic_write(Path(folder, "figures", "a.txt")) as aside:
    ...         _ = aside.write_text("whole")
    ...     Path(folder, "figures", "a.txt").read_text()
    'whole'
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(
            f"cannot write the file {os.fspath(path)!r}: it is a folder; "
            "give the name of a file"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _new_file_beside(target)
    try:
        yield aside
        _synchronise(aside, os.O_RDWR)
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    # The rename itself lasts only once the folder is on the disk.
    if hasattr(os, "O_DIRECTORY"):
        _synchronise(target.parent, os.O_RDONLY)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes to ``path``, whole or not at all; see `atomic_write`.

    Raises:
        IsADirectoryError: ``path`` is a folder.

    >>> from pathlib import Path
    >>> import tempfile
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.atomic_write_bytes(f"{folder}/new/data.bin", b"whole")  # makes folders
    ...     Path(folder, "new", "data.bin").read_bytes()
    b'whole'
    """
    with atomic_write(path) as aside:
        aside.write_bytes(data)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text to ``path`` as UTF-8, whole or not at all; see `atomic_write`.

    Raises:
        IsADirectoryError: ``path`` is a folder.

    >>> from pathlib import Path
    >>> import tempfile
    >>> from eqnets import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.atomic_write_text(f"{folder}/results.json", "{}")
    ...     Path(folder, "results.json").read_text()
    '{}'
    """
    with atomic_write(path) as aside:
        # Bytes, so that line ends are written as given on every system.
        aside.write_bytes(text.encode("utf-8"))


def _new_file_beside(target: Path) -> Path:
    """Create an empty file with a fresh name, with the permissions ``target`` has."""
    # The suffix stays last: image writers choose the format by it. The stem is cut,
    # as a file name of the greatest length would else become too long.
    name = f".{target.stem[:40]}.{secrets.token_hex(8)}{target.suffix[:40]}"
    aside = target.with_name(name)
    # Not tempfile.mkstemp: that makes the file readable by its owner alone.
    os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if target.exists():
        os.chmod(aside, target.stat().st_mode & 0o7777)
    return aside


def _synchronise(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
