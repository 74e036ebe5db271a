"""Representations of matrix groups, and the basis of equivariant maps between them.

>>> from eqnets import groups, reps
>>> V = reps.vector(groups.SO(3))
>>> reps.equivariant_basis(V * V * V).rank  # the cross product
1
"""

from eqnets.reps.atoms import T as T
from eqnets.reps.atoms import from_rho as from_rho
from eqnets.reps.atoms import multilinear as multilinear
from eqnets.reps.atoms import scalar as scalar
from eqnets.reps.atoms import vector as vector
from eqnets.reps.base import Rep as Rep
from eqnets.reps.basis import Basis as Basis
from eqnets.reps.errors import BasisError as BasisError
from eqnets.reps.finite import induced as induced
from eqnets.reps.finite import quotient as quotient
from eqnets.reps.finite import regular as regular
from eqnets.reps.irreps import alternating_power as alternating_power
from eqnets.reps.irreps import constituents as constituents
from eqnets.reps.irreps import determinant as determinant
from eqnets.reps.irreps import frequency as frequency
from eqnets.reps.irreps import harmonic as harmonic
from eqnets.reps.irreps import subrep as subrep
from eqnets.reps.irreps import symmetric_power as symmetric_power
from eqnets.reps.restrict import restrict as restrict
from eqnets.reps.solve import clear_cache as clear_cache
from eqnets.reps.solve import equivariant_basis as equivariant_basis
