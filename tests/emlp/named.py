"""Every named group, and how far a function is from commuting with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import groups, reps

KEY = jax.random.key(0)
TOLERANCE = {jnp.float32: 1e-5, jnp.float64: 1e-12}

NAMED = {
    "trivial": (groups.trivial, 2),
    "SO(2)": (groups.SO, 2),
    "SO(3)": (groups.SO, 3),
    "O(3)": (groups.O, 3),
    "O(5)": (groups.O, 5),
    "SO+(1,3)": (groups.SOpq, 1, 3),
    "O(1,2)": (groups.Opq, 1, 2),
    "lorentz": (groups.lorentz,),
    "SU(2)": (groups.SU, 2),
    "SU(3)": (groups.SU, 3),
    "U(2)": (groups.U, 2),
    "SL(2)": (groups.SL, 2),
    "GL(2)": (groups.GL, 2),
    "Sp(2)": (groups.Sp, 2),
    "C_4": (groups.rotations, 4),
    "D_5": (groups.dihedral, 5),
    "Z_5": (groups.cyclic, 5),
    "S_4": (groups.symmetric, 4),
    "A_4": (groups.alternating, 4),
    "B_3": (groups.signed_permutations, 3),
    "shifts": (groups.translations, 2, 3),
    "p4 images": (groups.p4_images, 3),
    "p4m images": (groups.p4m_images, 3),
    "p4": (groups.p4, 2),
    "p4m": (groups.p4m, 2),
    "D_4 images": (groups.dihedral_images, 3),
    "cube": (groups.cube_faces,),
    "rubik": (groups.rubiks_cube,),
    "pauli": (groups.pauli, 3),
    "heisenberg": (groups.heisenberg,),
    "scaling": (groups.scaling, 2),
}


def named(name):
    make, *sizes = NAMED[name]
    return make(*sizes)


def quick_first(names, quick):
    """The names as parameters, those that are not quick marked slow."""
    slow = pytest.mark.slow
    return [n if n in quick else pytest.param(n, marks=slow) for n in names]


def some_rep(G):
    """Scalars and vectors, and tensors where they are small."""
    V, one = reps.vector(G), reps.scalar(G)
    rep = 2 * one + 2 * V
    return rep + V.dual * V if G.d <= 4 and G != groups.heisenberg() else rep


def acted(rep, g, x):
    """rho(g) x in double precision."""
    return np.asarray(rep.rho_apply(g, np.asarray(x)))


def worst_error(apply, rep_in, rep_out, dtype, *, count=2):
    """The largest |f(gx) - g f(x)| over |x| + |f|, one batch, random g."""
    (G,) = dict.fromkeys([*rep_in.groups, *rep_out.groups])
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, rep_in.size))
    with jax.enable_x64(dtype == jnp.float64):
        kind = jnp.result_type(dtype, jnp.complex64) if rep_in.is_complex else dtype
        f = jax.jit(jax.vmap(lambda v: apply(v.astype(kind))))
        y, worst = np.asarray(f(x)), 0.0
        assert y.dtype == np.dtype(kind)
        assert np.isfinite(y).all()
        assert np.abs(y).max() > 1e-4
        for key in jax.random.split(KEY, count):
            g = G.sample(key)
            gx, gy = acted(rep_in, g, x), acted(rep_out, g, y)
            # A boost stretches: errors are measured against what it stretched to.
            size = max(np.abs(y).max(), np.abs(gy).max(), np.abs(gx).max() ** 2, 1)
            worst = max(worst, np.abs(np.asarray(f(gx)) - gy).max() / size)
    return worst


def descent(loss, rate):
    """One step of gradient descent on the parameters."""
    grad = jax.grad(loss)
    return jax.jit(lambda p: jax.tree.map(lambda a, b: a - rate * b, p, grad(p)))
