"""Keeping compiled programs from run to run, and counting what compiling costs."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.monitoring
from jax.experimental.compilation_cache import compilation_cache

from .errors import CommandError

#: Programs that take less are compiled anew: reading them takes as long.
WORTH_KEEPING = 0.2
_SECONDS = (
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_HIT = "/jax/compilation_cache/cache_hits"


@dataclasses.dataclass
class Cost:
    """What compiling has cost so far.

    Attributes:
        folder: where compiled programs are kept; None for nowhere.
        seconds: of lowering and compiling, or of reading compiled programs.
        programs: how many were needed.
        cached: how many of them came from the folder.
    """

    folder: Path | None
    seconds: float = 0.0
    programs: int = 0
    cached: int = 0

    def took(self, event: str, seconds: float, **_: Any) -> None:
        """Count a compilation; JAX calls this."""
        if event in _SECONDS:
            self.seconds += seconds
            self.programs += event == _SECONDS[1]

    def happened(self, event: str, **_: Any) -> None:
        """Count a program that was read; JAX calls this."""
        self.cached += event == _HIT


def default_folder() -> Path:
    """Where compiled programs are kept: the user's cache directory.

    ``JAX_COMPILATION_CACHE_DIR`` goes before ``XDG_CACHE_HOME/eqnets/compiled``, and
    this before ``~/.cache/eqnets/compiled``.
    """
    if named := jax.config.jax_compilation_cache_dir:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "eqnets", "compiled")


@contextlib.contextmanager
def kept(folder: Path | None) -> Iterator[Cost]:
    """Keep the programs compiled in a block, and count what compiling costs.

    Args:
        folder: where; None for `default_folder`, and nowhere if that is read-only.

    Raises:
        CommandError: nothing can be written to a folder that was named.
    """
    found = folder or default_folder()
    try:
        found.mkdir(parents=True, exist_ok=True)
        if not os.access(found, os.W_OK):
            raise PermissionError(None, "Permission denied", str(found))
    except OSError as error:
        if folder is not None:
            raise CommandError(
                f"cannot keep compiled programs in {str(folder)!r}: {error.strerror}; "
                "name another folder with --cache"
            ) from error
        found = None
    cost = Cost(found)
    options = {
        "jax_compilation_cache_dir": None if found is None else str(found),
        "jax_persistent_cache_min_compile_time_secs": WORTH_KEEPING,
    }
    before = {name: getattr(jax.config, name) for name in options}
    _configure(options)
    jax.monitoring.register_event_duration_secs_listener(cost.took)
    jax.monitoring.register_event_listener(cost.happened)
    try:
        yield cost
    finally:
        jax.monitoring.unregister_event_duration_listener(cost.took)
        jax.monitoring.unregister_event_listener(cost.happened)
        _configure(before)


def _configure(options: dict[str, Any]) -> None:
    for name, value in options.items():
        jax.config.update(name, value)
    # JAX opens the folder once, at the first compilation.
    compilation_cache.reset_cache()
