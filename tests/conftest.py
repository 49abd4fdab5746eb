"""What many tests share: one small cluster for all that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dgmm.execution.dask_cluster import DaskExecutor, local_cluster


@pytest.fixture(scope="session")
def dask_executor() -> Iterator[DaskExecutor]:
    """Two worker processes, for every test that leaves them as they are."""
    with local_cluster(2) as executor:
        yield executor
