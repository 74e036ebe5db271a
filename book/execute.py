"""Run every python block of README.md and docs/, each page in a process of its own.

python -m book.execute                     # all pages, two at a time
python -m book.execute docs/measure.md     # one

Says how long each page took. Ends with 1, and the failing line of the page, if a block
raises, a doctest fails, or a page takes longer than its limit.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .blocks import ROOT, pages, results_of

#: Seconds a page may take before it is stopped.
LIMIT = 1200


class Done(NamedTuple):
    """How a page ended: its wall and processor time, and what went wrong if any."""

    page: Path
    seconds: float
    cpu_seconds: float
    error: str


def execute(page: Path, *, limit: float = LIMIT, folder: Path | None = None) -> Done:
    """Run a page in a process of its own and keep its outputs for the site.

    Args:
        page: the Markdown file.
        limit: seconds after which it is stopped.
        folder: where its outputs go; by default where the site looks for them.
    """
    folder = folder or results_of(page)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "agg"} | os.environ
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "book.run", str(page), str(folder)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
        )
        error = done.stderr if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"{page}: stopped after {limit:g} s"
    seconds = time.monotonic() - began
    if error:
        shutil.rmtree(folder)
        return Done(page, seconds, 0.0, error)
    used = json.loads((folder / "outputs.json").read_text())["cpu_seconds"]
    return Done(page, seconds, used, "")


def main() -> None:
    """Run the pages named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="by default all")
    parser.add_argument("--jobs", type=int, default=2, help="pages at a time")
    arguments = parser.parse_args()
    chosen = [page.resolve() for page in arguments.pages] or pages()
    began, used, failed = time.monotonic(), 0.0, 0
    print("seconds processor  page")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for done in pool.map(execute, chosen):
            name = done.page.relative_to(ROOT)
            print(f"{done.seconds:7.1f} {done.cpu_seconds:7.1f}  {name}", flush=True)
            used += done.cpu_seconds
            failed += bool(done.error)
            if done.error:
                print(done.error, file=sys.stderr, flush=True)
    print(f"{time.monotonic() - began:7.1f} {used:7.1f}  all, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
