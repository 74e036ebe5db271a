"""The options of ``eqnets basis``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


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

    def check(self) -> None:
        """Nothing: whether GROUP and REP make sense takes the solver to say."""
