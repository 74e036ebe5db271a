"""Stitching networks whose relation is known, and the controls."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from eqnets import functional, maps, nn

WIDTHS = (6, 8, 10)


class Net(nnx.Module):
    """Three convolutions c0 ... c2, a pool, a head."""

    def __init__(self, rngs):
        for i, (a, b) in enumerate(zip((1, *WIDTHS), WIDTHS, strict=False)):
            setattr(self, f"c{i}", nnx.Conv(a, b, (3, 3), rngs=rngs))
        self.head = nnx.Linear(WIDTHS[-1], 4, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu(self.c0(x))
        x = nnx.max_pool(jax.nn.relu(self.c1(x)), (2, 2), (2, 2))
        return self.head(jax.nn.relu(self.c2(x)).mean((1, 2)))


def striped(n=240, seed=0):
    """Gratings in four orientations, with noise: a task that a small net can learn."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    row, column = np.mgrid[:8, :8]
    angle = labels[:, None, None] * np.pi / 4
    wave = np.cos(angle) * column + np.sin(angle) * row
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    x = np.sin(1.5 * wave + phase) + 0.3 * rng.standard_normal((n, 8, 8))
    return jnp.asarray(x[..., None], jnp.float32), labels


X, LABELS = striped()
TEST = striped(100, seed=1)


def trained(seed):
    net = Net(nnx.Rngs(seed))
    graph, params = nnx.split(net)
    chain = optax.adam(1e-2)

    def loss(params):
        logits = nnx.merge(graph, params)(X)
        return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            change, state = chain.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(step, (params, chain.init(params)), None, length=100)[0][0]

    return nnx.merge(graph, train(params))


A, B = trained(0), trained(1)


def shuffled_copy(net):
    """The same function with the channels behind c1 permuted and rescaled."""
    copy, rng = nnx.clone(net), np.random.default_rng(3)
    order, scale = rng.permutation(8), jnp.asarray(rng.uniform(0.5, 2, 8), jnp.float32)
    copy.c1.kernel[...] = net.c1.kernel[...][..., order] * scale
    copy.c1.bias[...] = net.c1.bias[...][order] * scale
    copy.c2.kernel[...] = net.c2.kernel[...][:, :, order] / scale[:, None]
    return copy, order, scale


def test_the_networks_have_learned():
    for net in (A, B):
        assert (np.asarray(net(TEST[0]).argmax(-1)) == TEST[1]).mean() > 0.9


@pytest.mark.parametrize(
    "constraint", [None, "permutation", maps.Constraint("sparse", 1)]
)
def test_a_permuted_and_rescaled_copy_is_recovered(constraint):
    copy, order, scale = shuffled_copy(A)
    np.testing.assert_allclose(copy(X), A(X), atol=1e-4)
    donor, receiver = maps.cut(copy, "c1"), maps.cut(A, "c1")
    found = maps.stitch(donor, receiver, X, LABELS, constraint=constraint, test=TEST)
    expected = np.zeros((8, 8))
    expected[np.arange(8), order] = 1 / scale
    np.testing.assert_allclose(found.layer.kernel[0, 0], expected, atol=1e-3)
    assert found.fvu < 1e-8
    assert found.error == found.clean
    np.testing.assert_allclose(found(TEST[0]), A(TEST[0]), atol=1e-3)


@pytest.mark.parametrize("layer", ["c0", "c1", "c2"])
def test_a_network_covers_itself(layer):
    at = maps.cut(A, layer)
    found = maps.stitch(at, at, X, LABELS, test=TEST)
    assert abs(found.error - found.clean) <= 0.003
    assert found.fvu < 1e-6


def test_filters_may_be_given_to_start_from():
    at = maps.cut(A, "c0")
    identity = maps.StitchMap(jnp.eye(6)[None, None], jnp.zeros(6))
    found = maps.stitch(at, at, X, LABELS, init=identity, test=TEST)
    assert found.error == found.clean
    np.testing.assert_array_equal(found.layer.kernel, identity.kernel)
    assert found.layer.size == (8, 8)


def test_a_deeper_layer_covers_and_resizes():
    sizes = []
    for donor, receiver in (("c2", "c1"), ("c0", "c2")):
        cuts = maps.cut(A, donor), maps.cut(B, receiver)
        found = maps.stitch(*cuts, X, LABELS, kernel=3, test=TEST)
        z = found.layer(cuts[0].phi(TEST[0][:2]))
        sizes.append(z.shape)
        assert z.shape == cuts[1].phi(TEST[0][:2]).shape
        assert 0 < found.fvu < 1
    assert sizes == [(2, 8, 8, 8), (2, 4, 4, 10)]


