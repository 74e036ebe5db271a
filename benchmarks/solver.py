"""The basis solver: CPU seconds and peak memory, beside emlp 1.0.3.

    python -m benchmarks.solver                          # eqnets alone
    python -m benchmarks.solver --peer .venv-emlp        # both, and the ratios
    python -m benchmarks.solver --scaling                # cost as the group grows

Every solve runs in a fresh process with one BLAS thread, imports not counted: the first
call of each library, its compilation included. CPU time, not wall time, so that a busy
machine disturbs it less. Peak memory is what the resident process grew by; of it, a few
MiB are pages of LAPACK's code that any first eigenproblem touches (``floor_mib``: the
growth for 9 coordinates). ``normal_mib`` is the sparse normal matrix C^T C of the
stacked constraints, formed or not. The table is saved as
benchmarks/results/solver.json, the scaling beside it.
"""

import argparse
import math
import sys
from pathlib import Path

from benchmarks.fresh_process import OURS, run, save

# name, eqnets (groups g, representations T and endo), emlp (its groups, T and V), rank
TABLE = [
    ("Z(64) V>>V", "endo(g.cyclic(64))", "(V >> V)(Z(64))", 64),
    ("S(6) T4", "T(g.symmetric(6), 4)", "T(4)(S(6))", 15),
    ("S(10) T4", "T(g.symmetric(10), 4)", "T(4)(S(10))", 15),
    ("Z12xZ12 V>>V", "endo(g.translations(12, 12))", "(V >> V)(Z(12) * Z(12))", 144),
    ("p4 4x4 V>>V", "endo(g.p4(4))", "(V >> V)(ZksZnxZn(4, 4))", 64),
    ("SO(3) T4", "T(g.SO(3), 4)", "T(4)(SO(3))", 3),
    ("SO(3) T6", "T(g.SO(3), 6)", "T(6)(SO(3))", 15),
    ("SO(3) T8", "T(g.SO(3), 8)", "T(8)(SO(3))", 91),
    ("SO(5) T5", "T(g.SO(5), 5)", "T(5)(SO(5))", 1),
    ("SO(5) T6", "T(g.SO(5), 6)", "T(6)(SO(5))", 15),
    ("O(5) T4", "T(g.O(5), 4)", "T(4)(O(5))", 3),
    ("SO+(1,3) T4", "T(g.SOpq(1, 3), 4)", "T(4)(SO13p())", 4),
    ("Sp(2) T4", "T(g.Sp(2), 4)", "T(4)(Sp(2))", 3),
    ("Sp(2) T6", "T(g.Sp(2), 6)", "T(6)(Sp(2))", 14),
    ("SU(3) T(3,3)", "T(g.SU(3), 3, 3)", "T(3, 3)(SU(3))", 6),
]
BEYOND = [
    ("Z(1024) V>>V", "endo(g.cyclic(1024))", None, 1024),
    ("S(10) T6", "T(g.symmetric(10), 6)", None, 203),
    ("SO(3) T10", "T(g.SO(3), 10)", None, 603),
    ("SO(4) T8", "T(g.SO(4), 8)", None, 196),
    ("SO(5) T8", "T(g.SO(5), 8)", None, 105),
    ("Sp(2) T8", "T(g.Sp(2), 8)", None, 84),
    ("SO+(1,3) T8", "T(g.SOpq(1, 3), 8)", None, 196),
]

FLOOR = "T(g.SO(3), 2)"

NORMAL = """
import json
from eqnets import groups as g, reps
from eqnets.reps.blocks import blocks
from eqnets.reps.nullspace import stacked_constraints
from eqnets.reps.problem import Problem
T = reps.T
def endo(G):
    return reps.vector(G) >> reps.vector(G)
(block,) = blocks({expression})
problem = Problem(tuple(atom.images for atom in block.atoms))
c = stacked_constraints(problem, max_bytes=2**34).tocsc()
adjoint, size = c.conj().T.tocsr(), 4 * (problem.size + 1)
for start in range(0, problem.size, 20_000):
    columns = adjoint @ c[:, start : start + 20_000]
    size += columns.nnz * (4 + columns.dtype.itemsize)
print(json.dumps(dict(normal_mib=size / 2**20)))
"""

PEER = """
import json, resource, time
from emlp.groups import *
from emlp.reps import T, V
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
basis = ({expression}).equivariant_basis()
solve = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle
print(json.dumps(dict(rank=int(basis.shape[-1]), seconds=solve, peak_mib=peak / 1024)))
"""


def measure(peer, timeout, repeats, out):
    """One record for each line of the tables; the median of ``repeats`` for eqnets."""
    records = []
    floor = run(sys.executable, OURS.replace("{expression}", FLOOR), timeout)
    for name, ours, theirs, rank in TABLE + BEYOND:
        code = OURS.replace("{expression}", ours)
        runs = [run(sys.executable, code, timeout) for _ in range(repeats)]
        runs.sort(key=lambda r: r.get("seconds", math.inf))
        record = {"problem": name, "rank": rank, "eqnets": runs[len(runs) // 2]}
        normal = run(sys.executable, NORMAL.replace("{expression}", ours), timeout)
        record["eqnets"] |= normal if "normal_mib" in normal else {}
        if peer and theirs:
            code = PEER.replace("{expression}", theirs)
            record["emlp"] = run(f"{peer}/bin/python", code, timeout)
        records.append(record)
        print(line(record), flush=True)
        result = {
            "floor_mib": floor["peak_mib"],
            "table": records,
            "geometric_mean": geometric_mean(records),
        }
        save(
            out,
            "python -m benchmarks.solver" + " --peer .venv-emlp" * bool(peer),
            result,
        )
    return records


def line(record):
    """One row of the table."""
    ours, theirs = record["eqnets"], record.get("emlp", {})
    text = f"{record['problem']:14s} rank {record['rank']:5d}  eqnets "
    if "error" in ours:
        return text + ours["error"]
    text += f"{ours['seconds']:8.4f} s {ours['peak_mib']:7.1f} MiB"
    if "normal_mib" in ours:
        larger = max(ours["typed_mib"], ours["normal_mib"])
        text += f" ({ours['peak_mib'] / larger:.1f} x)"
    text += f" residual {ours['residual']:.0e}"
    if "seconds" in theirs:
        text += f"  emlp {theirs['seconds']:8.2f} s, rank {theirs['rank']}"
        text += f"  ratio {theirs['seconds'] / ours['seconds']:8.0f}"
    elif theirs:
        text += f"  emlp: {theirs['error']}"
    return text


def geometric_mean(records):
    """The mean ratio of CPU seconds over the problems that both solved."""
    ratios = [
        r["emlp"]["seconds"] / r["eqnets"]["seconds"]
        for r in records
        if "seconds" in r.get("emlp", {})
    ]
    if not ratios:
        return None
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def main():
    """Run the tables, print the ratios, save the records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="a virtual environment with emlp 1.0.3")
    parser.add_argument("--timeout", type=float, default=200.0, help="CPU s")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scaling", action="store_true", help="cost as groups grow")
    parser.add_argument("--out", default="benchmarks/results/solver.json")
    options = parser.parse_args()
    if options.scaling:
        from benchmarks.solver_scaling import scaling

        scaling(Path(options.out).with_name("solver_scaling.json"))
        return
    records = measure(options.peer, options.timeout, options.repeats, options.out)
    mean = geometric_mean(records)
    if mean is not None:
        print(f"geometric mean of the ratios: {mean:.0f}")


if __name__ == "__main__":
    main()
