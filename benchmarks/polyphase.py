"""What shift-equivariant sampling costs, as ratios to the strided network in one run.

    python -m benchmarks.polyphase --size 32 --batch 16
    python -m benchmarks.polyphase --size 224 --batch 2
    python -m benchmarks.polyphase --layer --torch-python /path/to/python

The contenders take turns, so that a busy machine slows all of them alike; ratios are of
the best turns. ``--layer`` times forward + backward of one learnable downsampling layer
(128 channels) beside the same in PyTorch, which runs in its own interpreter and takes
its turns with ours. Results go to ``benchmarks/results/``.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from eqnets import models, nn, polyphase
from eqnets.polyphase.conv_scores import _plain_logits, first_response
from eqnets.polyphase.norm_scores import _plain_norms

RESULTS = Path(__file__).parent / "results"
HIDDEN = (8, 16, 32, 64)
NETWORKS = {
    "strided": {},
    "lowpass_tri3": {"down": "lowpass", "antialias": "tri3"},
    "aps": {"down": "aps"},
    "lps_h8": {"down": "lps", "hidden": HIDDEN},
    "lps_tri3_h8": {"down": "lps", "hidden": HIDDEN, "antialias": "tri3"},
    "aps_input": {"down": "aps_input"},
    "lps_input_h8": {"down": "lps_input", "hidden": HIDDEN},
}
FLOOR = {32: 1.42, 224: 1.77}  # multiplications of lps_h8 over those of strided
Contenders = dict[str, Callable[[], float]]


def timed(call: Callable[[], jax.Array]) -> Callable[[], float]:
    jax.block_until_ready(call())

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - start

    return once


def interleave(contenders: Contenders, rounds: int) -> dict[str, float]:
    """The least seconds of each: what a shared machine disturbs least."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, once in contenders.items():
            seconds[name].append(once())
    return {name: min(values) for name, values in seconds.items()}


def forward(options: dict, x: jax.Array, stem: str) -> Callable[[], jax.Array]:
    """A jitted evaluation of a ResNet-18 with its parameters as arguments."""
    model = nnx.view(
        models.resnet(18, 10, stem=stem, rngs=nnx.Rngs(0), **options),
        use_running_average=True,
        raise_if_not_found=False,
    )
    graph, params = nnx.split(model)
    run = jax.jit(lambda params, x: nnx.merge(graph, params)(x))
    return lambda: run(params, x)


def bench_networks(size: int, batch: int, rounds: int) -> dict:
    x = jax.random.normal(jax.random.key(0), (batch, size, size, 3))
    stem = "cifar" if size < 64 else "imagenet"
    contenders = {n: timed(forward(o, x, stem)) for n, o in NETWORKS.items()}
    best = interleave(contenders, rounds)
    base = best["strided"]
    return {
        "what": f"ResNet-18 forward, {batch} x {size} x {size}",
        "milliseconds": {n: round(1e3 * s, 2) for n, s in best.items()},
        "ratio_to_strided": {n: round(s / base, 3) for n, s in best.items()},
        "flop_floor_lps_h8": FLOOR.get(size),
    }


def bench_exactness(rounds: int) -> dict:
    """The fixed-point sums beside float sums: what exact selection adds to a layer."""
    x = jax.random.normal(jax.random.key(0), (8, 32, 32, 128))
    layer = nn.LearnablePolyphaseDown(128, hidden=8, rngs=nnx.Rngs(0))
    params = {
        name: {"kernel": conv.kernel[...], "bias": conv.bias[...]}
        for name, conv in (("conv1", layer.conv1), ("conv2", layer.conv2))
    }

    def floats(x: jax.Array) -> jax.Array:
        r = first_response(x, params["conv1"], dilation=2)
        v = params["conv2"]["kernel"].sum((0, 1, 3)) / 8
        parts = list(polyphase.components(r, 2))
        bias = jnp.mean(params["conv2"]["bias"])
        return _plain_logits(parts, v, bias, [], 2)

    def norms(x: jax.Array) -> jax.Array:
        return _plain_norms(list(polyphase.components(x, 2)), 2.0, 1, 2)

    calls = {
        "lps_float": jax.jit(floats),
        "lps_exact": jax.jit(lambda x: polyphase.image_conv_scores(x, 2, params)),
        "aps_float": jax.jit(norms),
        "aps_exact": jax.jit(lambda x: polyphase.image_norm_scores(x, 2)),
    }
    contenders = {n: timed(lambda call=call: call(x)) for n, call in calls.items()}
    best = interleave(contenders, 4 * rounds)
    return {
        "what": "scores of 8 x 32 x 32 x 128",
        "milliseconds": {n: round(1e3 * s, 3) for n, s in best.items()},
    }


TORCH_LAYER = """
import sys, time, torch
torch.manual_seed(0)
conv1 = torch.nn.Conv2d(128, 128, 3, padding="same", padding_mode="circular")
conv2 = torch.nn.Conv2d(128, 128, 3, padding="same", padding_mode="circular")
x = torch.randn(8, 128, 32, 32, requires_grad=True)
def step():
    parts = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    logits = conv2(torch.relu(conv1(parts.flatten(0, 1)))).mean((1, 2, 3)).view(4, 8).T
    z = torch.nn.functional.gumbel_softmax(logits, 1.0)
    y = torch.einsum("bk,kbchw->bchw", z, parts)
    torch.autograd.grad(y.square().sum(), [x, *conv1.parameters(), *conv2.parameters()])
step()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, flush=True)
"""


def torch_layer(python: str) -> Callable[[], float]:
    worker = subprocess.Popen(
        [python, "-c", TORCH_LAYER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    worker.stdout.readline()

    def once() -> float:
        worker.stdin.write("go\n")
        worker.stdin.flush()
        return float(worker.stdout.readline())

    return once


def bench_layer(python: str | None, rounds: int) -> dict:
    layer = nn.LearnablePolyphaseDown(128, rngs=nnx.Rngs(0))
    graph, params = nnx.split(layer)
    x = jax.random.normal(jax.random.key(0), (8, 32, 32, 128))

    def loss(params: nnx.State, x: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.sum(nnx.merge(graph, params)(x, key=key)[0] ** 2)

    step = jax.jit(jax.grad(loss, (0, 1)))
    contenders = {"eqnets": timed(lambda: step(params, x, jax.random.key(1)))}
    if python:
        contenders["torch"] = torch_layer(python)
    best = interleave(contenders, rounds)
    result = {
        "what": "LPD layer, h = C = 128, forward + backward, 8 x 32 x 32 x 128",
        "milliseconds": {n: round(1e3 * s, 1) for n, s in best.items()},
    }
    if python:
        result["ratio_to_torch"] = round(best["eqnets"] / best["torch"], 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--layer", action="store_true")
    parser.add_argument("--exactness", action="store_true")
    parser.add_argument("--torch-python")
    options = parser.parse_args()
    if options.layer:
        name, result = "layer", bench_layer(options.torch_python, options.rounds)
    elif options.exactness:
        name, result = "exactness", bench_exactness(options.rounds)
    else:
        name = f"resnet18_{options.size}"
        result = bench_networks(options.size, options.batch, options.rounds)
    result["device"] = jax.devices()[0].device_kind
    result["cores"] = os.cpu_count()
    result["jax"] = jax.__version__
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"polyphase_{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
