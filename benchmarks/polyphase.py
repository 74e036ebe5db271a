"""What shift-equivariant sampling costs, as ratios to the strided network in one run.

    python -m benchmarks.polyphase --size 32 --batch 16 --rounds 40
    python -m benchmarks.polyphase --size 224 --batch 1
    python -m benchmarks.polyphase --size 224 --batch 2
    python -m benchmarks.polyphase --layer --torch-python /path/to/python

The contenders take turns, so that a busy machine slows all of them alike; ratios are of
the best turns. ``--layer`` times forward + backward of one learnable downsampling layer
(128 channels) beside the same in PyTorch, which runs in its own interpreter and takes
its turns with ours. ``--exactness`` times the scores alone, and ``--account`` says
where a network's time goes, in processor time (of one thread, where XLA_FLAGS is
``--xla_cpu_multi_thread_eigen=false``).

Results go to ``benchmarks/results/``.
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

from eqnets import io, models, nn, polyphase
from eqnets.polyphase.conv_scores import first_response

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


def timed(
    call: Callable[[], jax.Array], clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    jax.block_until_ready(call())

    def once() -> float:
        start = clock()
        jax.block_until_ready(call())
        return clock() - start

    return once


def interleave(contenders: Contenders, rounds: int) -> dict[str, float]:
    """The least seconds of each: what a shared machine disturbs least."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, once in contenders.items():
            seconds[name].append(once())
    return {name: min(values) for name, values in seconds.items()}


def forward(
    options: dict, x: jax.Array, stem: str, *, sampling_layer: type | None = None
) -> Callable[[], jax.Array]:
    """A jitted evaluation of a ResNet-18 with its parameters as arguments.

    Args:
        options: of :func:`eqnets.models.resnet`.
        x: the images.
        stem: of the network.
        sampling_layer: a subclass that takes the place of the sampling layers.
    """
    model = models.resnet(18, 10, stem=stem, rngs=nnx.Rngs(0), **options)
    if sampling_layer is not None:
        for stage in (model.layer2, model.layer3, model.layer4):
            stage[0].pool.__class__ = sampling_layer
    model = nnx.view(model, use_running_average=True, raise_if_not_found=False)
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
        r = polyphase.split(first_response(x, params["conv1"], dilation=2), 2)
        v = params["conv2"]["kernel"].sum((0, 1, 3)) / 8
        return r.mean((2, 3)) @ v + jnp.mean(params["conv2"]["bias"])

    def norms(x: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.sum(polyphase.split(x, 2) ** 2, axis=(2, 3, 4)))

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


class FixedComponent(nn.LearnablePolyphaseDown):
    """Keeps component 0: the convolution everywhere, and nothing to score."""

    def scores(self, x: jax.Array) -> jax.Array:
        """The same for every image."""
        return jnp.broadcast_to(jnp.array([1.0, 0, 0, 0]), (x.shape[0], 4))


class FloatNorms(nn.AdaptivePolyphaseDown):
    """APS whose norms are float sums: what exact selection is compared with."""

    def scores(self, x: jax.Array) -> jax.Array:
        """Norms, in the order that rounding leaves."""
        return jnp.sqrt(jnp.sum(polyphase.split(x, 2) ** 2, axis=(2, 3, 4)))


class FloatLogits(nn.LearnablePolyphaseDown):
    """LPD whose means are float sums."""

    def scores(self, x: jax.Array) -> jax.Array:
        """Logits, in the order that rounding leaves."""
        conv = {"kernel": self.conv1.kernel[...], "bias": self.conv1.bias[...]}
        r = first_response(x, conv, dilation=2)
        v = self.conv2.kernel[...].sum((0, 1, 3)) / r.shape[-1]
        return polyphase.split(r, 2).mean((2, 3)) @ v + jnp.mean(self.conv2.bias[...])


ACCOUNT = {
    "strided": ({}, None),
    "fixed_component": ({"down": "lps", "hidden": HIDDEN}, FixedComponent),
    "lps_float": ({"down": "lps", "hidden": HIDDEN}, FloatLogits),
    "lps_exact": ({"down": "lps", "hidden": HIDDEN}, None),
    "aps_float": ({"down": "aps"}, FloatNorms),
    "aps_exact": ({"down": "aps"}, None),
    "lps_input_exact": ({"down": "lps_input", "hidden": HIDDEN}, None),
    "aps_input_exact": ({"down": "aps_input"}, None),
}


def bench_account(rounds: int) -> dict:
    """Where the time of a CIFAR ResNet-18 goes, in seconds of the processor.

    Processor time hardly depends on what else a machine does; for one thread set
    ``XLA_FLAGS=--xla_cpu_multi_thread_eigen=false``.
    """
    x = jax.random.normal(jax.random.key(0), (8, 32, 32, 3))
    contenders = {}
    for name, (options, layer) in ACCOUNT.items():
        call = forward(options, x, "cifar", sampling_layer=layer)
        contenders[name] = timed(call, time.process_time)
    best = interleave(contenders, rounds)
    return {
        "what": "ResNet-18 forward, 8 x 32 x 32, processor time",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "milliseconds": {n: round(1e3 * s, 2) for n, s in best.items()},
        "ratio_to_strided": {n: round(s / best["strided"], 3) for n, s in best.items()},
        "exact_over_float": {
            n: round(best[f"{n}_exact"] / best[f"{n}_float"], 3) for n in ("lps", "aps")
        },
        "flop_floor_lps_h8": FLOOR[32],
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
    parser.add_argument("--account", action="store_true")
    parser.add_argument("--torch-python")
    options = parser.parse_args()
    if options.layer:
        name, result = "layer", bench_layer(options.torch_python, options.rounds)
    elif options.account:
        name, result = "account", bench_account(options.rounds)
    elif options.exactness:
        name, result = "exactness", bench_exactness(options.rounds)
    else:
        name = f"resnet18_{options.size}_batch{options.batch}"
        result = bench_networks(options.size, options.batch, options.rounds)
    result["device"] = jax.devices()[0].device_kind
    result["cores"] = os.cpu_count()
    result["jax"] = jax.__version__
    path = RESULTS / f"polyphase_{name}.json"
    io.atomic_write_text(path, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
