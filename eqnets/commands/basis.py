"""``eqnets basis``: its options, and the order in which things happen."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .errors import CommandError, UsageError

if TYPE_CHECKING:
    from .expressions import Solved


@dataclass(frozen=True)
class SolveBasis:
    """Find the weight-sharing basis of any group, exactly, and say how it was found.

    GROUP is a name with whole numbers, such as `SO(3)`, `Z(8)`, `dihedral_images(5)` or
    `cube_faces`, or an .npz file with generators: `discrete` [M, d, d], `lie_algebra`
    [D, d, d], or both. REP is an expression in V (vectors), 1 (scalars), T2 or T(p, q)
    (tensors), V' (the dual), 2V, + and *; `V >> W` are the linear maps from V to W.

    `eqnets basis "dihedral_images(5)" "V >> V" --out sharing.png`

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """

    group: Annotated[str, tyro.conf.Positional]
    """A name such as "SO(3)", or an .npz file with generators."""
    rep: Annotated[str, tyro.conf.Positional]
    """An expression such as "V >> V" or "T2 >> T2 + 1"."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A picture (.png, .svg, .pdf) of the weight sharing of maps V >> W."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder that keeps solved bases."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, command: str) -> int:
        """Solve, print, draw.

        Args:
            command: the command line; not used.

        Returns:
            The exit code 0.

        Raises:
            CommandError: there is no such group, representation or picture, or the
                basis cannot be found.
        """
        del command
        # Seconds of importing that `--help` and typos do not wait for.
        from eqnets.reps import BasisError

        from .expressions import describe, map_shape, parse_group, solve

        try:
            shape = map_shape(self.rep, parse_group(self.group))
            if self.out is not None and shape is None:
                raise ValueError(
                    "--out draws a matrix, so REP must be maps, such as 'V >> V'; got "
                    f"{self.rep!r}"
                )
            solved = solve(self.group, self.rep, cache=self.cache)
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from error
        except (BasisError, OSError) as error:
            raise CommandError(str(error)) from error
        print(describe(solved))
        if shape is not None:
            _print_sharing(solved, shape)
        if self.out is not None and shape is not None:
            _draw(solved, shape, self.out)
        return 0


def _print_sharing(solved: "Solved", shape: tuple[int, int]) -> None:
    from eqnets.report import sharing_text

    text = sharing_text(solved.basis, shape) if max(shape) <= 36 else None
    if text is not None:
        print(f"sharing   a letter for entries that are equal up to sign\n{text}")


def _draw(solved: "Solved", shape: tuple[int, int], path: Path) -> None:
    from eqnets.io import atomic_write_bytes
    from eqnets.report import sharing_figure

    form = path.suffix.removeprefix(".") or "png"
    figure = sharing_figure(solved.basis, shape, title=str(solved.group))
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=form, dpi=200)
    except ValueError as error:
        raise UsageError(f"--out {path}: {error}") from error
    atomic_write_bytes(path, drawn.getvalue())
