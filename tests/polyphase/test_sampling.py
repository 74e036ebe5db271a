"""Selection, down- and upsampling, filters, schedules; Claims 1 to 4 of the paper."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import polyphase as pp
from eqnets.polyphase.adaptive import filter_patches

FIXTURES = Path(__file__).parents[1] / "fixtures"
PADDINGS = ("circular", "reflect", "replicate", "constant")


def nhwc(x):
    return jnp.asarray(np.moveaxis(x, -3, -1))


def is_a_roll(y, reference, stride):
    """Whether ``y`` is ``reference`` rolled by 0 .. stride samples on each axis."""
    ndim = y.ndim - 1
    y, reference = np.asarray(y), np.asarray(reference)
    return any(
        bool((y == np.roll(reference, shift, tuple(range(ndim)))).all())
        for shift in itertools.product(range(-stride, stride + 1), repeat=ndim)
    )


def shift_invariant_score(component, ndim):
    """Any f that a circular shift of its argument leaves alone: sorted, then summed."""
    values = jnp.sort(component.reshape(-1))
    return jnp.sum(values * jnp.linspace(0, 1, values.size))


CASES = [(2, 1), (3, 1), (2, 2), (3, 2), (2, 3)]


@pytest.mark.parametrize(("stride", "ndim"), CASES)
def test_claims_1_and_3_selection_by_an_invariant_score_commutes(stride, ndim):
    """Claim 3: p is shift-permutation equivariant; Claim 1: so LPD is equivariant."""
    shape = (*(stride * n for n in (3, 2, 2)[:ndim]), 2)
    x = jax.random.normal(jax.random.key(0), shape)

    def lpd(x):
        phases = pp.split(x, stride, ndim=ndim)
        scores = jnp.stack([shift_invariant_score(part, ndim) for part in phases])
        return pp.downsample(phases, pp.argmax_select(scores), ndim=ndim), scores

    lpd = jax.jit(lpd)
    y, scores = lpd(x)
    for shift in itertools.product(range(stride + 1), repeat=ndim):
        moved, moved_scores = lpd(np.roll(np.asarray(x), shift, tuple(range(ndim))))
        np.testing.assert_array_equal(np.sort(moved_scores), np.sort(scores))
        assert is_a_roll(moved, y, stride)


@pytest.mark.parametrize("p", [1, 2])
def test_claim_2_the_norm_as_the_network_reproduces_aps(p):
    """LPD with f(component) = |component|_p, through softmax, keeps what APS keeps."""
    data = np.load(FIXTURES / "02_aps.npz")
    phases = pp.split(nhwc(data["x"]), 2)
    logits = pp.norm_scores(phases, p)
    probability = pp.softmax_select(logits, 1.0)  # equation (18)
    weights = pp.argmax_select(probability)
    np.testing.assert_array_equal(weights.argmax(-1), data[f"idx_p{p}"])
    y = pp.downsample(phases, weights)
    np.testing.assert_array_equal(y, nhwc(data[f"y_p{p}"]))


@pytest.mark.parametrize(("stride", "ndim"), CASES)
@pytest.mark.parametrize("size", [1, 3])
def test_claim_4_up_after_down_is_equivariant(stride, ndim, size):
    shape = (*(stride * n for n in (3, 2, 2)[:ndim]), 2)
    x = jax.random.normal(jax.random.key(1), shape)

    @jax.jit
    def lpu_lpd(x):
        phases = pp.split(x, stride, ndim=ndim)
        weights = pp.argmax_select(pp.norm_scores(phases, ndim=ndim))
        y = pp.downsample(phases, weights, ndim=ndim)
        u = pp.upsample(y, weights, stride, ndim=ndim)
        return pp.lowpass(u, size, gain=stride, ndim=ndim)

    u = lpu_lpd(x)
    for shift in itertools.product(range(stride + 1), repeat=ndim):
        axes = tuple(range(ndim))
        np.testing.assert_array_equal(
            lpu_lpd(np.roll(np.asarray(x), shift, axes)), np.roll(u, shift, axes)
        )


def test_a_constant_image_needs_the_low_pass():
    x = jnp.ones((4, 4, 1))
    weights = pp.argmax_select(pp.norm_scores(pp.split(x, 2)))
    u = pp.upsample(x[::2, ::2], weights, 2)
    assert not (jnp.roll(u, 1, 0) == u).all()
    np.testing.assert_array_equal(pp.lowpass(u, 2, gain=2), x)


@pytest.mark.parametrize("name", ["hard", "train_soft", "convex_tau0p5"])
def test_upsampling_matches_the_fixture(name):
    data = np.load(FIXTURES / "05_lpu.npz")
    logits = jnp.asarray(data["logits"])
    weights = {
        "hard": pp.argmax_select(logits),
        "train_soft": jnp.asarray(data["prob"]),
        "convex_tau0p5": pp.softmax_select(logits, 0.5),
    }[name]
    u = pp.upsample(nhwc(data["y"]), weights, 2)
    np.testing.assert_allclose(u, nhwc(data[f"u_{name}"]), atol=1e-6)


@pytest.mark.parametrize(("name", "size"), [("rect2", 2), ("tri3", 3), ("bin5", 5)])
def test_filtered_upsampling_matches_the_fixture(name, size):
    data = np.load(FIXTURES / "05_lpu.npz")
    u = pp.lowpass(nhwc(data["u_hard"]), size, gain=2)
    np.testing.assert_allclose(u, nhwc(data[f"u_hard_{name}"]), atol=1e-6)


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("padding", PADDINGS)
def test_lowpass_matches_the_fixture(padding, size):
    data = np.load(FIXTURES / "06_lpf.npz")
    y = pp.lowpass(nhwc(data["x"]), size, padding=padding)
    np.testing.assert_allclose(y, nhwc(data[f"y_{padding}_{size}"]), atol=1e-6)
    row = pp.binomial_kernel(size)
    np.testing.assert_allclose(np.outer(row, row), data[f"kernel_{size}"], atol=1e-7)


def test_lowpass_options_match_the_fixture():
    data = np.load(FIXTURES / "06_lpf.npz")
    x, even = nhwc(data["x"]), nhwc(data["xe"])
    y = pp.lowpass(x, 3, gain=2.0)
    np.testing.assert_allclose(y, nhwc(data["y_circular_3_scale2"]), atol=1e-6)
    y = pp.lowpass(x, 3, padding="valid")
    np.testing.assert_allclose(y, nhwc(data["y_valid_3"]), atol=1e-6)
    for size in range(1, 6):
        y = pp.lowpass(even, size, padding="reflect", stride=2)
        expected = nhwc(data[f"blurpool_reflect_s2_{size}"])
        np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("ndim", [1, 3])
def test_lowpass_in_other_dimensions_is_the_outer_product(ndim):
    x = jax.random.normal(jax.random.key(2), (*(5, 4, 3)[:ndim], 2))
    expected = np.asarray(x, np.float64)
    for axis in range(ndim):
        expected = sum(
            tap * np.roll(expected, 1 - t, axis)
            for t, tap in enumerate((0.25, 0.5, 0.25))
        )
    np.testing.assert_allclose(pp.lowpass(x, 3, ndim=ndim), expected, atol=1e-6)


CASES_07 = ["circular_k3_g2", "circular_k5_g4", "reflect_k3_g2", "reflect_k5_g4"]


@pytest.mark.parametrize("case", CASES_07)
def test_adaptive_lowpass_matches_the_fixture(case):
    data = np.load(FIXTURES / "07_ddac.npz")
    padding, _, groups = case.split("_")
    get = lambda name: data[f"{case}/{name}"]
    params = {
        "kernel": jnp.asarray(get("conv_weight").transpose(2, 3, 1, 0)),
        "scale": get("bn_weight"),
        "bias": get("bn_bias"),
        "mean": get("bn_mean"),
        "var": get("bn_var"),
    }
    y = pp.adaptive_lowpass(
        nhwc(get("x")), params, groups=int(groups[1:]), padding=padding
    )
    np.testing.assert_allclose(y, nhwc(get("y")), atol=2e-6)


SCHEDULES = np.load(FIXTURES / "13_tau_schedules.npz")


@pytest.mark.parametrize("name", [n.removeprefix("tau_") for n in SCHEDULES])
def test_published_schedules_match_the_fixture(name):
    tau = jax.jit(jax.vmap(pp.published_schedule(name)))(jnp.arange(1, 261))
    np.testing.assert_allclose(tau, SCHEDULES[f"tau_{name}"], rtol=2e-5)


def test_an_unknown_published_schedule_is_refused():
    with pytest.raises(ValueError, match="imagenet_multistep02"):
        pp.published_schedule("cosine")


def test_selections_are_weights():
    key, scores = jax.random.key(3), jax.random.normal(jax.random.key(4), (500, 4))
    for weights in (
        pp.argmax_select(scores),
        pp.softmax_select(scores, 0.5),
        pp.gumbel_select(key, scores, 0.5),
        pp.straight_through_select(key, scores, 0.5),
    ):
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    soft = pp.gumbel_select(key, scores, 0.7)
    hard = pp.straight_through_select(key, scores, 0.7)
    np.testing.assert_array_equal(hard.argmax(-1), soft.argmax(-1))
    gradient = jax.grad(lambda s: pp.straight_through_select(key, s, 0.7)[:, 0].sum())
    expected = jax.grad(lambda s: pp.gumbel_select(key, s, 0.7)[:, 0].sum())
    np.testing.assert_allclose(gradient(scores), expected(scores), atol=1e-6)


def test_gumbel_samples_follow_the_softmax():
    scores = jnp.array([0.0, 1.0, -1.0, 0.5])
    keys = jax.random.split(jax.random.key(5), 20000)
    index = jax.vmap(lambda k: pp.gumbel_select(k, scores, 0.3).argmax())(keys)
    share = jnp.bincount(index, length=4) / 20000
    # Four standard deviations of a share over 20,000 draws are below 0.015.
    np.testing.assert_allclose(share, jax.nn.softmax(scores), atol=0.015)


def test_errors():
    x = jnp.zeros((1, 4, 4, 8))
    with pytest.raises(ValueError, match="size 1 to 7"):
        pp.lowpass(x, 8)
    with pytest.raises(ValueError, match="padding must be"):
        pp.lowpass(x, 3, padding="mirror")
    with pytest.raises(ValueError, match="groups"):
        filter_patches(x, jnp.zeros((1, 4, 4, 27)), groups=3)
    with pytest.raises(ValueError, match="milestones"):
        pp.linear_milestones([5, 3], [1.0, 0.5])
    with pytest.raises(ValueError, match="every"):
        pp.step_decay(0, 0.5)
