"""Export every network and training step for TPUs and GPUs, and compile one for a pod.

    python -m experiments.check_tpu                        # or: make check-tpu
    python -m experiments.check_tpu --only swin            # renew rows with this name
    python -m experiments.check_tpu --only ResNet-50 --down lps strided lps_input

Every network of ``eqnets.models`` is exported in evaluation (``jax.export``, for a
batch of any size), and every training step of ``experiments/configs`` on a mesh of 256
chips, to ``results/check_tpu.json``: eight minutes of one core. With libtpu on the path
(``make libtpu``) the step of ResNet-50 on ImageNet is compiled for a slice of TPU v5e,
and what the compiler says of memory and FLOPs goes into ``results/tpu_steps.json``. No
accelerator is needed. The exit code is 1 where something is not exported, or does not
fit into a chip.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

import jax

from eqnets.io import atomic_write_text
from experiments.tpu.exports import (
    CHIPS,
    PLATFORMS,
    export_network,
    export_step,
    steps,
    tried,
)
from experiments.tpu.networks import networks

RESULTS = Path(__file__).parent / "results"


def exports(only: str) -> list[dict]:
    """Try each, and print a line for it."""
    jobs = {n: lambda net=net: export_network(net) for n, net in networks().items()}
    jobs |= {n: lambda c=config: export_step(c) for n, config in steps().items()}
    rows = []
    for name, make in jobs.items():
        if only not in name:
            continue
        rows.append(tried(name, make))
        print(line(rows[-1]), flush=True)
    return rows


def line(row: dict) -> str:
    """A row of the table."""
    start = f"{row['name']:<52} {row['cpu_seconds']:6.1f} s  "
    if not row["ok"]:
        return start + row.get("why", "other platforms than asked for")
    size = f"{row['bytes'] / 1e3:8.0f} kB  {row['devices']:4d} device(s)  "
    return start + size + " ".join(row["platforms"])


def write(path: Path, options: str, found: dict) -> None:
    """Write results with the command and the versions."""
    command = f"python -m experiments.check_tpu {options}".strip()
    what = {"command": command, "jax": jax.__version__}
    atomic_write_text(path, json.dumps({**what, **found}, indent=1) + "\n")


def renewed(before: list[dict], now: list[dict]) -> list[dict]:
    """Rows by name: new ones in the places of the old, or behind them."""
    named = {row["name"]: row for row in before} | {row["name"]: row for row in now}
    return list(named.values())


def compile_steps(options: argparse.Namespace, out: Path) -> list[dict]:
    """Compile for the slice, and write each as it comes."""
    from experiments.tpu.compiled import compile_step

    rows = json.loads(out.read_text())["steps"] if out.exists() else []
    tried_now = []
    for down in options.down:
        row = compile_step(down, options.topology, options.per_chip)
        tried_now.append(row)
        keys = ("down", "topology", "per_chip")
        rows = [r for r in rows if any(r[k] != row[k] for k in keys)] + [row]
        libtpu = importlib.metadata.version("libtpu")
        compiled = "--down " + " ".join(r["down"] for r in rows)
        write(out, compiled, {"libtpu": libtpu, "steps": rows})
        print(json.dumps(row), flush=True)
    return tried_now


def main(arguments: list[str] | None = None) -> int:
    """Check, print, save; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of the names to export")
    parser.add_argument("--down", nargs="*", default=["lps"], help="steps to compile")
    parser.add_argument("--per-chip", type=int, default=128, help="images on a chip")
    parser.add_argument("--topology", default="v5e:8x8")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    rows = exports(options.only)
    failed = [row["name"] for row in rows if not row["ok"]]
    print(f"{len(rows) - len(failed)} exported, {len(failed)} not")
    table = options.out / "check_tpu.json"
    if options.only and table.exists():
        rows = renewed(json.loads(table.read_text())["exports"], rows)
    if rows:
        what = {"platforms": PLATFORMS, "step_devices": CHIPS, "exports": rows}
        write(table, "", what)
    if options.down and importlib.util.find_spec("libtpu") is None:
        print("SKIPPED compiling for a TPU slice: libtpu is not there (make libtpu)")
    elif options.down:
        compiled = compile_steps(options, options.out / "tpu_steps.json")
        failed += [f"{row['down']} on TPU" for row in compiled if not row["fits"]]
    for name in failed:
        print(f"FAILED {name}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
