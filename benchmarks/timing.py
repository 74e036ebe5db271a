"""Paired timing: candidates take turns, so that a drifting machine hits all alike."""

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

RESULTS = Path(__file__).parent / "results"


def interleaved(
    candidates: dict[str, Callable[[], object]],
    *,
    rounds: int = 15,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every round of every candidate, each waiting for its result.

    ``clock=time.process_time`` counts processor time, which other programs on the
    machine hardly change.
    """
    seconds = {name: [] for name in candidates}
    for i in range(warmup + rounds):
        for name, run in candidates.items():
            start = clock()
            jax.block_until_ready(run())
            if i >= warmup:
                seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, base: str) -> dict[str, float]:
    """Median, least and largest of the round-by-round ratios name / base."""
    pairs = [a / b for a, b in zip(seconds[name], seconds[base], strict=True)]
    return {
        "median": round(statistics.median(pairs), 3),
        "min": round(min(pairs), 3),
        "max": round(max(pairs), 3),
    }


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def save(name: str, figures: dict) -> Path:
    """Write figures with what produced them; whole or not at all."""
    from eqnets.io import atomic_write_text

    device = jax.devices()[0]
    what = {
        "command": f"python -m benchmarks.{name}",
        "device": device.device_kind,
        "platform": device.platform,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    path = RESULTS / f"{name}-{device.platform}.json"
    atomic_write_text(path, json.dumps({**what, **figures}, indent=2) + "\n")
    return path
