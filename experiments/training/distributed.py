"""Starting one program on many hosts."""

import os

import jax

VARIABLES = ("EQNETS_COORDINATOR", "EQNETS_PROCESSES", "EQNETS_PROCESS")


def start(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join the other processes, before JAX is used for anything else.

    What is None is taken from the environment, ``EQNETS_COORDINATOR`` (host:port of
    process 0), ``EQNETS_PROCESSES`` and ``EQNETS_PROCESS``. Without a coordinator this
    is a run of one process. ``coordinator="auto"`` lets JAX ask the cluster (TPU pods,
    SLURM, Open MPI), which tells it the rest.

    Raises:
        ValueError: a coordinator without the number of processes or of this one.
    """
    given = (coordinator, processes, process)
    found = [
        os.environ.get(name) if value is None else value
        for name, value in zip(VARIABLES, given, strict=True)
    ]
    if found[0] is None:
        return
    if found[0] == "auto":
        jax.distributed.initialize()
        return
    if None in found[1:]:
        raise ValueError(
            "a coordinator needs the number of processes and this process's: give "
            "--processes and --process, or set EQNETS_PROCESSES and EQNETS_PROCESS"
        )
    jax.distributed.initialize(
        str(found[0]),
        int(found[1]),
        int(found[2]),
        initialization_timeout=120,
        heartbeat_timeout_seconds=30,
    )
