"""Train a network by a config, and go on where it stopped.

    python -m experiments.train --config fashion_mnist --out runs/fashion
    python -m experiments.train --config fashion_mnist --dry-run
    python -m experiments.train --config cifar10 --model.down aps --epochs 5
    python -m experiments.train --config my_config.py --out runs/mine
    python -m experiments.train --config imagenet --coordinator auto   # on every host

A config is a module of ``experiments.configs`` or a file that defines ``CONFIG``; every
field of it is an option (``--config NAME --help`` lists them). The same command goes on
from the last checkpoint. Exit codes: 0 finished; 143 stopped by SIGTERM (130 by SIGINT)
with the state saved; 2 a mistake in what was asked; 3 a loss that is not finite.
"""

import argparse
import sys
from pathlib import Path

import tyro

from experiments.training import Config, Interrupted, NotFinite, Run, distributed
from experiments.training.config import load
from experiments.training.describe import describe, text


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="experiments.train", description=__doc__.splitlines()[0], add_help=False
    )
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--tensorboard", action="store_true")
    parser.add_argument("--coordinator", help="host:port of process 0, or auto")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    own, rest = parser.parse_known_args(arguments)
    try:
        distributed.start(own.coordinator, own.processes, own.process)
        config = tyro.cli(
            tyro.conf.AvoidSubcommands[Config],
            default=load(own.config),
            args=rest,
            prog=f"experiments.train --config {own.config}",
        )
        if own.dry_run:
            print(text(describe(config)))
            return 0
        out = own.out or Path("runs") / Path(own.config).stem
        result = Run(config, out, report=_say, tensorboard=own.tensorboard).train()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal
    except NotFinite as error:
        print(error, file=sys.stderr)
        return 3
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _say("done  " + "  ".join(f"{k} {v:.4g}" for k, v in result.items()))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
