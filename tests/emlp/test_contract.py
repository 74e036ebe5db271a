"""The public names of equivariant layers, called as acceptance calls them."""

import jax.numpy as jnp
from flax import nnx

from eqnets import groups, models, nn, reps


def test_layers():
    g = groups.SO(3)
    r_in, r_out = 2 * reps.vector(g), reps.vector(g)
    x = jnp.ones((5, 6))
    assert nn.EquivariantLinear(r_in, r_out, rngs=nnx.Rngs(0))(x).shape == (5, 3)
    net = models.emlp(r_in, r_out, g, ch=32, num_layers=2, rngs=nnx.Rngs(0))
    assert net(x).shape == (5, 3)
    for layer in (
        nn.EquivariantBilinear(r_in, r_out, rngs=nnx.Rngs(0)),
        nn.ResidualPathwayLinear(r_in, r_out, rngs=nnx.Rngs(0)),
    ):
        assert nnx.jit(layer)(x).shape == (5, 3)
    assert nn.NormNonlinearity(r_in)(x).shape == (5, 6)
    product = nn.TensorProductNonlinearity(r_in, rngs=nnx.Rngs(0))
    assert nnx.jit(product)(x).shape == (5, 6)
    gate = nn.GatedNonlinearity(r_in)
    assert gate(jnp.ones((5, gate.rep_in.size))).shape == (5, 6)
