"""The step: parts of a batch, remat and augmentation do what they say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import actions, measure, models
from experiments.training import (
    EMLP,
    GCNN,
    MLP,
    Config,
    DeepLab,
    Optimiser,
    SymmetricTask,
    objectives,
)
from experiments.training.augment import augment, prepare
from experiments.training.datasets import IGNORED, Arrays, Dataset, Spec
from experiments.training.step import program, trained

PLAIN = Optimiser("sgd", rate=0.01, momentum=0.0, weight_decay=0.0)
CONFIG = Config(SymmetricTask("O5", 40, 20), MLP(16, 2), PLAIN, batch=12)


def after_two_steps(config):
    spec = config.data.spec()
    functions = program(config, spec, 10, 5)
    state, step = functions.start(), jax.jit(functions.train)
    rng = np.random.default_rng(0)
    for _ in range(2):
        batch = {"x": rng.normal(size=(12, 10)), "y": rng.normal(size=(12, 1))}
        state, loss = step(state, jax.tree.map(jnp.float32, batch))
    return state, loss


@pytest.mark.parametrize("changes", [{"accumulate": 3}, {"remat": True}])
def test_memory_savers_change_nothing_else(changes):
    state, loss = after_two_steps(CONFIG)
    other, other_loss = after_two_steps(dataclasses.replace(CONFIG, **changes))
    np.testing.assert_allclose(loss, other_loss, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_two_steps_by_hand():
    state, _ = after_two_steps(dataclasses.replace(CONFIG, model=MLP(4, 1)))
    spec = CONFIG.data.spec()
    start = program(dataclasses.replace(CONFIG, model=MLP(4, 1)), spec, 10, 5).start()
    w = [np.float64(v) for v in jax.tree.leaves(start["params"])]
    rng = np.random.default_rng(0)

    def loss(w, x, y):
        (b1, k1, b2, k2) = w
        return jnp.mean((jax.nn.silu(x @ k1 + b1) @ k2 + b2 - y) ** 2)

    for i in range(2):
        x, y = rng.normal(size=(12, 10)), rng.normal(size=(12, 1))
        rate = 0.01 * 0.5 * (1 + np.cos(np.pi * i / 10))
        w = [a - rate * g for a, g in zip(w, jax.grad(loss)(w, x, y), strict=True)]
    for a, b in zip(jax.tree.leaves(state["params"]), w, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["flip", "crop", "shift", "rotate90"])
def test_augmentations_move_masks_with_images(kind):
    key = jax.random.key(0)
    y = jax.random.randint(key, (16, 16, 16), 0, 5)
    x = jnp.stack([y, y], -1).astype(jnp.float32)
    moved, mask = jax.jit(augment, static_argnums=3)(jax.random.key(1), x, y, (kind,))
    inside = mask != IGNORED
    np.testing.assert_array_equal(moved[..., 0][inside], mask[inside])
    assert (kind == "crop") == bool((~inside).any())
    changed = (moved != x).any((1, 2, 3))
    assert changed.sum() >= 3
    again, _ = augment(jax.random.key(1), x, y, (kind,))
    np.testing.assert_array_equal(again, moved)


def test_grey_pixels_become_three_normalised_channels():
    spec = Spec("classification", (4, 4, 3), 2, (0.5,), (0.25,))
    x = prepare(spec, jnp.full((1, 4, 4, 1), 255, jnp.uint8))
    np.testing.assert_array_equal(x, np.full((1, 4, 4, 3), 2.0))


def test_scores_of_segmentation_agree_with_mean_iou():
    rng = np.random.default_rng(0)
    total, truth, guesses = 0, [], []
    for _ in range(3):
        logits = rng.normal(size=(2, 5, 5, 4))
        y = rng.integers(0, 4, size=(2, 5, 5))
        y[rng.random(y.shape) < 0.2] = IGNORED
        sums = objectives.sums(
            "segmentation", jnp.array(logits), jnp.array(y), jnp.ones(2)
        )
        total = total + np.asarray(sums["confusion"])
        truth.append(y)
        guesses.append(logits.argmax(-1))
    found = objectives.scores("segmentation", {"confusion": total})
    expected = measure.mean_iou(np.stack(truth), np.stack(guesses), 4)
    np.testing.assert_allclose(found["miou"], expected, rtol=1e-6)
    kept = np.stack(truth) != IGNORED
    right = (np.stack(truth) == np.stack(guesses))[kept].mean()
    np.testing.assert_allclose(found["pixel_accuracy"], right)


def test_fillers_of_the_last_batch_count_for_nothing():
    logits, y = jnp.eye(3), jnp.array([0, 1, 0])
    sums = objectives.sums("classification", logits, y, jnp.array([1.0, 1.0, 0.0]))
    assert objectives.scores("classification", sums) == {"accuracy": 1.0}


def test_networks_without_a_precision_say_so():
    config = dataclasses.replace(CONFIG, precision="bfloat16")
    with pytest.raises(ValueError, match="leave precision at float32"):
        program(config, config.data.spec(), 10, 5)
    with pytest.raises(ValueError, match="needs data whose symmetry is known"):
        EMLP().build(Spec("classification", (8, 8, 3), 2), nnx.Rngs(0))


def test_a_lie_regulariser_is_added_to_the_loss():
    data = FashionLike()
    plain = Config(data, GCNN("z2", (4,)), PLAIN, batch=4)
    spec, key = data.spec(), jax.random.key(0)
    x = jax.random.uniform(key, (4, 8, 8, 3))
    batch = {"x": x, "y": jnp.arange(4) % 2}
    values = []
    for weight in (0.0, 0.5, 1.0):
        config = dataclasses.replace(plain, lie_weight=weight)
        functions = program(config, spec, 10, 5)
        values.append(jax.jit(functions.train)(functions.start(), batch)[1])
    graph, state = nnx.split(trained(config, spec, functions.start()))

    def probabilities(x):  # normalised by the batch, as in training
        return jax.nn.softmax(nnx.merge(graph, state, copy=True)(x))

    penalty = measure.lee(probabilities, actions.rotation(), x).mean
    np.testing.assert_allclose(values[2] - values[0], penalty, rtol=1e-4)
    np.testing.assert_allclose(values[1] - values[0], penalty / 2, rtol=1e-4)
    with pytest.raises(ValueError, match="lie_weight is for classifiers"):
        dataclasses.replace(CONFIG, lie_weight=1.0)


@dataclasses.dataclass(frozen=True)
class FashionLike(Dataset):
    def spec(self):
        return Spec("classification", (8, 8, 3), 2)

    def train(self, seed):
        return Arrays(np.zeros((4, 8, 8, 3)), np.zeros(4, int))

    test = train


def test_a_backbone_starts_from_a_trained_resnet(tmp_path):
    options = {"width": 4, "hidden": (2, 2, 2, 2)}
    trained = models.resnet(18, 7, down="lps", **options, rngs=nnx.Rngs(5))
    path = tmp_path / "weights.safetensors"
    models.save_weights(trained, path)
    net = DeepLab(18, **options, backbone_weights=str(path)).build(
        Spec("segmentation", (64, 64, 3), 3), nnx.Rngs(0)
    )
    np.testing.assert_array_equal(
        net.backbone.layer3[0].conv1.kernel[...], trained.layer3[0].conv1.kernel[...]
    )
