"""Exact layer-by-layer attribution of the Lie derivative."""

from .grouping import DEPTHS as DEPTHS
from .grouping import KINDS as KINDS
from .layerwise import METHODS as METHODS
from .layerwise import Attribution as Attribution
from .layerwise import ExactAttribution as ExactAttribution
from .layerwise import layerwise as layerwise
