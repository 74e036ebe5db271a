"""Parameters mean the same, whichever linear algebra split the representations."""

import os
import subprocess
import sys

import numpy as np
import pytest

from eqnets.reps.canonical import canonical_basis

CODE = """
import sys, jax, numpy as np
from flax import nnx
from eqnets import groups, models, nn, reps
def net(G, ch):
    V = reps.vector(G)
    f = models.emlp(2 * V, V, G, ch=ch, num_layers=1, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).standard_normal((4, 2 * V.size), np.float32)
    return np.asarray(jax.jit(f)(3 * x))
D, C = groups.dihedral(5), groups.rotations(5)
cubes = nn.EquivariantLinear(reps.T(D, 3), reps.T(D, 3), rngs=nnx.Rngs(0))
shear = groups.MatrixGroup(lie_algebra=[[[0.0, 1], [0, 0]]])
move = np.array([[1.0, 2, 0], [0, 1, 1], [0, 0, 3]])
turns = groups.SO(3).lie_algebra
skewed = groups.MatrixGroup(lie_algebra=move @ turns @ np.linalg.inv(move))
np.savez(
    sys.argv[1],
    net_D5=net(D, 64),
    net_C5=net(C, 64),
    net_SU2=net(groups.SU(2), 10),
    net_skewed=net(skewed, 12),
    cubes=cubes(np.ones(8, np.float32)),
    shear=reps.equivariant_basis(reps.T(shear, 4)).dense(),
    harmonic=reps.harmonic(groups.O(3), 3).columns,
)
"""


def outputs(path, processor):
    """What the code gives where OpenBLAS takes the machine for another."""
    env = os.environ | {"OPENBLAS_CORETYPE": processor, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", CODE, path], env=env, check=True)
    with np.load(path) as found:
        return dict(found)


def test_parameters_mean_the_same_on_other_processors(tmp_path):
    one, other = (outputs(tmp_path / f"{p}.npz", p) for p in ("Haswell", "Nehalem"))
    for name, expected in one.items():
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(other[name], expected, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("k", [0, 1, 3, 6])
def test_a_canonical_basis_depends_on_the_span_alone(k, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 6, k)), rng.standard_normal((2, k, k))
    if dtype is complex:
        a, b = a + 1j * a[::-1], b + 1j * b[::-1]
    columns, turn = np.linalg.qr(a[0])[0], np.linalg.qr(b[0])[0]
    found = canonical_basis(columns)
    np.testing.assert_allclose(canonical_basis(columns @ turn), found, atol=1e-12)
    np.testing.assert_allclose(found.conj().T @ found, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(columns @ (columns.conj().T @ found), found, atol=1e-12)
