"""Reports of a measurement: figures, text tables, and one self-contained HTML page.

Everything here is a pure function of a `Measurement` or a `LayerReport`, which are
plain data. matplotlib and Jinja2 are imported when a figure or a page is made, not with
this package.
"""

from .heat_map import heat_map as heat_map
from .layer_figures import KIND_COLOURS as KIND_COLOURS
from .layer_page import layer_lines as layer_lines
from .layer_page import layer_page as layer_page
from .layer_page import layer_table as layer_table
from .layers import Compilation as Compilation
from .layers import Convergence as Convergence
from .layers import LayerReport as LayerReport
from .layers import Subnetworks as Subnetworks
from .maps import LayerMaps as LayerMaps
from .maps import MapsMeasurement as MapsMeasurement
from .maps import maps_page as maps_page
from .maps import maps_table as maps_table
from .measurement import ActionError as ActionError
from .measurement import Consistency as Consistency
from .measurement import Curve as Curve
from .measurement import Guess as Guess
from .measurement import Measurement as Measurement
from .measurement import Pictures as Pictures
from .measurement import block_sums as block_sums
from .measurement import to_pixels as to_pixels
from .page import page as page
from .sharing import sharing_figure as sharing_figure
from .sharing import sharing_text as sharing_text
from .shifts import ShiftCase as ShiftCase
from .shifts import ShiftsMeasurement as ShiftsMeasurement
from .shifts import shifts_lines as shifts_lines
from .shifts import shifts_page as shifts_page
from .shifts import shifts_table as shifts_table
from .stitching import STITCH_CONTROLS as STITCH_CONTROLS
from .stitching import StitchControl as StitchControl
from .stitching import StitchMeasurement as StitchMeasurement
from .stitching import stitch_page as stitch_page
from .style import to_svg as to_svg
from .tables import lee_lines as lee_lines
from .tables import lee_table as lee_table
from .tables import text_table as text_table
from .tables import top_table as top_table
