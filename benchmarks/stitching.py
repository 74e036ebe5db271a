"""A 5 x 5 covering matrix of networks of five convolutions, controls included.

    python -m benchmarks.stitching [--images 2500] [--steps 50]

Wall time of `maps.covering_matrix` on Fashion-MNIST, framed to 32 x 32: closed form,
and with so many steps of fine-tuning for every stitch. Each measures 5 x 5 stitches, as
many of a random donor, and two kinds of noise for each receiver. The networks are
untrained, which changes no time.
"""

import argparse
import time

from flax import nnx

from benchmarks.timing import peak_memory_mb, save
from eqnets import maps
from experiments.maps_common import LAYERS, FiveConv, fashion


def main() -> None:
    """Time both, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2500)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    x, y = fashion("train", options.images)
    a, b = FiveConv(rngs=nnx.Rngs(0)), FiveConv(rngs=nnx.Rngs(1))
    results = {"images": options.images}
    for name, steps in (("closed form", 0), (f"{options.steps} steps", options.steps)):
        start = time.perf_counter()
        found = maps.covering_matrix(a, b, LAYERS, LAYERS, x, y, steps=steps)
        results[f"{name}, s"] = time.perf_counter() - start
        results[f"{name}, peak memory so far, MB"] = peak_memory_mb()
        print(name, found, results, sep="\n", flush=True)
    save("stitching", results)


if __name__ == "__main__":
    main()