def test_resizing_is_nearest_down_and_bilinear_up():
    from eqnets.maps.stitch_map import fitted_sites

    z = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(fitted_sites(z, (4, 4)), z)
    np.testing.assert_array_equal(
        fitted_sites(z, (2, 2))[0, :, :, 0], z[0, 1::2, 1::2, 0]
    )
    up = fitted_sites(z, (8, 8))[0, :, :, 0]
    np.testing.assert_allclose(up[0, :4], [0, 0.25, 0.75, 1.25])
    assert fitted_sites(z, None).shape == (1, 16)


def test_fine_tuning_on_the_task_helps_and_keeps_the_constraint():
    cuts = maps.cut(A, "c0"), maps.cut(B, "c0")
    plain = maps.stitch(*cuts, X, LABELS, test=TEST)
    key = jax.random.key(0)
    options = {"steps": 200, "key": key, "rate": 1e-2, "test": TEST}
    tuned = maps.stitch(*cuts, X, LABELS, **options)
    assert tuned.history[:, 1].min() < tuned.history[0, 1]
    assert tuned.error <= plain.error
    again = maps.stitch(*cuts, X, LABELS, **options)
    np.testing.assert_array_equal(again.layer.kernel, tuned.layer.kernel)
    turned = maps.stitch(*cuts, X, LABELS, constraint="orthogonal", **options)
    matrix = turned.layer.kernel[0, 0]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-5)
    low = maps.Constraint("low_rank", 2)
    low = maps.stitch(*cuts, X, LABELS, constraint=low, **options)
    values = np.linalg.svd(low.layer.kernel[0, 0], compute_uv=False)
    assert (values[2:] < 1e-5).all()
    assert values[1] > 1e-3
    sparse = maps.Constraint("sparse", 2)
    sparse = maps.stitch(*cuts, X, LABELS, kernel=3, constraint=sparse, **options)
    assert ((sparse.layer.kernel != 0).sum((0, 1, 2)) <= 2).all()
    drawn = maps.stitch(*cuts, X, LABELS, init="xavier", **options)
    assert drawn.history[:, 1].min() < drawn.history[0, 1]


def test_reduced_rank_is_the_best_of_its_rank():
    from eqnets.maps.constraints import solve

    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 5)) @ np.diag([3, 1, 1, 0.3, 0.1])
    y = x @ rng.standard_normal((5, 4)) + 0.1 * rng.standard_normal((100, 4)) + 2
    f = solve(maps.moments(x, y), maps.Constraint("low_rank", 2))
    assert np.linalg.matrix_rank(f.A, tol=1e-9) == 2
    best = ((f(x) - y) ** 2).sum()
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal((4, 4)) * 0.03
        other = (np.eye(4) + noise) @ f.A  # of the same rank
        b = y.mean(0) - other @ x.mean(0)
        assert ((x @ other.T + b - y) ** 2).sum() > best


class TestCovering:
    FOUND, DONE = None, []

    @classmethod
    def found(cls):
        if cls.FOUND is None:
            cls.FOUND = maps.covering_matrix(
                A,
                B,
                ["c0", "c2"],
                ["c0", "c1"],
                X,
                LABELS,
                seeds=2,
                steps=150,
                rate=1e-2,
                progress=cls.DONE.append,
            )
        return cls.FOUND

    def test_the_controls_are_always_there(self):
        found = self.found()
        assert found.error.shape == found.fvu.shape == (2, 2)
        assert found.errors.shape == (2, 2, 2)
        assert set(found.controls) == {
            *("identity", "random_donor", "clustered_noise", "noise")
        }
        for control in found.controls.values():
            assert control.error.shape == control.fvu.shape == (2, 2)
        identity = found.controls["identity"]
        assert np.isfinite(identity.error[0, 0])
        assert np.isnan(identity.error[1]).all()  # other shapes
        assert self.DONE == list(range(1, 25))  # S Lb (2 La + 2)
        for word in ("random donor", "clustered noise", "identity", "c2"):
            assert word in str(found)

    def test_noise_stays_at_chance_and_clusters_stitch_but_are_flagged(self):
        found = self.found()
        assert (found.controls["noise"].error > 0.6).all()  # chance: 0.75
        clustered = found.controls["clustered_noise"]
        assert (clustered.error < 0.1).all()
        assert (clustered.fvu > 0.8).all()
        assert not found.flagged[0].any()
        assert (found.fvu[0] < 0.6).all()

    def test_columns_line_up_whatever_is_in_them(self):
        huge = np.array([[1234.5, 0.01], [np.nan, 10.0]])
        control = maps.Control(np.array([[1.0, 0.1], [np.nan, 0.5]]), huge)
        controls = dict.fromkeys(("identity", "clustered_noise"), control)
        layers = ("a.layer.with.a.long.path", "c2")
        found = maps.Covering(layers, layers, 0.1, huge[None], huge[None], controls)
        _, head, *rows, _ = str(found).splitlines()
        assert len(rows) == 5
        assert {len(row) for row in rows} == {len(head)}
        assert "(1234.50)" in rows[2]
        for name in layers:
            end = head.index(f"{name} ") + len(name)
            assert {row[end - 1] for row in rows} <= {")", "-"}

    def test_another_seed_is_another_donor(self):
        one, two = (functional.reinitialized(A, jax.random.key(i)) for i in (0, 1))
        assert not np.allclose(one.c0.kernel[...], two.c0.kernel[...])
        np.testing.assert_array_equal(one.c0.bias[...], 0)


