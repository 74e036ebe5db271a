"""Equivariance maps: what a transformation of the image does to its features.

M_g phi(x) ~ phi(g x) (Lenc and Vedaldi, 2019): regressions that find M_g, the geometry
of features on an image, HOG, cutting a model behind a layer, and what to learn from the
maps. Everything takes callables; nothing here imports Flax.
"""

from .affine import AffineMap as AffineMap
from .affine import Transform as Transform
from .affine import affine_map as affine_map
from .affine import as_transform as as_transform
from .affine import flip as flip
from .affine import rotate as rotate
from .affine import scale as scale
from .alignment import match_permutation as match_permutation
from .alignment import match_permutation_from as match_permutation_from
from .alignment import procrustes as procrustes
from .alignment import procrustes_from as procrustes_from
from .constraints import Constraint as Constraint
from .covering import Control as Control
from .covering import Covering as Covering
from .covering import covering_matrix as covering_matrix
from .cut import Cut as Cut
from .cut import LeakError as LeakError
from .cut import cut as cut
from .descent import Descent as Descent
from .distances import chi2 as chi2
from .distances import hellinger as hellinger
from .distances import squared as squared
from .equivariance import EquivarianceFit as EquivarianceFit
from .equivariance import fit_equivariance as fit_equivariance
from .hog import hog as hog
from .invariance import InvarianceProfile as InvarianceProfile
from .invariance import InvariantChannels as InvariantChannels
from .invariance import error_rate as error_rate
from .invariance import invariance_profile as invariance_profile
from .invariance import invariant_channels as invariant_channels
from .inversion import PreImage as PreImage
from .inversion import invert as invert
from .linear import LinearMap as LinearMap
from .linear import least_squares as least_squares
from .linear import least_squares_from as least_squares_from
from .linear import ridge as ridge
from .linear import ridge_path as ridge_path
from .linear import ridge_path_from as ridge_path_from
from .moments import Moments as Moments
from .moments import accumulate as accumulate
from .moments import merge as merge
from .moments import moments as moments
from .pose import fit_template as fit_template
from .pose import pose_templates as pose_templates
from .receptive_field import receptive_grid as receptive_grid
from .selection import forward_select as forward_select
from .selection import forward_select_from as forward_select_from
from .similarity import cka as cka
from .similarity import procrustes_distance as procrustes_distance
from .similarity import relative_representation as relative_representation
from .similarity import svcca as svcca
from .sites import Grid as Grid
from .sites import centred_grid as centred_grid
from .sites import fit_by_site as fit_by_site
from .sites import neighbourhood_mask as neighbourhood_mask
from .sites import neighbourhoods as neighbourhoods
from .sites import permute_sites as permute_sites
from .stitch_map import StitchMap as StitchMap
from .stitching import Stitch as Stitch
from .stitching import pixels as pixels
from .stitching import stitch as stitch
from .tags import tag as tag
