import functools
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import functional, models

# As an attribute of the package this name is the function.
MODULE = importlib.import_module("eqnets.models.efficientnet_lite")
# Of the released weights: trained parameters, blocks, width of the last block.
RELEASED = {0: (4652008, 16, 320), 1: (5416680, 21, 320), 2: (6092072, 21, 352)}


def abstract(variant, num_classes=1000):
    make = models.efficientnet_lite
    return nnx.eval_shape(lambda: make(variant, num_classes, rngs=nnx.Rngs(0)))


def filled(variant=0, num_classes=7):
    """Weights of a sensible size without the slow draw of each."""
    model = abstract(variant, num_classes)
    rng = np.random.default_rng(0)
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        if path[-1] == "kernel":
            fan = np.prod(variable.shape[:-1])
            value = rng.normal(size=variable.shape) * (2 / fan) ** 0.5
        else:
            value = np.full(variable.shape, path[-1] in ("scale", "var"))
        variable.set_value(jnp.asarray(value, variable.dtype))
    return model


@pytest.fixture
def model(monkeypatch):
    """A few blocks of each kind, to compile fast; test_pretrained has them all."""
    kinds = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24)]
    stages = tuple(MODULE.Stage(*kind) for kind in kinds)
    monkeypatch.setattr(MODULE, "STAGES", stages)
    return filled()


X = np.random.default_rng(0).normal(size=(3, 32, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("variant", RELEASED)
def test_sizes_are_those_of_the_release(variant):
    f = functional.pure(abstract(variant))
    parameters, blocks, width = RELEASED[variant]
    assert sum(leaf.size for leaf in jax.tree.leaves(f.params)) == parameters
    assert len(f.params["blocks"]) == blocks
    assert f.params["head"]["conv"]["kernel"].shape == (1, 1, width, 1280)
    x = jax.ShapeDtypeStruct((2, 65, 70, 3), jnp.float32)
    assert jax.eval_shape(f.apply, f.params, f.state, x).shape == (2, 1000)


def test_layer_names():
    names = {path for path, _ in nnx.iter_modules(abstract(0))}
    assert {("stem",), ("head",), ("classifier",)} <= names
    assert {("blocks", 3, part) for part in ("expand", "depthwise", "project")} <= names
    assert ("blocks", 0, "expand") not in names


def test_call_signature():
    parameters = inspect.signature(models.EfficientNetLite.__call__).parameters
    assert [*parameters] == ["self", "x", "key", "temperature"]
    assert parameters["key"].default is None
    assert parameters["temperature"].default == 1.0


def test_evaluation_is_one_image_at_a_time(model):
    f = functional.pure(model)
    apply = jax.jit(f.apply)
    y = apply(f.params, f.state, X)
    assert y.shape == (3, 7)
    one = jax.jit(jax.vmap(f.apply, (None, None, 0)))(f.params, f.state, X[:, None])
    np.testing.assert_allclose(one[:, 0], y, rtol=1e-4, atol=1e-5)
    # A key changes nothing here: there is no dropout in evaluation.
    np.testing.assert_array_equal(apply(f.params, f.state, X, key=jax.random.key(1)), y)


def test_tangents_against_central_differences(model):
    f = functional.pure(model)
    with jax.enable_x64(True):
        double = lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float64), tree)
        params, state, x = double((f.params, f.state, X))
        t = np.random.default_rng(1).normal(size=X.shape)
        push = jax.jit(lambda p, s, x: jax.jvp(lambda x: f.apply(p, s, x), (x,), (t,)))
        _, slope = push(params, state, x)
        # ReLU6 is piecewise linear, and hardly a kink lies within so small a step.
        ahead, behind = (push(params, state, x + h * t)[0] for h in (1e-7, -1e-7))
        np.testing.assert_allclose((ahead - behind) / 2e-7, slope, rtol=1e-5, atol=1e-5)


def test_training_updates_statistics_and_drops(model):
    graphdef, *arrays = nnx.split(model, nnx.Param, ...)
    params, state = nnx.as_pure(arrays)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def step(params, state, key):
        module = nnx.merge(graphdef, params, state)
        loss = (module(X, key=key) ** 2).mean()
        return loss, nnx.as_pure(nnx.state(module, nnx.BatchStat))

    results = [step(params, state, jax.random.key(i)) for i in (0, 0, 1)]
    losses = [float(loss) for (loss, _), _ in results]
    assert losses[0] == losses[1] != losses[2]
    (_, new), gradient = jax.tree.map(np.asarray, results[0])
    moved = jax.tree.map(lambda a, b: (np.asarray(a) != b).any(), state, new)
    assert all(jax.tree.leaves(moved))
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match=r"variants \[0, 1, 2\] here, got 5"):
        models.efficientnet_lite(5, rngs=nnx.Rngs(0))
