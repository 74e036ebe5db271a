"""The cost of a solve as the group grows: `python -m benchmarks.solver --scaling`.

Left, families of groups with n: |G| is n or n!, the number of generators one or two.
The dense line is the null space by one SVD of the stacked constraints,
O((M + D) N^3): measured up to N = 2304, and the cube law beyond. Right, one group given
by more and more generators than it needs.
"""

import statistics
import sys

import numpy as np

from benchmarks.fresh_process import OURS, run, save

GROWING = {
    "Z_n, V >> V, |G| = n": (
        "endo(g.cyclic({n}))",
        [8, 16, 32, 64, 128, 256, 512, 1024],
    ),
    "S_n, V >> V, |G| = n!": ("endo(g.symmetric({n}))", [2**k for k in range(3, 10)]),
    "S_n, T4, |G| = n!": ("T(g.symmetric({n}), 4)", [4, 6, 8, 12, 16, 24, 32]),
}
DENSE = [8, 16, 24, 32, 48]
COUNTS = [2, 4, 8, 16, 32, 64]
WORDS = """T(g.subgroup(g.symmetric(12), [
    [0], [1], *np.random.default_rng(0).integers(0, 2, ({n} - 2, 9)).tolist()]), 4)"""
MIXED = """T(g.subgroup(g.SO(4), lie=np.random.default_rng(0).standard_normal(
    ({n}, 6)).tolist()), 8)"""
REDUNDANT = {"S_12, T4, M permutations": WORDS, "SO(4), T8, D Lie generators": MIXED}

SVD = """
import json, time
import numpy as np
from eqnets import groups as g, reps
V = reps.vector(g.cyclic({n}))
rep = V >> V
c = np.concatenate([rep.rho(h) - np.eye(rep.size) for h in g.cyclic({n}).discrete])
start = time.process_time()
np.linalg.svd(c)
print(json.dumps(dict(seconds=time.process_time() - start, size=rep.size)))
"""


def scaling(path):
    """Measure, draw, and write ``path`` and the figure beside it."""
    growing = {
        name: [_median(expression, n) for n in sizes]
        for name, (expression, sizes) in GROWING.items()
    }
    dense = [run(sys.executable, SVD.replace("{n}", str(n)), 600) for n in DENSE]
    redundant = {
        name: [_median(expression, n) | {"generators": n} for n in COUNTS]
        for name, expression in REDUNDANT.items()
    }
    result = {"growing": growing, "dense": dense, "redundant": redundant}
    save(path, "python -m benchmarks.solver --scaling", result)
    _figure(result).savefig(path.with_suffix(".png"), dpi=110)


def _median(expression, n):
    code = "import numpy as np\n" + OURS.replace("{expression}", expression)
    runs = [run(sys.executable, code.replace("{n}", str(n)), 600) for _ in range(3)]
    seconds = statistics.median(r["seconds"] for r in runs)
    print(expression.replace("\n", ""), n, f"{seconds:.4f} s", flush=True)
    kept = {key: runs[0][key] for key in ("size", "rank", "method")}
    return {"n": n, "seconds": seconds, **kept}


def _figure(result):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, points in result["growing"].items():
        left.loglog(*_columns(points, "size"), "o-", label=name)
    size, seconds = _columns(result["dense"], "size")
    left.loglog(size, seconds, "ks", label="dense SVD of the constraints, Z_n")
    beyond = np.geomspace(size[-1], 1e6, 2)
    left.loglog(beyond, seconds[-1] * (beyond / size[-1]) ** 3, "k--",
                label="O((M + D) N³), the cube law from there")  # fmt: skip
    left.set(xlabel="size N of the representation", ylabel="CPU seconds",
             ylim=(5e-4, 1e4))  # fmt: skip
    for name, points in result["redundant"].items():
        right.loglog(*_columns(points, "generators"), "o-", label=name)
    right.set(xlabel="number of generators, M or D", ylabel="CPU seconds",
              ylim=(1e-3, 1))  # fmt: skip
    right.set_xticks(COUNTS, COUNTS)
    right.minorticks_off()
    for axes in (left, right):
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    return figure


def _columns(points, x):
    return [p[x] for p in points], [p["seconds"] for p in points]
