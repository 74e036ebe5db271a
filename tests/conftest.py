"""Settings that hold for the whole suite."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of the suite's time: cheap code halves it. 0 tests optimised code.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

# Traces are many small objects: looking for garbage as often as Python does by default
# is a tenth of the suite's time.
gc.set_threshold(100_000, 50, 50)


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
