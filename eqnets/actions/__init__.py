"""One-parameter flows and finite transformations of arrays [B, H, W, C].

Sign: rho(t) moves the content by +t. Translation counts in fractions of its axis;
rotation, shear, scaling, stretch and hyperbolic rotation act in isotropic coordinates,
pixels / max(H, W) about the centre of the grid. Every generator is a named stencil.
"""

from .base import Action as Action
from .base import Grid as Grid
from .discrete import hflip as hflip
from .discrete import roll as roll
from .discrete import rot90 as rot90
from .discrete import vflip as vflip
from .interpolate import BOUNDARIES as BOUNDARIES
from .interpolate import INTERPOLATIONS as INTERPOLATIONS
from .standard import affine as affine
from .standard import brightness as brightness
from .standard import from_function as from_function
from .standard import hyperbolic_rotation as hyperbolic_rotation
from .standard import identity as identity
from .standard import rotation as rotation
from .standard import scaling as scaling
from .standard import shear as shear
from .standard import standard as standard
from .standard import stretch as stretch
from .standard import translation as translation
from .stencils import STENCILS as STENCILS
from .tokens import on_tokens as on_tokens
