"""The public names of DESIGN.md, each called once in the form acceptance uses: types and shapes only.

Copy into tests/ as the parts are built; a part is not done while its class here fails.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

KEY = jax.random.key(0)
IMAGES = jax.random.normal(KEY, (2, 16, 12, 3))
FOURIER = dict(interpolation="fourier", boundary="wrap")


class TestActionsAndMeasure:
    def test_actions(self):
        from eqnets import actions

        made = [
            actions.translation("x"),
            actions.translation("y", **FOURIER),
            actions.rotation(),
            actions.scaling(),
            actions.shear("x"),
            actions.stretch("y"),
            actions.hyperbolic_rotation(),
            actions.brightness(),
            actions.rotation(stencil="reference"),
            actions.affine(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])),
            actions.from_function(lambda x, t: x * jnp.exp(t)),
        ]
        for a in made:
            assert a(IMAGES, 0.0).shape == IMAGES.shape == a.tangent(IMAGES).shape
        assert actions.roll(IMAGES, 1, 2).shape == IMAGES.shape

    def test_measure(self):
        from eqnets import actions, measure

        f = lambda x: jax.nn.softmax(jnp.tanh(x).mean((1, 2)))
        a = actions.translation("x")
        assert measure.lie_derivative(f, a)(IMAGES).shape == (2, 3)
        assert measure.lie_derivative(jnp.tanh, a, a)(IMAGES).shape == IMAGES.shape
        e = measure.lee(f, a, IMAGES)
        assert (
            e.per_example.shape == (2,) and float(e.mean) >= 0 and float(e.stderr) >= 0
        )
        p = lambda x: f(x).argmax(-1)
        assert (
            0
            <= float(measure.circular_consistency(p, IMAGES, KEY, max_shift=3, pairs=2))
            <= 1
        )
        assert float(
            measure.agreement(np.array([[0, 1, 2], [0, 1, 1]]))
        ) == pytest.approx(2 / 3)

    def test_layerwise(self):
        from eqnets import actions, measure

        def net(x):
            with jax.named_scope("first"):
                x = jnp.tanh(x)
            with jax.named_scope("second"):
                return (x**2).mean((1, 2))

        r = measure.layerwise(net, actions.translation("x"), IMAGES)
        assert (
            r.contributions.shape == (len(r.names), 2, 3)
            and r.total.shape == (2, 3)
            and r.norms.shape == (len(r.names),)
        )
        r = measure.layerwise(net, actions.translation("x"), IMAGES, probes=3, key=KEY)
        assert r.norms.shape == r.stderr.shape


class TestPolyphase:
    def test_functions(self):
        from eqnets import polyphase as pp

        x = IMAGES[:, :, :12]
        ph = pp.split(x, 2)
        assert ph.shape == (2, 4, 8, 6, 3) and pp.merge(ph, 2).shape == x.shape
        w = pp.argmax_select(pp.norm_scores(ph, p=2))
        assert w.shape == (2, 4) and pp.gumbel_select(
            KEY, pp.norm_scores(ph), 0.5
        ).shape == (2, 4)
        y = pp.downsample(ph, w)
        assert (
            y.shape == (2, 8, 6, 3)
            and pp.upsample(y, w, 2).shape == x.shape
            and pp.lowpass(x, 3).shape == x.shape
        )

    def test_layers(self):
        from eqnets import nn

        y, w = nn.LearnablePolyphaseDown(3, stride=2, hidden=4, rngs=nnx.Rngs(0))(
            IMAGES
        )
        assert (
            y.shape == (2, 8, 6, 3)
            and nn.PolyphaseUp(stride=2, antialias="tri3")(y, w).shape == IMAGES.shape
        )
        y1, _ = nn.LearnablePolyphaseDown(3, stride=2, ndim=1, rngs=nnx.Rngs(0))(
            IMAGES[:, :, 0]
        )
        assert y1.shape == (2, 8, 3)

    def test_resnet(self):
        from eqnets import models

        m = models.resnet(
            18,
            10,
            stem="cifar",
            down="lps",
            hidden=(8, 16, 32, 64),
            antialias="tri3",
            rngs=nnx.Rngs(0),
        )
        m = nnx.view(m, use_running_average=True, raise_if_not_found=False)
        assert m(jnp.zeros((1, 32, 32, 3))).shape == (1, 10)
        assert (
            nnx.eval_shape(
                lambda: models.resnet(
                    101, 10, stem="imagenet", down="aps", rngs=nnx.Rngs(0)
                )
            )
            is not None
        )


class TestSolver:
    def test_groups_and_reps(self):
        from eqnets import groups, reps

        g = groups.SO(3)
        v = reps.vector(g)
        assert g.sample(KEY).shape == (3, 3) and (v >> v).size == 9
        for rep, rank in (
            (reps.T(g, 2), 1),
            (v >> v, 1),
            (2 * v + reps.T(g, 2) + reps.scalar(g), 2),
            (v * v * v, 1),
            (v**2, 1),
            (v.dual, 0),
        ):
            b = reps.equivariant_basis(rep)
            assert (
                b.rank == rank
                and b.dense().shape == (rep.size, rank)
                and b.dense().dtype == np.float64
                and b.residual < 1e-9
            )
        reps.clear_cache()
        a, b = groups.cyclic(3).factor("a"), groups.cyclic(3).factor("b")
        assert reps.equivariant_basis(reps.vector(a) * reps.vector(b)).rank == 1
        with pytest.raises(ValueError):
            groups.MatrixGroup(discrete=np.ones((1, 2, 3)))
        assert issubclass(reps.BasisError, Exception)

    @pytest.mark.parametrize(
        "make",
        [
            "trivial(2)",
            "O(3)",
            "SOpq(1, 3)",
            "Opq(1, 3)",
            "lorentz()",
            "SU(3)",
            "U(2)",
            "SL(2)",
            "GL(2)",
            "Sp(2)",
            "rotations(4)",
            "dihedral(6)",
            "cyclic(5)",
            "symmetric(4)",
            "alternating(4)",
            "signed_permutations(3)",
            "translations(3, 4)",
            "p4_images(4)",
            "p4m_images(4)",
            "p4(3)",
            "p4m(3)",
            "dihedral_images(4)",
            "cube_faces()",
            "rubiks_cube()",
            "pauli(3)",
            "heisenberg()",
            "scaling(2)",
        ],
    )
    def test_named_groups(self, make):
        from eqnets import groups, reps

        g = eval("groups." + make)
        assert (
            g.sample(KEY).shape == (g.d, g.d)
            and reps.equivariant_basis(reps.vector(g) >> reps.vector(g)).rank >= 1
        )


class TestEMLP:
    def test_layers(self):
        from eqnets import groups, models, nn, reps

        g = groups.SO(3)
        r_in, r_out = 2 * reps.vector(g), reps.vector(g)
        assert nn.EquivariantLinear(r_in, r_out, rngs=nnx.Rngs(0))(
            jnp.ones((5, 6))
        ).shape == (5, 3)
        assert models.emlp(r_in, r_out, g, ch=32, num_layers=2, rngs=nnx.Rngs(0))(
            jnp.ones((5, 6))
        ).shape == (5, 3)


class TestMaps:
    def test_regression_and_hog(self):
        from eqnets import maps

        x, y = np.random.default_rng(0).standard_normal((2, 40, 6))
        for m in (
            maps.least_squares(x, y),
            maps.ridge(x, y, 0.1),
            maps.forward_select(x, y, 2),
            maps.forward_select(x, y, 2, rule="ols"),
        ):
            assert m.A.shape == (6, 6) and m.b.shape == (6,) and m(x).shape == (40, 6)
        assert (
            maps.hog(jnp.ones((2, 72, 72, 1)), bins=9).ndim
            == 4
            == maps.hog(jnp.ones((2, 72, 72, 1)), bins=8, soft=True).ndim
        )
