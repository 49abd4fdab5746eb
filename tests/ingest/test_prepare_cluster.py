"""Preparing on worker processes, one of which is killed in the middle of a part."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import zarr
from formula_source import FormulaSource

from dgmm.data.source_dataset import SourceDataset
from dgmm.execution.dask_cluster import local_cluster
from dgmm.execution.threads import ThreadExecutor
from dgmm.ingest.groups import groups_of
from dgmm.ingest.prepare import PreparedTarget, prepare
from dgmm.storage.folders import Folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]
#: 1,200 parts, 10 chunks, 5 groups.
N_PARTS, ROWS_A_PART, D, KILLED_AT = 1200, 341, 27, 500


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_killed_worker_costs_the_parts_of_its_group_and_no_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.ingest.groups._LEAST_CHUNKS", 2)
    (tmp_path / "log").mkdir()
    source = FormulaSource(
        (ROWS_A_PART,) * N_PARTS, D, str(tmp_path / "log"), dtype="<f4", kill_at=KILLED_AT
    )
    dataset = SourceDataset.of(source)
    with Folder(tmp_path) as folder:
        with local_cluster(n_workers=2, threads_per_worker=1, memory_limit=2**30) as executor:
            prepare(dataset, executor, PreparedTarget(folder, "killed.zarr", "a" * 64))
        alone = SourceDataset.of(FormulaSource(source.sizes, D, dtype="<f4"))
        with ThreadExecutor(2) as executor:
            prepare(alone, executor, PreparedTarget(folder, "whole.zarr", "a" * 64))
    assert (tmp_path / "log" / "ended").exists()
    assert files(tmp_path / "killed.zarr") == files(tmp_path / "whole.zarr")
    rows = zarr.open_group(tmp_path / "killed.zarr", mode="r")["rows"][:]
    np.testing.assert_array_equal(rows, source.all_rows())
    groups = groups_of(dataset.parts, dataset.chunk_rows)
    assert len(groups) == 5
    (hit,) = [g for g in groups if KILLED_AT in {part.index for part in g.parts}]
    again = {part.index for part in hit.parts if part.index <= KILLED_AT}
    assert source.n_reads() == {i: 2 if i in again else 1 for i in range(N_PARTS)}
