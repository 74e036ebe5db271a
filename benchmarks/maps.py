"""Forward selection beside scikit-learn's, and poses from one set of features.

    taskset -c 0 python -m benchmarks.maps    # about 3 minutes

Processor time; on one core, so that no thread waits for another while it is counted.

Forward selection: 775 targets (5 x 5 cells of HOG), 2511 features (9 x 9 cells), 1000
examples, k = 5, against ``orthogonal_mp`` and ``orthogonal_mp_gram`` given the same
centred unit-norm columns, and its Gram matrix computed inside the time, as ours is.

Scoring: 36 rotations of 5 x 5 cells, <w, M_g phi(x)> from one set of features against
<w, phi(g x)> of 36 rotated images.
"""

import argparse
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import orthogonal_mp, orthogonal_mp_gram

from benchmarks.timing import interleaved, ratio, save
from eqnets import io, maps

TARGETS, FEATURES, EXAMPLES, K, POSES = 775, 2511, 1000, 5, 36


def patches(n: int, size: int) -> np.ndarray:
    """Random grey patches of scikit-image's photographs, ``[n, size, size, 1]``."""
    images = [p.astype(np.float32).mean(-1) for p in io.sample_photographs()[1]]
    rng, made = np.random.default_rng(0), []
    for i in range(n):
        image = images[i % len(images)]
        top, left = (rng.integers(0, s - size + 1) for s in image.shape)
        made.append(image[top : top + size, left : left + size])
    return np.stack(made)[..., None]


def features(g: maps.AffineMap, n: int) -> tuple[np.ndarray, np.ndarray]:
    """HOG of 9 x 9 cells, and the middle 5 x 5 of the moved image's, flattened."""
    sources, targets = [], []
    for part in np.split(patches(n, 112), n // 50):
        middle = slice(20, 92)
        sources.append(maps.hog(jnp.asarray(part[:, middle, middle])))
        moved = g(jnp.asarray(part))[:, middle, middle]
        targets.append(maps.hog(moved)[:, 2:7, 2:7])
    pair = (np.concatenate([np.asarray(v) for v in vs]) for vs in (sources, targets))
    return tuple(v.reshape(n, -1).astype(np.float64) for v in pair)


def bench_selection(rounds: int) -> dict:
    x, y = features(maps.rotate(45), EXAMPLES)
    centred, target = x - x.mean(0), y - y.mean(0)
    norms = np.linalg.norm(centred, axis=0)
    unit = centred / norms

    def by_gram():
        gram, cross = unit.T @ unit, unit.T @ target
        return orthogonal_mp_gram(gram, cross, n_nonzero_coefs=K)

    seconds = interleaved(
        {
            "eqnets": lambda: maps.forward_select(x, y, K),
            "orthogonal_mp": lambda: orthogonal_mp(unit, target, n_nonzero_coefs=K),
            "orthogonal_mp_gram": by_gram,
        },
        rounds=rounds,
        warmup=1,
        clock=time.process_time,
    )
    ours = maps.forward_select(x, y, K).A != 0
    theirs = orthogonal_mp(unit, target, n_nonzero_coefs=K).T != 0
    return {
        "what": f"{TARGETS} targets, {FEATURES} features, {EXAMPLES} examples, k = {K}",
        "seconds": {name: round(min(s), 3) for name, s in seconds.items()},
        "orthogonal_mp_over_eqnets": ratio(seconds, "orthogonal_mp", "eqnets"),
        "orthogonal_mp_gram_over_eqnets": ratio(
            seconds, "orthogonal_mp_gram", "eqnets"
        ),
        "same_supports": f"{int((ours == theirs).all(1).sum())} of {TARGETS}",
    }


def bench_scoring(rounds: int) -> dict:
    turns = [maps.rotate(360 / POSES * i) for i in range(POSES)]
    grid, out = maps.centred_grid(9, 9, 8), maps.centred_grid(5, 5, 8)
    rng = np.random.default_rng(0)
    w = rng.normal(size=TARGETS).astype(np.float32)
    fits = []
    for g in turns:
        sites = maps.neighbourhoods(g, grid, 3, out=out)
        mask = maps.neighbourhood_mask(sites, grid, (31, 31))
        A = np.where(mask, rng.normal(size=mask.shape), 0).astype(np.float32)
        fits.append(maps.LinearMap(A, np.zeros(TARGETS, np.float32)))
    templates = maps.pose_templates(fits, w)
    x = jnp.asarray(patches(4, 112))
    middle = slice(20, 92)

    @jax.jit
    def equivariant(x, templates):
        z = maps.hog(x[:, middle, middle])
        return templates(z.reshape(len(x), -1))

    @jax.jit
    def direct(x, w):
        scores = []
        for g in turns:
            z = maps.hog(g(x)[:, middle, middle])[:, 2:7, 2:7]
            scores.append(z.reshape(len(x), -1) @ w)
        return jnp.stack(scores, 1)

    seconds = interleaved(
        {
            "equivariant": lambda: equivariant(x, templates),
            "direct": lambda: direct(x, w),
        },
        rounds=rounds,
        clock=time.process_time,
    )
    return {
        "what": f"{POSES} rotations, HOG 9 x 9 cells, 4 images a call",
        "milliseconds": {n: round(1e3 * min(s), 3) for n, s in seconds.items()},
        "direct_over_equivariant": ratio(seconds, "direct", "equivariant"),
    }


def _cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures = {
        "cores_used": _cores(),
        "clock": "processor time",
    }
    figures["scoring"] = bench_scoring(4 * options.rounds)
    print(figures["scoring"], flush=True)
    figures["forward_selection"] = bench_selection(options.rounds)
    print(figures["forward_selection"], flush=True)
    print(save("maps", figures))


if __name__ == "__main__":
    main()
