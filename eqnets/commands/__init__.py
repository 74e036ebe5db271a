"""The subcommands of the ``eqnets`` command, one file each.

A subcommand is a dataclass of its options, whose docstrings are the help, with a
method ``run`` that returns an exit code. Importing this package imports no JAX, so
that ``eqnets --help`` answers at once.
"""

from .basis import SolveBasis as SolveBasis
from .consistency import Consistency as Consistency
from .errors import CommandError as CommandError
from .errors import UsageError as UsageError
from .layerwise import Layerwise as Layerwise
from .maps import Maps as Maps
from .measure import Measure as Measure
from .stitch import Stitch as Stitch
