"""Libraries with threads of their own, which wait for each other where tests share processors."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """One thread for BLAS and OpenMP; import it into a module of tests."""
    import faiss  # noqa: F401  # only libraries that are loaded are limited

    with threadpool_limits(1):
        yield
