"""Flax NNX layers: thin, they store parameters and call pure functions."""

from eqnets.nn.alias_free import AliasFree as AliasFree
from eqnets.nn.alias_free import IdealDown as IdealDown
from eqnets.nn.approximate import FreeParam as FreeParam
from eqnets.nn.approximate import RelaxedGroupConv as RelaxedGroupConv
from eqnets.nn.approximate import ResidualPathwayLinear as ResidualPathwayLinear
from eqnets.nn.approximate import prior_penalty as prior_penalty
from eqnets.nn.dropin import Conv as Conv
from eqnets.nn.dropin import StridedConv as StridedConv
from eqnets.nn.dropin import avg_pool as avg_pool
from eqnets.nn.dropin import input_select as input_select
from eqnets.nn.dropin import max_pool as max_pool
from eqnets.nn.equivariant import EquivariantBilinear as EquivariantBilinear
from eqnets.nn.equivariant import EquivariantLinear as EquivariantLinear
from eqnets.nn.equivariant import EquivariantParam as EquivariantParam
from eqnets.nn.filters import AdaptiveLowPass as AdaptiveLowPass
from eqnets.nn.filters import LowPass as LowPass
from eqnets.nn.filters import PhaseSampler as PhaseSampler
from eqnets.nn.nonlinearities import GatedNonlinearity as GatedNonlinearity
from eqnets.nn.nonlinearities import NormNonlinearity as NormNonlinearity
from eqnets.nn.nonlinearities import PointwiseNonlinearity as PointwiseNonlinearity
from eqnets.nn.nonlinearities import (
    TensorProductNonlinearity as TensorProductNonlinearity,
)
from eqnets.nn.sampling import AdaptivePolyphaseDown as AdaptivePolyphaseDown
from eqnets.nn.sampling import LearnablePolyphaseDown as LearnablePolyphaseDown
from eqnets.nn.sampling import PolyphaseUp as PolyphaseUp
from eqnets.nn.sampling import SelectionParam as SelectionParam
from eqnets.nn.stitching import StitchingLayer as StitchingLayer
from eqnets.nn.transformation import TransformationLayer as TransformationLayer
