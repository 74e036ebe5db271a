"""Reports of a measurement: everything here is a pure function of a `Measurement`."""

from .measurement import ActionError as ActionError
from .measurement import Consistency as Consistency
from .measurement import Curve as Curve
from .measurement import Guess as Guess
from .measurement import Measurement as Measurement
from .measurement import Pictures as Pictures
from .measurement import block_sums as block_sums
from .measurement import to_pixels as to_pixels
from .tables import consistency_table as consistency_table
from .tables import lee_lines as lee_lines
from .tables import lee_table as lee_table
from .tables import text_table as text_table
from .tables import top_table as top_table
