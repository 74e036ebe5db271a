"""Packages that only some functions need."""

import importlib
from types import ModuleType


def extra_package(module: str, extra: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: the module, such as ``"PIL.Image"``.
        extra: the extra of eqnets that brings it, such as ``"demo"``.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"this needs the package {package!r}, which cannot be imported ({error}); "
            f"install it with pip install 'eqnets[{extra}]'"
        ) from error
