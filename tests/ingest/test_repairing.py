"""Damaged chunks of prepared rows are found and written again, and nothing else is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from formula_source import FormulaSource

from dgmm.data.source_dataset import SourceDataset
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.ingest.prepare import PreparedTarget, prepare
from dgmm.ingest.repairing import repair
from dgmm.storage.folders import Folder

SIZES = (0, 3, 2500, 1, 2000, 700, 700, 1024, 1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Blocks and chunks of 1024 rows: seven of them."""
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 8 * 4096)
    monkeypatch.setattr("dgmm.reduction.blocks.ROW_QUANTUM", 1024)
    monkeypatch.setattr("dgmm.data.source_dataset._CHUNK_BYTES", 1)


def files(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.mark.parametrize(
    ("array", "chunks"), [("rows", [0]), ("rows", [2, 3, 6]), ("weights", [1, 5]), ("rows", [])]
)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_damaged_chunks_alone_are_written_again_with_the_same_bytes(
    tmp_path, array, chunks, n_threads
):
    log = tmp_path / "log"
    log.mkdir()
    source = FormulaSource(SIZES, log=str(log), weighted=True, gaps=8)
    dataset = SourceDataset.of(source)
    with Folder(tmp_path) as folder, ThreadExecutor(n_threads) as executor:
        target = PreparedTarget(folder, "prepared.zarr", "a" * 64)
        prepare(dataset, executor, target)
        before = files(tmp_path / "prepared.zarr")
        times = {p: p.stat().st_mtime_ns for p in (tmp_path / "prepared.zarr").rglob("*/c/*/*")}
        damaged = []
        for i in chunks:
            name = f"{array}/c/{i}/0" if array == "rows" else f"{array}/c/{i}"
            damaged.append(tmp_path / "prepared.zarr" / name)
            content = bytearray(damaged[-1].read_bytes())
            content[len(content) // 2] ^= 1
            damaged[-1].write_bytes(content)
        assert repair(dataset, executor, target) == len(chunks)
    assert files(tmp_path / "prepared.zarr") == before
    changed = {p for p, then in times.items() if p.stat().st_mtime_ns != then}
    assert changed <= {p.parent.parent / p.parent.name / p.name for p in damaged} | {
        tmp_path / "prepared.zarr" / "rows" / "c" / str(i) / "0" for i in chunks
    }
    assert all(n == 1 for n in source.n_reads().values()) == (not chunks)


@dataclass(frozen=True)
class Changed(FormulaSource):
    """Data that were written to since they were prepared."""

    def check_unchanged(self):
        raise DataError("rows.json changed")


def test_a_source_that_has_changed_repairs_nothing(tmp_path):
    with Folder(tmp_path) as folder, ThreadExecutor(1) as executor:
        target = PreparedTarget(folder, "prepared.zarr", "a" * 64)
        prepare(SourceDataset.of(FormulaSource(SIZES)), executor, target)
        chunk = tmp_path / "prepared.zarr" / "rows" / "c" / "0" / "0"
        chunk.write_bytes(b"damaged")
        with pytest.raises(DataError, match=r"rows\.json changed"):
            repair(SourceDataset.of(Changed(SIZES)), executor, target)
    assert chunk.read_bytes() == b"damaged"
