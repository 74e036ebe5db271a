"""Settings that hold for the whole suite."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of the suite's time: cheap code halves it. 0 tests optimised code.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield
