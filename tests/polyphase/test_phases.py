"""Split, merge and windows: laws over strides and dimensions, and Lemma 1."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import polyphase as pp
from eqnets.polyphase.phases import components, mixed_window

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = list(itertools.product((1, 2, 3, 4), (1, 2, 3)))


def image(stride, ndim, batch=(2,)):
    shape = (*batch, *(stride * n for n in (3, 2, 2)[:ndim]), 3)
    return jax.random.normal(jax.random.key(stride + 10 * ndim), shape)


def slow_component(x, k, stride, ndim):
    """Element by element, from the definition."""
    offset = np.unravel_index(k, (stride,) * ndim)
    space = x.shape[-ndim - 1 : -1]
    out = np.zeros((*x.shape[: -ndim - 1], *(n // stride for n in space), x.shape[-1]))
    for place in np.ndindex(*(n // stride for n in space)):
        source = tuple(stride * m + d for m, d in zip(place, offset, strict=True))
        out[(..., *place, slice(None))] = x[(..., *source, slice(None))]
    return out


def test_the_order_is_that_of_the_fixture():
    data = np.load(FIXTURES / "01_polyphase_split.npz")
    x = jnp.asarray(data["x"].transpose(0, 2, 3, 1))
    expected = data["components"].transpose(1, 0, 3, 4, 2)
    np.testing.assert_array_equal(pp.split(x, 2), expected)
    np.testing.assert_array_equal(pp.phase_offsets(2), data["component_order"])


@pytest.mark.parametrize(("stride", "ndim"), CASES)
def test_split_is_its_definition_and_merge_its_inverse(stride, ndim):
    x = image(stride, ndim, (2, 2))
    phases = pp.split(x, stride, ndim=ndim)
    for k in range(stride**ndim):
        expected = slow_component(np.asarray(x), k, stride, ndim)
        np.testing.assert_array_equal(jnp.take(phases, k, -ndim - 2), expected)
    np.testing.assert_array_equal(pp.merge(phases, stride, ndim=ndim), x)


@pytest.mark.parametrize(("stride", "ndim"), CASES)
def test_lemma_1_a_shift_permutes_the_components_and_shifts_them(stride, ndim):
    x = image(stride, ndim)
    phases = pp.split(x, stride, ndim=ndim)
    offsets = pp.phase_offsets(stride, ndim)
    axes = tuple(range(1, 1 + ndim))
    for shift in ((1,) * ndim, (2, 0, 1)[:ndim]):
        # The paper's T reads x[n + 1]: a roll by minus one.
        moved = pp.split(jnp.roll(x, [-d for d in shift], axes), stride, ndim=ndim)
        for k, offset in enumerate(offsets):
            total = [o + d for o, d in zip(offset, shift, strict=True)]
            source = offsets.index(tuple(t % stride for t in total))
            expected = jnp.roll(
                phases[:, source], [-(t // stride) for t in total], axes
            )
            np.testing.assert_array_equal(moved[:, k], expected)


@pytest.mark.parametrize(("stride", "ndim"), CASES)
def test_take_and_mixed_window_agree_with_downsample(stride, ndim):
    x = image(stride, ndim)
    phases = pp.split(x, stride, ndim=ndim)
    count = stride**ndim
    index = jnp.arange(2) * 7 % count
    hard = jax.nn.one_hot(index, count)
    expected = pp.downsample(phases, hard, ndim=ndim)
    np.testing.assert_array_equal(pp.take(x, index, stride, ndim=ndim), expected)
    soft = jax.nn.softmax(jax.random.normal(jax.random.key(0), (2, count)))
    window = mixed_window(x, soft, stride, ndim=ndim)
    every = (..., *(slice(None, None, stride),) * ndim, slice(None))
    expected = pp.downsample(phases, soft, ndim=ndim)
    np.testing.assert_allclose(window[every], expected, atol=1e-6)


def test_dtype_is_kept_and_transformations_agree():
    x = image(2, 2).astype(jnp.bfloat16)
    assert pp.split(x, 2).dtype == pp.merge(pp.split(x, 2), 2).dtype == jnp.bfloat16
    x = image(2, 2)
    np.testing.assert_array_equal(jax.jit(lambda x: pp.split(x, 2))(x), pp.split(x, 2))
    by_example = jax.vmap(lambda x: pp.split(x, 2))(x)
    np.testing.assert_array_equal(by_example, pp.split(x, 2))
    _, tangent = jax.jvp(lambda x: pp.merge(pp.split(x, 2), 2), (x,), (x,))
    np.testing.assert_array_equal(tangent, x)


@pytest.mark.parametrize("size", [(30, 33), (33, 30), (0, 4)])
def test_sizes_without_equal_components_are_refused_by_name(size):
    bad = next(n for n in size if n % 2 or n == 0)
    for call in (pp.split, components, pp.image_norm_scores):
        with pytest.raises(ValueError, match=f"does not divide size {bad}"):
            call(jnp.zeros((1, *size, 3)), 2)


def test_wrong_ranks_and_counts_are_refused():
    with pytest.raises(ValueError, match="ndim must be"):
        pp.split(jnp.zeros((4, 4, 4, 4, 1)), 2, ndim=4)
    with pytest.raises(ValueError, match="spatial axes"):
        pp.split(jnp.zeros((4, 1)), 2)
    with pytest.raises(ValueError, match="components"):
        pp.merge(jnp.zeros((1, 3, 2, 2, 1)), 2)
    with pytest.raises(ValueError, match="components"):
        pp.downsample(jnp.zeros((1, 4, 2, 2, 1)), jnp.zeros((1, 9)))
    with pytest.raises(ValueError, match="components"):
        pp.upsample(jnp.zeros((1, 2, 2, 1)), jnp.zeros((1, 9)), 2)
    with pytest.raises(ValueError, match="stride must be"):
        pp.split(jnp.zeros((4, 4, 1)), 0)