def test_networks_of_two_frameworks_can_be_stitched():
    class Small(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = jax.nn.relu(linen.Conv(5, (3, 3), name="front")(x))
            return linen.Dense(4)(x.mean((1, 2)))

    module = Small()
    bound = module.bind(module.init(jax.random.key(0), X[:1]))
    found = maps.covering_matrix(bound, A, ["front"], ["c1"], X[:60], LABELS[:60])
    assert np.isfinite(found.error).all()
    fresh = functional.reinitialized(bound, jax.random.key(1))
    assert not np.allclose(fresh(X[:2]), bound(X[:2]))
    with pytest.raises(TypeError, match="drawn anew"):
        maps.covering_matrix(
            lambda x: maps.tag(x, "t").mean((1, 2)), A, ["t"], ["c1"], X, LABELS
        )


def test_pixels_are_a_donor():
    found = maps.stitch(maps.pixels, maps.cut(A, "c0"), X, LABELS, kernel=3, test=TEST)
    assert found.fvu < 1e-6  # c0 is linear in 3 x 3 pixels
    np.testing.assert_allclose(found.layer.kernel, A.c0.kernel[...], atol=1e-3)


def test_the_layer_holds_a_stitch_and_learns():
    cuts = maps.cut(A, "c2"), maps.cut(B, "c0")
    found = maps.stitch(*cuts, X[:50], LABELS[:50]).layer
    layer = nn.StitchingLayer.from_map(found)
    z = cuts[0].phi(X[:3])
    np.testing.assert_allclose(layer(z), found(z), atol=1e-6)
    fresh = nn.StitchingLayer(10, 6, size=(8, 8), kernel=3, rngs=nnx.Rngs(0))
    graph, params = nnx.split(fresh)
    slope = jax.jit(jax.grad(lambda p: (nnx.merge(graph, p)(z) ** 2).sum()))(params)
    assert slope["kernel"].shape == (3, 3, 10, 6)
    with pytest.raises(ValueError, match="odd"):
        nn.StitchingLayer(3, 4, kernel=2, rngs=nnx.Rngs(0))


def test_a_stitch_is_a_pytree():
    found = maps.StitchMap(jnp.ones((1, 1, 2, 3)), jnp.zeros(3), (4, 4))
    z = jnp.ones((2, 8, 8, 2))
    np.testing.assert_array_equal(jax.jit(lambda f, z: f(z))(found, z), found(z))
    assert jax.jvp(found, (z,), (z,))[1].shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"init": "zeros"}, ValueError, "least_squares"),
        ({"kernel": 2}, ValueError, "odd"),
        (
            {"init": maps.StitchMap(jnp.ones((1, 1, 6, 6)), jnp.ones(6))},
            ValueError,
            "between",
        ),
        ({"init": "xavier"}, TypeError, "key"),
        ({"constraint": "diagonal"}, ValueError, "permutation"),
        ({"constraint": "low_rank"}, ValueError, "number"),
        ({"constraint": "permutation"}, ValueError, "as many channels"),
        ({"constraint": "orthogonal", "kernel": 3}, ValueError, "1 x 1"),
        ({"labels": LABELS[:3]}, ValueError, "labels"),
        ({"x": X.astype(jnp.int32)}, TypeError, "floating"),
    ],
)
def test_bad_input(change, error, match):
    given = {"x": X, "labels": LABELS} | change
    with pytest.raises(error, match=match):
        maps.stitch(maps.cut(A, "c0"), maps.cut(B, "c1"), **given)


def test_features_without_sites_are_no_donor_for_a_grid():
    with pytest.raises(ValueError, match="grid"):
        maps.stitch(maps.cut(A, "head"), maps.cut(B, "c1"), X, LABELS)
    with pytest.raises(ValueError, match="seeds"):
        maps.covering_matrix(A, B, ["c0"], ["c0"], X, LABELS, seeds=0)
