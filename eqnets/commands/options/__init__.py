"""The options of the subcommands: dataclasses, whose docstrings are the help.

Importing them imports no JAX, so that ``eqnets --help`` answers at once. ``check``
finds what is wrong with the options alone; what a command does is in the file of its
name, one folder up.
"""

from .base import PRETRAINED as PRETRAINED
from .base import Reporting as Reporting
from .base import check_model as check_model
from .basis import SolveBasis as SolveBasis
from .consistency import Consistency as Consistency
from .layerwise import Layerwise as Layerwise
from .maps import Maps as Maps
from .maps import parse_transform as parse_transform
from .measure import ACTIONS as ACTIONS
from .measure import Measure as Measure
from .stitch import Stitch as Stitch
from .stitch import parse_constraint as parse_constraint

COMMANDS = {
    "measure": Measure,
    "layerwise": Layerwise,
    "maps": Maps,
    "stitch": Stitch,
    "consistency": Consistency,
    "basis": SolveBasis,
}
