r"""Training throughput of ResNets on one accelerator, and exactness on it.

    python -m benchmarks.gpu --peak-tflops 989          # an H100, bfloat16
    python -m benchmarks.gpu --depth 18 --width 4 --size 32 --batch 4 --steps 2 \
        --rounds 2 --exact-size 8                       # tries the program on a CPU

The training step of ``experiments.train`` (forward, backward, update; bfloat16) on
random images that lie on the device. Networks take turns of some steps each. Per
network: images a second, the ratio to the strided one, FLOP/s and, with
``--peak-tflops``, the model-FLOPs utilisation. FLOPs are those of the program before
the compiler, in which every network pays for what it is defined to compute.

Exactness: the largest change of the logits of a ResNet-18 of width 16, in float32 and
in bfloat16, over all circular shifts of two photographs of 32 x 32 pixels; 0 for the
networks that select, if convolutions on the device commute with shifts bit for bit.

This has been tried on a CPU, by the second command, and has not been run on a GPU.
"""

import argparse
import dataclasses
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.timing import save
from eqnets import functional, io, measure, models
from experiments.training import ResNet
from experiments.training.abstract import abstract_step
from experiments.training.config import Config, load
from experiments.training.parallel import device_mesh, distribute, place
from experiments.training.step import program

DOWN = ("strided", "aps", "lps", "lps_input")


class Contender:
    """One network in training on one batch."""

    def __init__(self, config: Config):
        spec, mesh = config.data.spec(), device_mesh()
        step = abstract_step(config, mesh)
        lowered = step.function.lower(step.state, step.batch)
        self.flops = lowered.cost_analysis()["flops"]
        self.step = lowered.compile()
        self.state = place(program(config, spec, 1000, 100).start(), mesh)
        rng = np.random.default_rng(0)
        x = rng.integers(0, 256, (config.batch, *spec.shape)).astype(np.uint8)
        y = rng.integers(0, spec.outputs, config.batch).astype(np.int32)
        self.batch, self.seconds = distribute({"x": x, "y": y}, mesh), []

    def turn(self, steps: int) -> None:
        """Take steps, and note the time of one."""
        start = time.perf_counter()
        for _ in range(steps):
            self.state, loss = self.step(self.state, self.batch)
        jax.block_until_ready(loss)
        self.seconds.append((time.perf_counter() - start) / steps)


def throughput(options: argparse.Namespace) -> dict[str, dict]:
    """Images a second and utilisation, by network."""
    base = load("imagenet")
    data = dataclasses.replace(base.data, size=options.size)
    contenders = {}
    for down in DOWN:
        model = ResNet(options.depth, down=down, width=options.width, stem="imagenet")
        config = dataclasses.replace(
            base, data=data, model=model, batch=options.batch, precision="bfloat16"
        )
        contenders[down] = Contender(config)
        contenders[down].turn(2)  # not counted
        contenders[down].seconds.clear()
    for _ in range(options.rounds):
        for contender in contenders.values():
            contender.turn(options.steps)
    strided = contenders["strided"].seconds
    rows = {}
    for down, c in contenders.items():
        seconds = statistics.median(c.seconds)
        ratios = [a / b for a, b in zip(c.seconds, strided, strict=True)]
        rows[down] = {
            "images_per_second": options.batch / seconds,
            "to_strided": statistics.median(ratios),
            "gflop_per_image": c.flops / options.batch / 1e9,
            "tflops": c.flops / seconds / 1e12,
        }
        if options.peak_tflops:
            rows[down]["utilisation"] = rows[down]["tflops"] / options.peak_tflops
    return {d: {k: float(f"{v:.4g}") for k, v in r.items()} for d, r in rows.items()}


def exactness(size: int) -> dict[str, dict[str, float]]:
    """The largest change of a logit under any shift, by network and precision."""
    few = io.sample_photographs()[1][:2]
    x = jnp.stack([jax.image.resize(p / 255.0, (size, size, 3), "linear") for p in few])
    found = {}
    for down in DOWN:
        found[down] = {}
        for dtype in (jnp.float32, jnp.bfloat16):
            net = models.resnet(
                18, 10, down=down, width=16, stem="cifar", dtype=dtype, rngs=nnx.Rngs(0)
            )
            f = functional.pure(net)
            run = jax.jit(f.apply)
            report = measure.check_equivariance(
                lambda x, f=f, run=run: run(f.params, f.state, x).astype(jnp.float32), x
            )
            found[down][dtype.__name__] = float(report.worst)
    return found


def main() -> None:
    """Time, check, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10, help="of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--exact-size", type=int, default=32, help="tried for shifts")
    parser.add_argument("--peak-tflops", type=float, help="of the device, bfloat16")
    options = parser.parse_args()
    figures = {"options": vars(options), "training": throughput(options)}
    for down, row in figures["training"].items():
        print(down, row)
    figures["largest_change_under_shifts"] = exactness(options.exact_size)
    print(figures["largest_change_under_shifts"])
    print("saved", save("gpu", figures))


if __name__ == "__main__":
    main()
