"""The subcommands of the ``eqnets`` command.

The options of each are in ``options``, what it does is ``run`` in the file of its name.
Importing this package imports no JAX, so that ``eqnets --help`` answers at once.
"""

import importlib

from .errors import CommandError as CommandError
from .errors import UsageError as UsageError
from .options import COMMANDS as COMMANDS
from .progress import Stages


def run(options: object, command: str) -> int:
    """Carry out a command.

    Args:
        options: an instance of one of ``COMMANDS``.
        command: the command line, for the report.

    Returns:
        The exit code 0.

    Raises:
        CommandError: the command cannot be carried out.
    """
    options.check()
    stages = Stages()
    name = next(name for name, kind in COMMANDS.items() if type(options) is kind)
    with stages.stage("starting"):
        # JAX is imported: seconds that `--help` and typos do not wait for.
        work = importlib.import_module(f".{name}", __name__)
    return work.run(options, stages, command)
