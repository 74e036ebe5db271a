"""One solve in a process of its own, whose peak memory is its own."""

import json
import os
import platform
import resource
import signal
import subprocess
from pathlib import Path

import numpy
import scipy

from eqnets.io import atomic_write_text

OURS = """
import json, resource, time
from eqnets import groups as g, reps
from eqnets.reps.cache import nbytes
T = reps.T
def endo(G):
    return reps.vector(G) >> reps.vector(G)
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
basis = reps.equivariant_basis({expression})
solve = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle
start = time.process_time()
if basis.size * basis.rank < 1e8:
    basis.dense()
dense = time.process_time() - start
print(json.dumps(dict(rank=basis.rank, seconds=solve, dense_seconds=dense, peak_mib=peak
    / 1024, typed_mib=nbytes(basis) / 2**20, residual=basis.residual,
    method=basis.method, size=basis.size)))
"""

ONE_THREAD = dict.fromkeys(
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1"
) | {
    "TQDM_DISABLE": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def run(python, code, timeout):
    """The record a fresh process prints, or what went wrong; limited in CPU seconds."""

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (int(timeout), int(timeout) + 5))

    out = subprocess.run(
        [python, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env={**os.environ, **ONE_THREAD},
    )
    if out.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return {"error": f"over {timeout:.0f} CPU s"}
    if out.returncode:
        return {"error": out.stderr.strip().splitlines()[-1][:100]}
    return json.loads(out.stdout.strip().splitlines()[-1])


def save(path, command, result):
    """Write the records, so far, with what made them."""
    what = {
        "command": command,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "cores": os.cpu_count(),
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(Path(path), json.dumps(what | result, indent=1) + "\n")
