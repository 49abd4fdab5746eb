"""Labelled arrays are prepared on worker processes, one of which is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from labelled_cases import (
    PACKED,
    by_xarray,
    chunk_reads,
    in_c_order,
    logged,
    ocean,
    opened,
    stacked,
    written,
)

from dgmm.data.source_dataset import SourceDataset
from dgmm.execution.dask_cluster import local_cluster
from dgmm.ingest.groups import groups_of
from dgmm.ingest.prepare import PreparedTarget, prepare, with_prepared_rows
from dgmm.reduction.blocks import BlockRange
from dgmm.storage.folders import Folder

CASES = {
    "one time": ((510, 40, 10, 10), (1, 40, 10, 10), "SR/c/200/0/0/0"),
    "tiles": ((20, 40, 46, 55), (20, 40, 2, 2), "SR/c/0/0/9/3"),
}


@pytest.mark.timeout(280)
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers")
def test_each_of_a_thousand_chunks_is_read_once_by_two_workers_but_for_what_one_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgmm.ingest.groups._LEAST_CHUNKS", 2)
    with local_cluster(2) as executor:
        for name, (sizes, chunks, deadly) in CASES.items():
            path = written(ocean(sizes), tmp_path / name / "ocean.zarr", chunks, PACKED)
            source = logged(opened(path))
            dataset = SourceDataset.of(source)
            groups = groups_of(dataset.parts, dataset.chunk_rows)
            assert len(groups) >= 3
            (path.parent / "deadly").write_text(deadly, "utf-8")
            with Folder(path.parent) as folder:
                target = PreparedTarget(folder, "prepared.zarr", "r" * 64)
                prepare(dataset, executor, target)
                found = with_prepared_rows(dataset, target)
            assert not (path.parent / "deadly").exists(), "a worker was killed"
            blocks = found.read_blocks(BlockRange(0, found.grid.n_blocks))
            rows = np.concatenate([block.values for block in blocks])
            with by_xarray(path) as data:
                np.testing.assert_array_equal(in_c_order(source, rows), stacked(data))
            reads = chunk_reads(path)
            assert len(reads) == 2 * len(dataset.parts) >= 1000
            # A worker that dies loses what it has at hand: two groups at most.
            largest = max(len(group.parts) for group in groups)
            again = sum(reads.values()) - len(reads)
            assert 0 < again <= 2 * 2 * largest < len(reads)
