"""M_g on networks whose equivariance is known, and what is learned from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import actions, maps, nn
from eqnets.maps.inversion import total_variation

from .nets import ELEMENTS, P4MNet, act, channel_permutation

NET = P4MNet(rngs=nnx.Rngs(1))
X = jax.random.normal(jax.random.key(0), (300, 8, 8, 1))
LABELS = np.asarray(NET(X).argmax(-1))
CUTS = {layer: maps.cut(NET, layer) for layer in ("lift", "group")}
GRID = maps.centred_grid(8, 8)  # what probing finds, see test_geometry
MOVES = {
    "90": (actions.rot90, (1, 0)),
    "180": (maps.rotate(180), (2, 0)),
    "hflip": (actions.hflip, (0, 1)),
    "vflip": (maps.flip("y"), (2, 1)),
}


def test_the_net_is_equivariant():
    z = CUTS["group"].phi(X[:2])
    for e in ELEMENTS:
        moved = CUTS["group"].phi(act(e, X[:2], (1, 2)))
        expected = act(e, z, (1, 2)) @ channel_permutation(e, 2).T
        np.testing.assert_allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "k"),
    [
        ("90", "lift", None),
        ("180", "group", None),
        ("hflip", "group", None),
        ("vflip", "group", 1),
        ("90", "group", 1),
    ],
)
def test_the_map_of_a_p4m_net_is_its_channel_permutation(name, layer, k):
    g, element = MOVES[name]
    fit = maps.fit_equivariance(CUTS[layer], g, X[:100], k=k, grid=GRID)
    expected = np.zeros_like(fit.kernel)
    expected[1, 1] = channel_permutation(element, 2).T
    np.testing.assert_allclose(fit.kernel, expected, atol=1e-3)
    np.testing.assert_allclose(fit.bias, 0, atol=1e-3)
    np.testing.assert_allclose(fit.compensated(X), NET(X), atol=5e-3)


def test_the_layer_holds_the_fit():
    fit = maps.fit_equivariance(CUTS["group"], actions.rot90, X[:100])
    assert fit.grid == GRID
    layer = nn.TransformationLayer.from_fit(fit)
    z = fit.cut.phi(X[:3])
    np.testing.assert_allclose(layer(z), fit(z), atol=1e-6)
    fresh = nn.TransformationLayer(16, maps.rotate(90), fit.grid, m=5)
    np.testing.assert_array_equal(fresh(z), actions.rot90(z))
    graph, params = nnx.split(fresh)
    slope = jax.jit(jax.grad(lambda p: nnx.merge(graph, p)(z).sum()))(params)
    assert slope["kernel"].shape == (5, 5, 16, 16)
    with pytest.raises(ValueError, match="odd"):
        nn.TransformationLayer(4, maps.rotate(90), fit.grid, m=2)


def test_an_orbit_pooled_layer_is_all_invariant_and_the_first_is_not():
    found = maps.invariance_profile(
        NET, ["lift", "pool"], actions.rot90, (X[:100], LABELS[:100]), (X, LABELS)
    )
    assert found.clean == 0
    assert found.transformed > 0.3
    lift, pool = found.layers
    assert lift.permuted > 0.1  # moving the sites alone does not do
    assert pool.permuted == 0  # here it does
    assert max(lift.mapped, pool.mapped) < 0.02
    whole = maps.invariant_channels(pool.fit, X, LABELS)
    assert (whole.count, whole.total) == (2, 2)
    assert (whole.scores > 1e2).all()
    part = maps.invariant_channels(lift.fit, X, LABELS)
    assert part.total == 16
    assert part.count < 16
    assert (part.scores < 1.01).all()  # no diagonal: every channel goes to another
    for channels in (whole, part):
        assert channels.base > 0.98
        assert channels.accuracy >= 0.95 * channels.base
    with pytest.raises(ValueError, match="tolerance"):
        maps.invariant_channels(pool.fit, X, LABELS, tolerance=1.0)


@pytest.mark.parametrize("loss", ["task", "l2_relu"])
def test_descent_from_the_identity_finds_a_better_map_and_keeps_the_best(loss):
    cut = CUTS["group"]
    how = maps.Descent(steps=40, rate=0.03, every=10)
    options = {"loss": loss, "m": 1, "descent": how, "start": "identity", "grid": GRID}
    fit = maps.fit_equivariance(cut, actions.rot90, X, LABELS, **options)
    again = maps.fit_equivariance(cut, actions.rot90, X, LABELS, **options)
    np.testing.assert_array_equal(fit.kernel, again.kernel)
    held = fit.history[:, 1]
    assert held.min() < 0.6 * held[0]
    if loss == "task":
        plain = maps.error_rate(
            lambda x: cut.psi(cut.phi(actions.rot90(x, 3))), X, LABELS
        )
        assert maps.error_rate(fit.compensated, X, LABELS) < 0.7 * plain


def test_a_least_squares_start_is_never_left_for_worse():
    cut = CUTS["group"]
    how = maps.Descent(steps=20, rate=1.0, every=5)  # far too fast on purpose
    fit = maps.fit_equivariance(cut, actions.hflip, X, LABELS, loss="task", descent=how)
    closed = maps.fit_equivariance(cut, actions.hflip, X[:200])
    assert maps.error_rate(fit.compensated, X, LABELS) <= 0.02
    assert maps.error_rate(closed.compensated, X, LABELS) <= 0.02


def test_features_without_sites_are_mapped_by_a_matrix():
    flat = nnx.Sequential(
        nnx.Conv(1, 3, (3, 3), rngs=nnx.Rngs(0)),
        lambda z: z.reshape(len(z), -1),
        nnx.Linear(192, 6, rngs=nnx.Rngs(1)),
        nnx.Linear(6, 4, rngs=nnx.Rngs(2)),
    )
    fit = maps.fit_equivariance(maps.cut(flat, "layers.2"), actions.hflip, X)
    assert fit.kernel.shape == (1, 1, 6, 6)
    assert fit.grid is None
    z, target = fit.cut.phi(actions.hflip(X)), fit.cut.phi(X)
    reference = maps.least_squares(z, target)
    np.testing.assert_allclose(fit(z), reference(np.asarray(z)), atol=1e-4)
    with pytest.raises(ValueError, match="grid"):
        nn.TransformationLayer.from_fit(fit)


def test_bad_options_are_named():
    cut = CUTS["group"]
    with pytest.raises(ValueError, match="loss must be one of"):
        maps.fit_equivariance(cut, actions.hflip, X, loss="l1")
    with pytest.raises(ValueError, match="needs labels"):
        maps.fit_equivariance(cut, actions.hflip, X, loss="task")
    with pytest.raises(TypeError, match="images"):
        maps.fit_equivariance(cut, actions.hflip, X[0])
    how = maps.Descent(held_out=1.0)
    with pytest.raises(ValueError, match="some must be left"):
        maps.fit_equivariance(cut, actions.hflip, X, LABELS, loss="task", descent=how)


class TestPose:
    def test_templates_score_like_the_maps(self, x64):
        rng = np.random.default_rng(0)
        x, w = rng.normal(size=(30, 7)), rng.normal(size=5)
        fits = [
            maps.LinearMap(rng.normal(size=(5, 7)), rng.normal(size=5))
            for _ in range(4)
        ]
        scores = maps.pose_templates(fits, w)(x)
        direct = np.stack([f(x) @ w for f in fits], 1)
        np.testing.assert_allclose(scores, direct, atol=1e-12)
        with pytest.raises(ValueError, match="at least one pose"):
            maps.pose_templates([], w)
        with pytest.raises(ValueError, match="6 entries"):
            maps.pose_templates(fits, np.ones(6))

    def test_a_template_is_learned(self):
        rng = np.random.default_rng(0)
        truth, features = rng.normal(size=6), rng.normal(size=(200, 5, 6))
        poses = (features @ truth).argmax(1)
        w = maps.fit_template(features[:150], poses[:150])
        found = (features[150:] @ w).argmax(1)
        assert np.mean(found == poses[150:]) > 0.9
        with pytest.raises(ValueError, match="n, poses, q"):
            maps.fit_template(features[0], poses)


class TestInversion:
    def test_a_pre_image_has_the_features(self):
        phi, key = CUTS["lift"].phi, jax.random.key(0)
        z = phi(X[:2])
        options = {"key": key, "steps": 100, "limits": (-4.0, 4.0)}
        found = maps.invert(phi, z, (8, 8, 1), tv=1e-4, **options)
        assert (found.residual < 0.1).all()
        assert found.losses[-1] < 0.05 * found.losses[0]
        error = jnp.linalg.norm(found.image - X[:2]) / jnp.linalg.norm(X[:2])
        assert error < 0.2  # filters of all orientations keep the image
        with pytest.raises(ValueError, match="gives"):
            maps.invert(phi, z[..., 1:], (8, 8, 1), **options)

    def test_total_variation_smooths(self):
        rough = []
        for tv in (0.0, 100.0):
            options = {"key": jax.random.key(0), "steps": 50, "tv": tv}
            made = maps.invert(jnp.tanh, jnp.tanh(X[:1]), (8, 8, 1), **options)
            rough.append(total_variation(made.image)[0])
        assert rough[1] < 0.1 * rough[0]

    def test_total_variation_by_hand(self):
        x = jnp.array([[0.0, 1.0], [0.0, 3.0]]).reshape(1, 2, 2, 1)
        assert total_variation(x)[0] == pytest.approx(2.0 + 5.0)
