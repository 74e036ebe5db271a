"""How far is a function from equivariant: Lie derivatives and the metrics beside them.

Everything here takes callables (plain functions, Flax NNX or bound Linen modules,
pytree modules) and actions from `eqnets.actions`; nothing here imports Flax.
"""

from .aliasing import aliasing_lee as aliasing_lee
from .aliasing import printed_aliasing_lee as printed_aliasing_lee
from .attribution import Attribution as Attribution
from .attribution import ExactAttribution as ExactAttribution
from .attribution import layerwise as layerwise
from .consistency import agreement as agreement
from .consistency import circular_consistency as circular_consistency
from .consistency import discrete_consistency as discrete_consistency
from .consistency import shift_consistency as shift_consistency
from .error_map import error_map as error_map
from .finite import Response as Response
from .finite import group_sample_error as group_sample_error
from .finite import response as response
from .layer_translations import LayerErrors as LayerErrors
from .layer_translations import eq_t_layers as eq_t_layers
from .lee import Estimate as Estimate
from .lee import lee as lee
from .lee import lee_profile as lee_profile
from .lie import lie_derivative as lie_derivative
from .lie import lie_derivatives as lie_derivatives
from .readout import READOUTS as READOUTS
from .readout import readout as readout
from .regularize import consistency_regularizer as consistency_regularizer
from .regularize import lie_regularizer as lie_regularizer
from .segmentation import mean_iou as mean_iou
from .segmentation import segmentation_consistency as segmentation_consistency
from .shift_checks import ShiftReport as ShiftReport
from .shift_checks import check_equivariance as check_equivariance
from .subnetworks import SubnetworkErrors as SubnetworkErrors
from .subnetworks import subnetwork_lee as subnetwork_lee
from .translations import eq_t as eq_t
from .translations import eq_t_frac as eq_t_frac
