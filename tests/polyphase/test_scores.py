"""Norm and convolutional scores: fixtures, exactness, ties, derivatives."""

import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import polyphase as pp
from eqnets.polyphase.fixed_point import fixed_sum, impose_order, ranks

FIXTURES = Path(__file__).parents[1] / "fixtures"
NORMS = (1, 2, 3, math.inf, "min")


def nhwc(x):
    return jnp.asarray(np.moveaxis(x, -3, -1))


def conv_params(features, hidden, key=0, ndim=2):
    draw = jax.random.normal
    keys = jax.random.split(jax.random.key(key), 4)
    three = (3,) * ndim
    return {
        "conv1": {
            "kernel": draw(keys[0], (*three, features, hidden)) / 3,
            "bias": draw(keys[1], (hidden,)) / 3,
        },
        "conv2": {
            "kernel": draw(keys[2], (*three, hidden, hidden)) / 3,
            "bias": draw(keys[3], (hidden,)) / 3,
        },
    }


def fixture_params(data):
    def conv(i):
        kernel = jnp.asarray(data[f"conv{i}_weight"].transpose(2, 3, 1, 0))
        return {"kernel": kernel, "bias": jnp.asarray(data[f"conv{i}_bias"])}

    return {"conv1": conv(1), "conv2": conv(2)}


def all_shifts(x, step=1):
    """Every circular shift of one image, stacked."""
    shifts = itertools.product(range(0, x.shape[0], step), range(0, x.shape[1], step))
    # NumPy rolls: a static jnp.roll would compile anew for every shift.
    return list(shifts), lambda s: jnp.asarray(np.roll(np.asarray(x), s, (0, 1)))


def permuted(scores, shift, stride=2):
    """What Lemma 1 makes of the scores of an image that is rolled by ``shift``."""
    offsets = pp.phase_offsets(stride)
    source = [
        offsets.index(tuple((o - d) % stride for o, d in zip(k, shift, strict=True)))
        for k in offsets
    ]
    return np.asarray(scores)[source]


@pytest.mark.parametrize(("p", "name"), [(1, "p1"), (2, "p2"), (math.inf, "pinf")])
def test_norms_match_the_fixture(p, name):
    data = np.load(FIXTURES / "02_aps.npz")
    phases = pp.split(nhwc(data["x"]), 2)
    scores = pp.norm_scores(phases, p)
    np.testing.assert_allclose(scores, data[f"norms_{name}"], rtol=2e-6)
    weights = pp.argmax_select(scores)
    np.testing.assert_array_equal(weights.argmax(-1), data[f"idx_{name}"])
    y = pp.downsample(phases, weights)
    np.testing.assert_array_equal(y, nhwc(data[f"y_{name}"]))
    np.testing.assert_array_equal(pp.image_norm_scores(nhwc(data["x"]), 2, p), scores)


def test_conv_logits_and_gradients_match_the_fixture():
    data = np.load(FIXTURES / "03_lpd.npz")
    x, params = nhwc(data["x"]), fixture_params(data)
    noise, tau = jnp.asarray(data["gumbel_noise"]), float(data["tau"])

    def loss(x, params):
        phases = pp.split(x, 2)
        logits = pp.conv_scores(phases, params)
        weights = pp.softmax_select(logits + noise, tau)
        y = pp.downsample(phases, weights)
        return jnp.sum(y * nhwc(data["cotangent"])), (logits, weights, y)

    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (value, (logits, weights, y)), (dx, dp) = run(x, params)
    np.testing.assert_allclose(logits, data["logits"], atol=1e-6)
    np.testing.assert_allclose(weights, data["prob_train"], atol=1e-6)
    np.testing.assert_allclose(y, nhwc(data["y_train_soft"]), atol=2e-6)
    np.testing.assert_allclose(value, data["loss"], rtol=1e-6)
    np.testing.assert_allclose(dx, nhwc(data["grad_x"]), atol=5e-6)
    for i in (1, 2):
        kernel = data[f"grad_conv{i}_weight"].transpose(2, 3, 1, 0)
        np.testing.assert_allclose(dp[f"conv{i}"]["kernel"], kernel, atol=5e-6)
        bias = data[f"grad_conv{i}_bias"]
        np.testing.assert_allclose(dp[f"conv{i}"]["bias"], bias, atol=5e-6)

    phases = pp.split(x, 2)
    hard = pp.argmax_select(logits)
    np.testing.assert_array_equal(hard.argmax(-1), data["idx"])
    np.testing.assert_array_equal(pp.downsample(phases, hard), nhwc(data["y_eval"]))
    convex = pp.softmax_select(logits, 0.5)
    np.testing.assert_allclose(convex, data["prob_convex_tau0p5"], atol=1e-6)
    mixed = pp.downsample(phases, convex)
    np.testing.assert_allclose(mixed, nhwc(data["y_convex_tau0p5"]), atol=2e-6)


