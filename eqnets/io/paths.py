"""Checks of the paths that a user gives."""

import os
from pathlib import Path


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a `Path` if it is a file.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        IsADirectoryError: ``path`` is a folder.
    """
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(
            f"expected a file, but {str(file)!r} is a folder; "
            "give the name of a file in it"
        )
    if not file.exists():
        raise FileNotFoundError(
            f"there is no file {str(file)!r} (seen from the folder {os.getcwd()!r}); "
            "check its name"
        )
    return file


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a `Path` if it is a folder.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        NotADirectoryError: ``path`` is a file.
    """
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(
            f"there is no folder {str(folder)!r} (seen from the folder "
            f"{os.getcwd()!r}); check its name"
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"expected a folder, but {str(folder)!r} is a file; "
            f"give the folder it lies in, {str(folder.parent)!r}"
        )
    return folder
