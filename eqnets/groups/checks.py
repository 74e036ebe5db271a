"""Checks of arguments of groups and representations."""

import operator


def count(value: object, argument: str, *, least: int = 1) -> int:
    """``value`` as an integer of at least ``least``.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is too small.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(
            f"{argument} must be an integer, got {value!r} of type "
            f"{type(value).__name__}"
        )
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{argument} must be at least {least}, got {number}")
    return number