def test_zero_padded_logits_match_the_fixture():
    data = np.load(FIXTURES / "03_lpd.npz")
    expected = np.load(FIXTURES / "03b_lpd_logits_zeropad.npz")["logits"]
    phases, params = pp.split(nhwc(data["x"]), 2), fixture_params(data)
    logits = pp.conv_scores(phases, params, padding="zeros")
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    logits = pp.image_conv_scores(nhwc(data["x"]), 2, params, padding="zeros")
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def slow_conv_score(component, params):
    """Two nested loops over taps, no collapse, float64."""

    def conv(x, p):
        kernel, out = np.asarray(p["kernel"], np.float64), 0
        for tap in np.ndindex(*kernel.shape[:-2]):
            roll = [1 - t for t in tap]
            out = out + np.roll(x, roll, range(x.ndim - 1)) @ kernel[tap]
        return out + np.asarray(p["bias"], np.float64)

    r = np.maximum(conv(np.asarray(component, np.float64), params["conv1"]), 0)
    return conv(r, params["conv2"]).mean()


@pytest.mark.parametrize("hidden", [1, 8])
@pytest.mark.parametrize(("stride", "ndim"), [(2, 1), (3, 1), (2, 2), (3, 2), (2, 3)])
def test_conv_scores_agree_with_a_slow_reference(stride, ndim, hidden):
    shape = (*(stride * n for n in (4, 3, 3)[:ndim]), 5)
    x = jax.random.normal(jax.random.key(1), shape)
    params = conv_params(5, hidden, ndim=ndim)
    phases = pp.split(x, stride, ndim=ndim)
    expected = [slow_conv_score(part, params) for part in phases]
    scores = pp.conv_scores(phases, params, ndim=ndim)
    np.testing.assert_allclose(scores, expected, atol=3e-6)
    scores = pp.image_conv_scores(x, stride, params, ndim=ndim)
    np.testing.assert_allclose(scores, expected, atol=3e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("p", NORMS)
def test_norm_scores_permute_bit_for_bit(p, dtype):
    x = jax.random.normal(jax.random.key(2), (12, 8, 3)).astype(dtype)
    score = jax.jit(lambda x: pp.image_norm_scores(x, 2, p))
    expected = score(x)
    shifts, roll = all_shifts(x)
    for shift in shifts:
        np.testing.assert_array_equal(score(roll(shift)), permuted(expected, shift))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("hidden", [1, 6])
def test_conv_scores_permute_bit_for_bit(hidden, dtype):
    x = jax.random.normal(jax.random.key(3), (12, 8, 6)).astype(dtype)
    params = jax.tree.map(lambda p: p.astype(dtype), conv_params(6, hidden))
    score = jax.jit(lambda x: pp.image_conv_scores(x, 2, params))
    expected = score(x)
    shifts, roll = all_shifts(x)
    for shift in shifts:
        np.testing.assert_array_equal(score(roll(shift)), permuted(expected, shift))


def test_near_ties_that_float_sums_get_wrong_are_decided():
    """Components that differ in one bit of one sample: 0 wrong of all shifts."""
    part = np.abs(np.random.default_rng(0).standard_normal((16, 16, 4))) + 1
    part = part.astype(np.float32)
    parts = np.stack([part] * 4)
    parts[2, 5, 7, 1] = np.nextafter(parts[2, 5, 7, 1], np.float32(9))
    x = pp.merge(jnp.asarray(parts), 2)
    score = jax.jit(lambda x: pp.image_norm_scores(x, 2, 1))
    assert int(jnp.argmax(score(x))) == 2
    shifts, roll = all_shifts(x, 5)
    for shift in shifts:
        np.testing.assert_array_equal(score(roll(shift)), permuted(score(x), shift))


def test_ties_are_settled_by_content_and_only_real_ones_remain():
    key = jax.random.key(4)
    base = jax.nn.relu(jax.random.normal(key, (8, 8, 3)))
    # A rearrangement has every p-norm in common with the original.
    parts = jnp.stack([base, base[::-1], base[:, ::-1], jnp.roll(base, 3, 0)])
    x = pp.merge(parts, 2)
    score = jax.jit(lambda x: pp.image_norm_scores(x, 2))
    scores = score(x)
    assert len(np.unique(scores[:3])) == 3
    assert scores[0] == scores[3]  # the same component up to a shift
    shifts, roll = all_shifts(x, 3)
    for shift in shifts:
        np.testing.assert_array_equal(score(roll(shift)), permuted(scores, shift))


def test_infinity_norm_after_a_max_pool_is_not_a_tie():
    x = jax.random.normal(jax.random.key(5), (16, 16, 2))
    x = jnp.max(jnp.stack([jnp.roll(x, s, (0, 1)) for s in np.ndindex(2, 2)]), 0)
    score = jax.jit(lambda x: pp.image_norm_scores(x, 2, math.inf))
    scores = score(x)
    assert len(np.unique(scores)) == 4
    np.testing.assert_allclose(scores, x.max(), rtol=1e-6)
    shifts, roll = all_shifts(x)
    for shift in shifts:
        np.testing.assert_array_equal(score(roll(shift)), permuted(scores, shift))


def test_dead_logits_are_settled_by_content():
    x = jax.random.normal(jax.random.key(6), (8, 8, 3))
    params = conv_params(3, 4)
    params["conv1"]["bias"] = jnp.full(4, -1e3)
    score = jax.jit(lambda x: pp.image_conv_scores(x, 2, params))
    assert len(np.unique(score(x))) == 4
    np.testing.assert_array_equal(
        score(jnp.roll(x, (1, 1), (0, 1))), permuted(score(x), (1, 1))
    )


@pytest.mark.parametrize("p", NORMS)
def test_degenerate_inputs_have_finite_scores_and_gradients(p):
    for x in (jnp.zeros((4, 4, 2)), jnp.full((4, 4, 2), 1e-30), jnp.ones((4, 4, 2))):
        scores = pp.image_norm_scores(x, 2, p)
        assert np.isfinite(scores).all()
        grad = jax.grad(lambda x: pp.image_norm_scores(x, 2, p).sum())(x)
        assert np.isfinite(grad).all()


@pytest.mark.parametrize("p", NORMS)
def test_norm_derivatives_against_central_differences(p):
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(7), (4, 6, 2), jnp.float64)
        t = jax.random.normal(jax.random.key(8), x.shape, jnp.float64)
        f = lambda x: pp.norm_scores(pp.split(x, 2), p)
        _, tangent = jax.jvp(f, (x,), (t,))
        difference = (f(x + 1e-5 * t) - f(x - 1e-5 * t)) / 2e-5
        # The fixed-point grid is 2 ** -50 wide here; its rounding over 1e-5 is 1e-8.
        np.testing.assert_allclose(tangent, difference, atol=1e-7)
        reverse = jax.jacrev(f)(x)
        np.testing.assert_allclose((reverse * t).sum((1, 2, 3)), tangent, atol=1e-12)


