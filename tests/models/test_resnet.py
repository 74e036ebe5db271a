"""Residual networks: exactly shift-invariant, at every option, in every precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from eqnets import models, nn
from eqnets.measure.shift_checks import check_equivariance

X = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
SOME = [(0, 1), (1, 0), (3, 5), (16, 16), (17, 31), (31, 2), (9, 24)]
EXACT = {
    "lps": {"down": "lps", "hidden": (8, 16, 32, 64)},
    "aps": {"down": "aps"},
    "lps_tri3": {"down": "lps", "hidden": 8, "antialias": "tri3"},
    "aps_bin5": {"down": "aps", "antialias": "bin5"},
    "lps_input": {"down": "lps_input", "hidden": 8},
    "lps_adaptive3": {"down": "lps", "hidden": 8, "antialias": "adaptive3"},
}
MORE = {
    "lps_bin5": {"down": "lps", "hidden": 8, "antialias": "bin5"},
    "aps_tri3": {"down": "aps", "antialias": "tri3"},
    "lps_input_tri3": {"down": "lps_input", "hidden": 8, "antialias": "tri3"},
    "lps_tri3_filtered": {
        "down": "lps",
        "hidden": 8,
        "antialias": "tri3",
        "select_on": "filtered",
    },
    "aps_p1_filtered": {
        "down": "aps",
        "p": 1,
        "antialias": "tri3",
        "select_on": "filtered",
    },
    "lps_imagenet": {
        "down": "lps",
        "hidden": 8,
        "antialias": "rect2",
        "stem": "imagenet",
    },
    "aps_input": {"down": "aps_input"},
    "aps_input_bin5": {"down": "aps_input", "antialias": "bin5"},
    "aps_imagenet": {"down": "aps", "stem": "imagenet"},
    "lps_input_imagenet": {"down": "lps_input", "hidden": 8, "stem": "imagenet"},
}


def small(**options):
    return models.resnet(
        18, 10, **{"stem": "cifar", "width": 8, "rngs": nnx.Rngs(0), **options}
    )


def evaluator(model):
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)
    run = jax.jit(lambda params, x: nnx.merge(graph, params)(x))
    return functools.partial(run, params)


def train(model, steps=3):
    """A few steps of real training: Gumbel mixtures, batch statistics, SGD."""
    optimizer = nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)
    y = jnp.arange(2)

    @nnx.jit
    def step(model, optimizer, key):
        def loss(model):
            logits = model(X, key=key, temperature=0.7).astype(jnp.float32)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value, grads

    for i in range(steps):
        value, grads = step(model, optimizer, jax.random.key(i))
    return value, grads


@pytest.mark.parametrize("name", ["lps", "aps", "lps_tri3", "lps_input"])
def test_some_shifts_leave_the_output_unchanged(name):
    report = check_equivariance(evaluator(small(**EXACT[name])), X, shifts=SOME)
    assert report.violations(1e-4) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT | MORE)
def test_all_1024_shifts_leave_the_output_unchanged(name):
    options = {**(EXACT | MORE)[name], "width": 16}
    report = check_equivariance(evaluator(small(**options)), X)
    assert report.differences.shape == (1024, 2)
    assert report.violations(1e-4) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lps", "aps", "lps_tri3", "aps_bin5", "lps_bin5"])
def test_all_shifts_after_training(name):
    model = small(**(EXACT | MORE)[name], width=16)
    train(model, 5)
    assert check_equivariance(evaluator(model), X).violations(1e-4) == 0


def test_strided_and_filtered_networks_are_told_apart():
    for options in ({"down": "strided"}, {"down": "lowpass", "antialias": "tri3"}):
        report = check_equivariance(evaluator(small(**options)), X, shifts=SOME)
        assert report.violations(1e-4) > 0


def test_bfloat16_training_keeps_exact_selection():
    model = small(down="lps", hidden=8, antialias="tri3", dtype=jnp.bfloat16)
    value, grads = train(model)
    assert np.isfinite(value)
    moved = jax.tree.leaves(nnx.state(grads, nn.SelectionParam))
    assert all(np.abs(g).max() > 0 for g in moved[:1])
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, params = nnx.split(view)
    run = jax.jit(lambda params, x: nnx.merge(graph, params).features(x))
    (*_, last), selections = run(params, X)
    assert last.dtype == jnp.bfloat16
    for shift in SOME:
        outputs, chosen = run(params, jnp.asarray(np.roll(X, shift, (1, 2))))
        # Bit-equal features up to their own shift: no selection has changed.
        pairs = zip(np.asarray(outputs[-1]), np.asarray(last), strict=True)
        for moved, still in pairs:
            rolls = [np.roll(still, s, (0, 1)) for s in np.ndindex(4, 4)]
            assert any((moved == r).all() for r in rolls)
        assert len(chosen) == len(selections) == 3


def test_sizes_without_equal_components_are_refused_by_name():
    run = evaluator(small(down="aps"))
    for size in (30, 33):
        with pytest.raises(ValueError, match=f"size {size} must be a multiple of 8"):
            run(jnp.zeros((1, size, 32, 3)))
    strided = evaluator(small(down="strided"))
    assert strided(jnp.zeros((1, 33, 30, 3))).shape == (1, 10)


def count(**options):
    make = lambda: models.resnet(rngs=nnx.Rngs(0), **options)
    params = nnx.state(nnx.eval_shape(make), nnx.Param)
    return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))


H = (8, 16, 32, 64)
TABLE_4 = [
    (42_520_650, {"down": "lowpass", "antialias": "tri3"}),
    (42_520_650, {"down": "aps", "antialias": "tri3"}),
    (42_966_730, {"down": "lps", "antialias": "tri3", "hidden": H}),
    (44_304_954, {"down": "lowpass", "antialias": "adaptive3"}),
    (44_751_034, {"down": "lps", "antialias": "adaptive3", "hidden": H}),
]


@pytest.mark.parametrize(("expected", "options"), TABLE_4)
def test_table_4_parameters_of_resnet_101(expected, options):
    assert count(depth=101, num_classes=10, **options) == expected


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (11_173_962, {}),
        (17_368_906, {"down": "lps"}),
        (11_609_642, {"down": "lps", "hidden": H}),
    ],
)
def test_parameters_of_the_cifar_resnet_18(expected, options):
    assert count(depth=18, num_classes=10, stem="cifar", **options) == expected


def test_parameters_with_1000_classes():
    assert count(depth=101, num_classes=1000, down="aps") == 44_549_160
    assert count(depth=101, num_classes=1000, down="lps", hidden=H) == 44_995_240


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "depth must be"),
        ({"down": "max"}, "down must be"),
        ({"antialias": "tri4", "down": "aps"}, "antialias must be"),
        ({"antialias": "tri3"}, "no place for a filter"),
        ({"padding": "reflect"}, "padding must be"),
        ({"stem": "mnist"}, "stem must be"),
        ({"hidden": (1, 2)}, "hidden must be"),
        ({"select_on": "both"}, "select_on must be"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(ValueError, match=message):
        models.resnet(**{"depth": 18, "num_classes": 2, "rngs": nnx.Rngs(0), **options})
