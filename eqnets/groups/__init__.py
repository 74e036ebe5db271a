"""Matrix groups, given by discrete generators and a Lie algebra.

>>> from eqnets import groups
>>> groups.SO(3)
<MatrixGroup SO(3): d=3, 0 discrete and 3 Lie generators>
"""

from eqnets.groups.base import MatrixGroup as MatrixGroup
from eqnets.groups.combine import block_product as block_product
from eqnets.groups.combine import direct_product as direct_product
from eqnets.groups.combine import embed as embed
from eqnets.groups.combine import semidirect_product as semidirect_product
from eqnets.groups.combine import subgroup as subgroup
from eqnets.groups.combine import wreath_product as wreath_product
from eqnets.groups.continuous import GL as GL
from eqnets.groups.continuous import SL as SL
from eqnets.groups.continuous import SO as SO
from eqnets.groups.continuous import SU as SU
from eqnets.groups.continuous import O as O
from eqnets.groups.continuous import Opq as Opq
from eqnets.groups.continuous import SOpq as SOpq
from eqnets.groups.continuous import Sp as Sp
from eqnets.groups.continuous import U as U
from eqnets.groups.continuous import heisenberg as heisenberg
from eqnets.groups.continuous import lorentz as lorentz
from eqnets.groups.continuous import scaling as scaling
from eqnets.groups.continuous import trivial as trivial
from eqnets.groups.elements import elements as elements
from eqnets.groups.elements import order as order
from eqnets.groups.finite import alternating as alternating
from eqnets.groups.finite import cube_faces as cube_faces
from eqnets.groups.finite import cyclic as cyclic
from eqnets.groups.finite import dihedral as dihedral
from eqnets.groups.finite import pauli as pauli
from eqnets.groups.finite import rotations as rotations
from eqnets.groups.finite import signed_permutations as signed_permutations
from eqnets.groups.finite import symmetric as symmetric
from eqnets.groups.images import dihedral_images as dihedral_images
from eqnets.groups.images import p4 as p4
from eqnets.groups.images import p4_images as p4_images
from eqnets.groups.images import p4m as p4m
from eqnets.groups.images import p4m_images as p4m_images
from eqnets.groups.images import translations as translations
from eqnets.groups.rubiks import rubiks_cube as rubiks_cube
