"""Make a network of your own commute with circular shifts, weights kept."""

from .convert import Conversion as Conversion
from .convert import ShiftEquivariant as ShiftEquivariant
from .convert import make_shift_equivariant as make_shift_equivariant
