"""Measure how equivariant a network is, find where it fails, build one that does not.

Each part is a subpackage that imports only what it needs::

    from eqnets import actions, measure   # Lie derivatives of any JAX function
    from eqnets import functional, io, models, report

``import eqnets`` itself imports nothing.
"""

__version__ = "0.1.0"