def test_vmap_and_batches_agree():
    x = jax.random.normal(jax.random.key(9), (3, 8, 8, 4))
    params = conv_params(4, 2)
    for score in (
        lambda x: pp.image_norm_scores(x, 2),
        lambda x: pp.image_conv_scores(x, 2, params),
    ):
        np.testing.assert_allclose(jax.vmap(score)(x), score(x), rtol=1e-6)
        nested = score(x[None])
        np.testing.assert_allclose(nested[0], score(x), rtol=1e-6)


def test_unknown_norms_and_foreign_kernels_are_refused():
    phases = jnp.zeros((1, 4, 2, 2, 3))
    for p in (0.5, "max", float("nan")):
        with pytest.raises(ValueError, match="p must be"):
            pp.norm_scores(phases, p)
    with pytest.raises(ValueError, match="expected a kernel"):
        pp.conv_scores(phases, conv_params(5, 2))
    with pytest.raises(ValueError, match="expected phases"):
        pp.norm_scores(phases[0, 0])


class TestFixedPoint:
    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
    def test_the_mean_over_space_is_the_same_bit_for_bit(self, dtype):
        x = 1e6 * jax.random.normal(jax.random.key(0), (7, 9, 5)).astype(dtype)
        mean = jax.jit(pp.invariant_mean)
        expected = np.asarray(x, np.float64).mean((0, 1))
        close = 1e-2 if dtype == jnp.bfloat16 else 2e-7
        np.testing.assert_allclose(np.asarray(mean(x), "f8"), expected, rtol=close)
        for shift in ((1, 0), (0, 1), (3, 5), (6, 8)):
            moved = jnp.asarray(np.roll(np.asarray(x), shift, (0, 1)))
            np.testing.assert_array_equal(mean(moved), mean(x))
        gradient = jax.grad(lambda x: mean(x)[0].astype(jnp.float32))(x)
        np.testing.assert_allclose(
            np.asarray(gradient[..., 0], "f8"), 1 / 63, rtol=close
        )

    def test_sums_are_exact_and_blind_to_order(self):
        rng = np.random.default_rng(1)
        x = (rng.uniform(-1, 1, 1000) * 10.0 ** rng.uniform(-6, 0, 1000)).astype("f4")
        totals = {
            tuple(int(v) for v in fixed_sum(jnp.asarray(rng.permutation(x)), (0,)))
            for _ in range(20)
        }
        assert len(totals) == 1
        high, low, bits = totals.pop()
        assert 0 <= low < 2**bits
        value = (high * 2**bits + low) / 4**bits
        assert abs(value - x.astype(np.float64).sum()) < 1000 * 4.0**-bits

    def test_order_is_imposed_by_a_few_units_in_the_last_place(self):
        values = jnp.array([1.0, 1.0, -2.0, 1.0, 0.0, -0.0])
        rank, tied = ranks([jnp.array([5, 3, 1, 4, 2, 2])])
        moved = impose_order(values, rank)
        assert not tied
        np.testing.assert_array_equal(jnp.argsort(moved)[-3:], [1, 3, 0])
        np.testing.assert_allclose(moved, values, rtol=1e-6)
        assert moved[4] == moved[5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2.0**127])
def test_values_beyond_the_grid_give_nan_and_never_a_number(bad):
    x = jnp.ones((2, 4, 4, 3)).at[0, 1, 2, 0].set(bad)
    mean = pp.invariant_mean(x)
    assert np.isnan(mean[0, 0])
    np.testing.assert_array_equal(mean[1], 1.0)
    phases = pp.split(x, 2)
    params = {
        "conv1": {"kernel": jnp.ones((3, 3, 3, 2)), "bias": jnp.zeros(2)},
        "conv2": {"kernel": jnp.ones((3, 3, 2, 2)), "bias": jnp.zeros(2)},
    }
    scores = [pp.norm_scores(phases, p) for p in (1, 2, np.inf, "min")]
    for found in (*scores, pp.conv_scores(phases, params)):
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1]).all()
