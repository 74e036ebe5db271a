"""What ``eqnets basis`` does: solve, print, draw."""

import io
from pathlib import Path

from eqnets import report
from eqnets.io import atomic_write_bytes
from eqnets.reps import BasisError

from .errors import CommandError, UsageError
from .expressions import Solved, describe, map_shape, parse_group, solve
from .options import SolveBasis
from .progress import Stages


def run(options: SolveBasis, stages: Stages, command: str) -> int:
    """Solve, print, draw.

    Args:
        options: which group, and which representation.
        stages: not used.
        command: not used.

    Returns:
        The exit code 0.

    Raises:
        CommandError: there is no such group, representation or picture, or the
            basis cannot be found.
    """
    del stages, command
    try:
        shape = map_shape(options.rep, parse_group(options.group))
        if options.out is not None and shape is None:
            raise ValueError(
                "--out draws a matrix, so REP must be maps, such as 'V >> V'; got "
                f"{options.rep!r}"
            )
        solved = solve(options.group, options.rep, cache=options.cache)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    except (BasisError, OSError) as error:
        raise CommandError(str(error)) from error
    print(describe(solved))
    if shape is not None:
        _print_sharing(solved, shape)
    if options.out is not None and shape is not None:
        _draw(solved, shape, options.out)
    return 0


def _print_sharing(solved: Solved, shape: tuple[int, int]) -> None:
    text = report.sharing_text(solved.basis, shape) if max(shape) <= 36 else None
    if text is not None:
        print(f"sharing   a letter for entries that are equal up to sign\n{text}")


def _draw(solved: Solved, shape: tuple[int, int], path: Path) -> None:
    form = path.suffix.removeprefix(".") or "png"
    figure = report.sharing_figure(solved.basis, shape, title=str(solved.group))
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=form, dpi=200)
    except ValueError as error:
        raise UsageError(f"--out {path}: {error}") from error
    atomic_write_bytes(path, drawn.getvalue())
