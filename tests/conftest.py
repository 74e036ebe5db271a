"""Settings that hold for the whole suite."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of the suite's time, and cheap code compiles in less (nine tests of
# attribution: 33 for 76 CPU seconds). 0 tests optimised code: `make test-optimised`.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

# Traces are many small objects: looking for garbage as often as Python does by default
# took a tenth of the time of tests/polyphase.
gc.set_threshold(100_000, 50, 50)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
