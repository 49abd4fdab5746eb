"""Workers cache what they read from pass to pass, and nothing once the job is over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr
from distributed import Client
from shell_cluster import scheduler

from dgmm.data.zarr.dataset import ZarrDataset, open_zarr
from dgmm.execution.dask_cluster import DaskExecutor, existing_cluster
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import split_ranges
from dgmm.runtime.row_cache import process_cache

pytestmark = pytest.mark.timeout(120)

D = 8
#: Chunks of a block, eight of them.
CHUNK = 32_768
N = 8 * CHUNK
N_BYTES = N * D * 4


class Reading:
    """Reads a range; gives the process that did, and the sum of what was read; picklable."""

    def __init__(self, dataset: ZarrDataset) -> None:
        self.dataset = dataset

    def __call__(self, blocks: BlockRange) -> tuple[int, float]:
        import os

        rows = np.concatenate([block.values for block in self.dataset.read_blocks(blocks)])
        return os.getpid(), float(rows.sum(dtype=np.float64))


def bytes_cached() -> int:
    return process_cache.n_bytes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ZarrDataset:
    X = gaussian_clusters(N, D)[0].astype(np.float32)
    path = write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", X, chunks=(CHUNK, D))
    return open_zarr(str(path))


def test_each_block_is_cached_by_one_worker_however_often_it_is_read(
    dask_executor: DaskExecutor, dataset: ZarrDataset
) -> None:
    # As many runs as are in flight at once: no worker can take over another one's. What other
    # tests read on this cluster may have let one worker read most blocks first.
    dask_executor._locations.clear()
    ranges = split_ranges(dataset.grid.n_blocks, 4)
    plain = dict(dask_executor.run(Reading(dataset), ranges))
    first = dict(dask_executor.run(Reading(dataset.with_cache(N_BYTES)), ranges))
    assert {blocks: found[1] for blocks, found in first.items()} == {
        r: f[1] for r, f in plain.items()
    }
    for _ in range(3):
        assert dict(dask_executor.run(Reading(dataset.with_cache(N_BYTES)), ranges)) == first
    cached = dask_executor._client.run(bytes_cached)
    assert sum(cached.values()) == N_BYTES
    assert min(cached.values()) > 0


def test_a_clusters_workers_get_their_memory_back(tmp_path: Path, dataset: ZarrDataset) -> None:
    with scheduler(tmp_path) as found, found.worker("--no-nanny"):
        with existing_cluster(found.address) as executor:
            list(
                executor.run(
                    Reading(dataset.with_cache(N_BYTES)), [BlockRange(0, 3), BlockRange(3, 8)]
                )
            )
            (inside,) = executor._client.run(bytes_cached).values()
        with Client(found.address, set_as_default=False) as client:
            (after,) = client.run(bytes_cached).values()
    assert (inside, after) == (N_BYTES, 0)
