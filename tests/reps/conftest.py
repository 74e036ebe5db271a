"""One BLAS thread: many threads on small matrices are slow on a busy machine."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1):
        yield
