"""Checkpoints of the public LPS code: names, parameter counts, outputs."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import models

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMES = json.loads((FIXTURES / "11_state_dict_names.json").read_text())


def procedural(shape, salt, scale):
    """Weights that the fixture's author and we can both compute."""
    i = np.arange(np.prod(shape, dtype=int), dtype=np.float64)
    v = np.sin(12.9898 * (i + 1) + 78.233 * (salt + 1)) * 43758.5453
    v -= np.floor(v)
    return (scale * (2 * v - 1)).astype(np.float32).reshape(shape)


def make_array(name, shape, salt):
    if name.endswith(("num_batches_tracked", "gumbel_tau")):
        return np.zeros((), np.float32)
    if name.endswith("filt"):
        row = np.array({2: [1, 1], 3: [1, 2, 1]}[shape[-1]], np.float32)
        kernel = np.outer(row, row) / row.sum() ** 2
        return np.broadcast_to(kernel, shape).astype(np.float32)
    if name.endswith("running_var"):
        return 1 + 0.5 * procedural(shape, salt, 1)
    if name.endswith("running_mean"):
        return procedural(shape, salt, 0.1)
    if len(shape) == 1:
        if name.endswith("weight"):
            return 0.8 * (1 + procedural(shape, salt, 0.5))
        return procedural(shape, salt, 0.2)
    if len(shape) == 2:
        return procedural(shape, salt, np.sqrt(3 / shape[1]))
    gain = 6 if "get_logits" in name else 1
    scale = np.sqrt(6 / np.prod(shape[1:]))
    return np.float32(gain) * procedural(shape, salt, scale)


def state_dict(network):
    entries = NAMES[network]["state_dict"]
    return {n: make_array(n, s, i) for i, (n, s) in enumerate(entries)}


def zeros(network):
    entries = NAMES[network]["state_dict"]
    return {
        n: make_array(n, s, 0) if n.endswith("filt") else np.zeros(s, np.float32)
        for n, s in entries
    }


@pytest.mark.parametrize(
    "network", ["cifar_r18_lps_h8", "cifar_r18_lps_tri3_h8", "cifar_r18_strided"]
)
def test_outputs_match_the_reference(network):
    data = np.load(FIXTURES / "10_fullnets.npz")
    model = models.resnet_from_torch(state_dict(network))
    x = jnp.asarray(data["x_cifar"].transpose(0, 2, 3, 1))
    graph, params = nnx.split(model)

    @jax.jit
    def run(params, x):
        model = nnx.merge(graph, params)
        return jax.nn.log_softmax(model(x)), model.features(x)[1]

    y, selections = run(params, x)
    expected = data[f"y64_{network}"]
    assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()
    assert len(selections) == (0 if "strided" in network else 3)
    for i, weights in enumerate(selections):
        logits = data[f"lpdlogits_{network}_{i}"]
        np.testing.assert_array_equal(weights.argmax(-1), logits.argmax(-1))


@pytest.mark.parametrize("network", NAMES)
def test_every_published_variant_loads_with_its_parameter_count(network):
    down = "aps" if network == "cifar_r18_aps" else None
    model = models.resnet_from_torch(zeros(network), down=down)
    params = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert sum(p.size for p in params) == NAMES[network]["params"]
    expected = next(
        k
        for k in ("lps", "aps", "strided", "lowpass")
        if k in network + ("lowpass" if "lpf" in network or "ddac" in network else "")
    )
    assert model.sampling.down == expected


def test_errors_name_what_is_wrong():
    names = zeros("cifar_r18_strided")
    with pytest.raises(ValueError, match=r"conv1\.weight"):
        models.resnet_from_torch({"a": np.zeros(3)})
    with pytest.raises(ValueError, match="extra"):
        models.resnet_from_torch({**names, "core.extra": np.zeros(3)})
    names.pop("core.layer2.1.bn2.bias")
    with pytest.raises(ValueError, match=r"layer2\.1\.bn2\.bias"):
        models.resnet_from_torch(names)
