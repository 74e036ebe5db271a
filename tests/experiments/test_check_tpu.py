"""Exports for TPU and CUDA: a few here, all of them by `make check-tpu`."""

import inspect
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from eqnets import groups, models, reps
from experiments import check_tpu
from experiments.tpu import exports
from experiments.tpu.compiled import account
from experiments.tpu.networks import Network, networks
from experiments.training import MLP, Config, SymmetricTask

NETWORKS = networks()
CONFIGS = exports.steps()


def test_every_function_that_makes_a_network_is_in_the_list():
    makers = {
        name
        for name, function in inspect.getmembers(models, inspect.isfunction)
        if "rngs" in inspect.signature(function).parameters
    }
    assert makers <= {name.split()[0] for name in NETWORKS}
    assert {f"create {name}" for name in models.TIMM} <= set(NETWORKS)


def small_emlp():
    G = groups.cyclic(4)
    V = reps.vector(G)
    return models.emlp(V, V, G, ch=12, num_layers=1, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(NETWORKS["resnet 18 lps_input, small images"], id="lps_input"),
        pytest.param(NETWORKS["gcnn p4"], id="gcnn"),
        pytest.param(Network(small_emlp, (4,)), id="emlp"),
    ],
)
def test_networks_are_exported_for_any_batch_without_being_initialised(network):
    found = exports.export_network(network)
    assert found.platforms == ("tpu", "cuda")
    assert str(found.in_avals[-1].shape[0]) == "b"
    assert str(found.out_avals[0].shape[0]) == "b"


def test_a_step_is_exported_for_256_devices_with_its_state_donated_and_in_place():
    config = Config(SymmetricTask("O5", 40, 20), MLP(256, 2), batch=32, model_axis=2)
    found = exports.export_step(config)
    assert found.platforms == ("tpu", "cuda")
    assert found.nr_devices == 256
    assert str(found.in_avals[-1].shape[0]) == "256*b"
    text = found.mlir_module()
    assert "jax.buffer_donor" in text or "tf.aliasing_output" in text
    # The batch over 128 pairs, the square kernel over the two of a pair.
    assert '[{"data"}' in text
    assert '[{}, {"model"}]' in text


def test_what_fails_is_a_row_and_an_exit_code(tmp_path, monkeypatch, capsys):
    class Callback(nnx.Module):
        def __call__(self, x):
            return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), x.sum())

    class Reshaped(nnx.Module):
        def __call__(self, x):
            return x.reshape(4, -1)

    bad = {"callback": Network(Callback, (3,)), "reshaped": Network(Reshaped, (3,))}
    good = {"sine": Network(lambda: nnx.Sequential(jnp.sin), (3,))}
    monkeypatch.setattr(check_tpu, "steps", dict)
    monkeypatch.setattr(check_tpu.importlib.util, "find_spec", lambda name: None)
    for found, code in ((good, 0), (good | bad, 1)):
        monkeypatch.setattr(check_tpu, "networks", lambda found=found: found)
        assert check_tpu.main(["--out", str(tmp_path)]) == code
        written = json.loads((tmp_path / "check_tpu.json").read_text())
        rows = {row["name"]: row for row in written["exports"]}
        assert {name: row["ok"] for name, row in rows.items()} == {
            name: name in good for name in found
        }
        out = capsys.readouterr()
        assert "SKIPPED compiling for a TPU slice" in out.out
    assert "FAILED reshaped" in out.err
    assert check_tpu.main(["--only", "sine", "--out", str(tmp_path)]) == 0
    renewed = json.loads((tmp_path / "check_tpu.json").read_text())["exports"]
    assert [row["name"] for row in renewed] == ["sine", "callback", "reshaped"]


def test_the_account_adds_up_what_is_reduced():
    text = """
      %a.1 = (f32[64]{0:T(128)}, /*index=5*/bf16[3,2]{1,0}) all-reduce(%b), channel_id=1
      %a.2 = f32[]{:T(128)} all-reduce-start(%d), channel_id=2
      %a.3 = f32[64]{0:T(128)} all-reduce-done(%a.2)
      %a.4 = f32[64]{0:T(128)} add(%a.2, %all-reduce.7)
    """
    memory = SimpleNamespace(
        argument_size_in_bytes=5,
        output_size_in_bytes=4,
        alias_size_in_bytes=3,
        temp_size_in_bytes=2,
        generated_code_size_in_bytes=1,
    )
    cost = {"flops": 12.0, "bytes accessed": 7.0}
    program = SimpleNamespace(
        cost_analysis=lambda: cost,
        memory_analysis=lambda: memory,
        as_text=lambda: text,
    )
    found = account(program, per_chip=4)
    assert found["all_reduces"] == 2
    assert found["all_reduce_bytes"] == 4 * 64 + 2 * 6 + 4
    assert found["flops_per_example"] == 3
