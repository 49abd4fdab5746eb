"""Prepared rows are the source's: each part read once, the same bytes after any end."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr
from formula_source import FormulaSource, formula_weights

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.zarr.output_array import OutputArray
from dgmm.errors import (
    DataError,
    OutputExistsError,
    OutputFailedError,
    PoisonBlocksError,
    UnavailableError,
)
from dgmm.execution.threads import ThreadExecutor
from dgmm.ingest import prepare as stage
from dgmm.ingest.groups import groups_of
from dgmm.ingest.prepare import (
    PreparedTarget,
    counted_missing,
    is_prepared,
    prepare,
    with_prepared_rows,
)
from dgmm.ingest.prepared_arrays import PreparedArrays
from dgmm.reduction.blocks import BlockRange
from dgmm.storage.folders import Folder
from dgmm.storage.retry import with_retries

SIZES = (0, 3, 5000, 1, 12_000, 0, 700, 700, 700, 9000, 4096, 2048, 1, 0)
FEW = (0, 3, 2500, 1, 2000, 700, 700, 1024, 1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Blocks and chunks of 1024 rows of up to 4 features: sizes above make many groups of them."""
    monkeypatch.setattr("dgmm.ingest.groups._LEAST_CHUNKS", 2)
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 8 * 4096)
    monkeypatch.setattr("dgmm.reduction.blocks.ROW_QUANTUM", 1024)
    monkeypatch.setattr("dgmm.data.source_dataset._CHUNK_BYTES", 1)


def source_of(tmp_path: Path, **keys) -> FormulaSource:
    log = tmp_path / "log"
    log.mkdir(exist_ok=True)
    return FormulaSource(**({"sizes": SIZES, "log": str(log)} | keys))


def prepared(source, folder: Path, n_threads=2, run="r" * 64, retry_s=0.0):
    dataset = SourceDataset.of(source)
    with Folder(folder) as held, ThreadExecutor(n_threads) as executor:
        target = PreparedTarget(held, "prepared.zarr", run)
        prepare(dataset, executor, target, retry_s=retry_s)
        assert is_prepared(dataset, target)
        return with_prepared_rows(dataset, target)


def files(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_rows_are_those_of_the_source_and_each_part_is_read_once(tmp_path, n_threads, dtype):
    source = source_of(tmp_path, dtype=dtype, batch=777)
    dataset = prepared(source, tmp_path, n_threads)
    blocks = list(dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)))
    rows = np.concatenate([block.values for block in blocks])
    assert rows.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(rows, source.all_rows())
    assert set(source.n_reads().values()) == {1}
    assert not list(tmp_path.glob("*.part*"))


def test_weights_lie_beside_the_rows(tmp_path):
    prepared(source_of(tmp_path, weighted=True), tmp_path)
    group = zarr.open_group(tmp_path / "prepared.zarr", mode="r")
    n = sum(SIZES)
    assert group["weights"].dtype == np.float64
    np.testing.assert_array_equal(group["weights"][:], formula_weights(0, n))
    assert group["rows"].shape == (n, 3)
    assert group["rows"].attrs["feature_names"] == ["feature 0", "feature 1", "feature 2"]
    assert group["rows"].attrs["units"] == {"feature 0": "m"}


def test_bytes_do_not_follow_threads_or_batches(tmp_path):
    found = []
    for n_threads, batch in ((1, 100_000), (3, 50)):
        folder = tmp_path / f"{n_threads}"
        folder.mkdir()
        prepared(source_of(folder, batch=batch), folder, n_threads)
        found.append(files(folder / "prepared.zarr"))
    assert found[0] == found[1]


def test_what_was_prepared_before_is_not_read_again(tmp_path):
    source = source_of(tmp_path)
    for _ in range(2):
        prepared(source, tmp_path)
    assert set(source.n_reads().values()) == {1}


def test_rows_of_other_data_are_replaced(tmp_path):
    prepared(source_of(tmp_path, sizes=(2000,)), tmp_path, run="a" * 64)
    dataset = prepared(source_of(tmp_path), tmp_path, run="b" * 64)
    assert dataset.prepared.n_samples == sum(SIZES)


def test_what_an_attempt_on_other_data_has_begun_is_replaced(tmp_path):
    other = SourceDataset.of(source_of(tmp_path, sizes=(2000,) * 5))
    with Folder(tmp_path) as folder:
        theirs = PreparedTarget(folder, "prepared.zarr", "a" * 64)
        theirs.arrays(other).create(theirs.part, other)
    dataset = prepared(source_of(tmp_path, sizes=(3000,)), tmp_path, 1, run="b" * 64)
    assert dataset.prepared.n_samples == 3000


@dataclass(frozen=True)
class Changing(FormulaSource):
    """Data that something writes to while they are read."""

    def check_unchanged(self):
        raise DataError("rows.json changed")


def test_rows_of_data_that_change_meanwhile_are_not_published(tmp_path):
    with pytest.raises(DataError, match=r"rows\.json changed"):
        prepared(Changing((3000,)), tmp_path, 1)
    assert not (tmp_path / "prepared.zarr").exists()


@dataclass(frozen=True)
class Failing(FormulaSource):
    """Data on a disk that does not answer the first read of each part."""

    def read(self, part):
        answers = iter([OSError(errno.EIO, "no answer"), None])

        def asked():
            if (error := next(answers)) is not None:
                raise error

        with_retries(asked)
        yield from super().read(part)


def test_reads_that_fail_for_a_while_are_tried_again_for_so_long(tmp_path):
    source = Failing((3000, 2000))
    with pytest.raises(OSError, match="no answer"):
        prepared(source, tmp_path, 2)
    prepared(source, tmp_path, 2, retry_s=20.0)
    rows = zarr.open_group(tmp_path / "prepared.zarr", mode="r")["rows"][:]
    np.testing.assert_array_equal(rows, source.all_rows())


def test_what_is_called_done_is_on_disk(tmp_path, monkeypatch):
    """A machine that stops forgets what was not synchronised: neither a group nor all rows may be
    marked as done before their chunks are."""
    written, durable, marks = set(), set(), []
    write, sync, edges = OutputArray.write, OutputArray.sync, PreparedArrays.write_edges
    finish = stage.finish_outputs

    def writing(self, start, values):
        write(self, start, values)
        written.update((self.name, row) for row in range(start, start + len(values)))

    def syncing(self, start, stop):
        sync(self, start, stop)
        durable.update((self.name, row) for row in range(start, stop))

    def marking(self, group, *rows):
        marks.append(written - durable)
        edges(self, group, *rows)

    def finishing(*place):
        marks.append(written - durable)
        finish(*place)

    monkeypatch.setattr(OutputArray, "write", writing)
    monkeypatch.setattr(OutputArray, "sync", syncing)
    monkeypatch.setattr(PreparedArrays, "write_edges", marking)
    monkeypatch.setattr(stage, "finish_outputs", finishing)
    prepared(source_of(tmp_path, weighted=True, sizes=FEW), tmp_path, 1)
    assert len(marks) > 3
    assert not any(marks)
    assert {name for name, _ in written} == {"rows", "weights"}
    assert len(written) == 2 * sum(FEW)


class Killed(BaseException):
    """Ends an attempt where a signal would."""


@pytest.mark.parametrize("seed", range(20))
def test_the_bytes_are_the_same_wherever_an_attempt_is_ended(tmp_path, monkeypatch, seed):
    """Each attempt ends at its n-th write, sync, rename or removal, n drawn anew."""
    whole = tmp_path / "whole"
    whole.mkdir()
    prepared(source_of(whole, weighted=True, gaps=6, sizes=FEW), whole, 1)
    rng = np.random.default_rng(seed)
    left = [0]

    def counted(owner, name):
        real = getattr(owner, name)

        def call(*arguments, **keys):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return real(*arguments, **keys)

        monkeypatch.setattr(owner, name, call)

    for owner, name in (
        ("dgmm.data.zarr.output_array.OutputArray", "write"),
        ("dgmm.data.zarr.output_array.OutputArray", "sync"),
        ("dgmm.storage.folders.Folder", "rename"),
        ("dgmm.storage.folders.Folder", "remove"),
        ("dgmm.storage.folders.Folder", "make_folder"),
        ("dgmm.storage.folders.Folder", "replace"),
    ):
        module, _, attribute = owner.rpartition(".")
        counted(getattr(__import__(module, fromlist=[attribute]), attribute), name)
    source, n_attempts = source_of(tmp_path, weighted=True, gaps=6, sizes=FEW), 0
    while True:
        left[0], n_attempts = int(rng.integers(1, 45)), n_attempts + 1
        try:
            prepared(source, tmp_path, 1)
        except Killed:
            continue
        break
    assert n_attempts > 1
    assert files(tmp_path / "prepared.zarr") == files(whole / "prepared.zarr")
    assert not list(tmp_path.glob("*.part*"))
    # A group is read again only where an attempt ended in it.
    assert sum(source.n_reads().values()) <= len(FEW) * n_attempts


@pytest.mark.parametrize("n_threads", [1, 3])
def test_what_rows_lack_is_counted_while_they_are_written(tmp_path, n_threads):
    source = source_of(tmp_path, gaps=8, dtype="<f4")
    found = counted_missing(prepared(source, tmp_path, n_threads))
    rows = source.all_rows()
    missing = np.isnan(rows)
    is_empty = missing.all(axis=1)
    patterns, counts = np.unique(missing[~is_empty], axis=0, return_counts=True)
    np.testing.assert_array_equal(found.patterns.missing(3), patterns)
    np.testing.assert_array_equal(found.patterns.counts, counts)
    assert (found.patterns.n_patterns, found.n_empty) == (7, int(is_empty.sum()))
    assert found.n_missing == int(missing[~is_empty].sum())
    assert found.patterns.n_partial == int(missing[~is_empty].any(axis=1).sum())


def test_more_patterns_than_are_told_apart_are_more_in_whatever_groups_they_are(tmp_path):
    source = source_of(tmp_path, d=13, gaps=5000)
    found = counted_missing(prepared(source, tmp_path))
    assert found.patterns.n_patterns is None
    assert found.patterns.n_rows == sum(SIZES)
    assert found.n_missing == int(np.isnan(source.all_rows()).sum())


def test_metadata_of_wide_rows_stay_small_whatever_patterns_they_have(tmp_path):
    """600 patterns of 2,100 features would be 316 KB of text, twice."""
    found = counted_missing(prepared(source_of(tmp_path, sizes=(600,), d=2100, gaps=600), tmp_path))
    assert (found.is_unlisted, found.patterns.n_partial) == (True, 599)
    for path in (tmp_path / "prepared.zarr").rglob("zarr.json"):
        assert path.stat().st_size < 150_000


@pytest.mark.parametrize("n_threads", [1, 3])
def test_groups_leave_out_patterns_that_take_too_many_bytes(tmp_path, monkeypatch, n_threads):
    monkeypatch.setattr("dgmm.data.summary.missing_counts.MOST_RECORDED_BYTES", 3)
    saved = []
    real = PreparedArrays.write_edges

    def write_edges(self, group, head, tail, missing):
        real(self, group, head, tail, missing)
        saved.append(self.missing_of(group))

    monkeypatch.setattr(PreparedArrays, "write_edges", write_edges)
    source = source_of(tmp_path, gaps=8)
    found = counted_missing(prepared(source, tmp_path, n_threads))
    assert len(saved) > 1
    assert all(len(each.patterns.bits) <= 3 for each in saved)
    assert sum(each.is_unlisted for each in saved) > 1
    missing = np.isnan(source.all_rows())
    assert found.is_unlisted
    assert found.n_empty == int(missing.all(axis=1).sum())
    assert found.n_missing == int(missing[~missing.all(axis=1)].sum())


def test_rows_of_weight_0_are_not_counted(tmp_path, monkeypatch):
    weights = "formula_source.formula_weights"
    monkeypatch.setattr(weights, lambda start, stop: np.arange(start, stop) % 2.0)
    source = source_of(tmp_path, gaps=8, weighted=True)
    found = counted_missing(prepared(source, tmp_path))
    missing = np.isnan(source.all_rows()[1::2])  # patterns of odd numbers, the empty one of them
    assert found.n_weightless == sum(SIZES) - len(missing)
    assert found.patterns.n_patterns == 3
    assert found.n_empty == int(missing.all(axis=1).sum())


def test_groups_that_an_attempt_of_an_earlier_version_has_done_are_counted(tmp_path, monkeypatch):
    source = source_of(tmp_path, gaps=8)
    with monkeypatch.context() as patch:
        patch.setattr("dgmm.ingest.prepared_arrays.arrays_of", lambda *_: {})
        patch.setattr(stage, "shared_chunks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepared(source, tmp_path, 1)
    assert counted_missing(prepared(source, tmp_path, 1)).patterns.n_patterns == 7


def test_groups_of_other_rows_are_not_taken_for_done(tmp_path, monkeypatch):
    source = source_of(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("dgmm.ingest.groups._LEAST_CHUNKS", 1)
        patch.setattr(stage, "shared_chunks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepared(source, tmp_path, 1)
    rows = prepared(source, tmp_path)
    blocks = rows.read_blocks(BlockRange(0, rows.grid.n_blocks))
    np.testing.assert_array_equal(np.concatenate([b.values for b in blocks]), source.all_rows())


def test_a_group_whose_edges_are_damaged_is_read_again_by_the_attempt_that_finds_it(
    tmp_path, monkeypatch
):
    source = source_of(tmp_path, gaps=8)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "shared_chunks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepared(source, tmp_path, 1)
    first, second = sorted((tmp_path / "prepared.zarr.part.edges").iterdir())[:2]
    first.write_bytes(first.read_bytes()[:-30])
    second.write_bytes(b"")
    rows = prepared(source, tmp_path)
    blocks = rows.read_blocks(BlockRange(0, rows.grid.n_blocks))
    np.testing.assert_array_equal(np.concatenate([b.values for b in blocks]), source.all_rows())
    assert sorted(set(source.n_reads().values())) == [1, 2]


def test_a_part_with_fewer_rows_than_it_said_is_named(tmp_path):
    with pytest.raises(DataError, match=r"part 4: 11,999 rows were read.* say 12,000"):
        prepared(source_of(tmp_path, missing_rows={"4": 1}), tmp_path)


def test_a_part_with_more_rows_than_it_said_is_named(tmp_path):
    with pytest.raises(DataError, match=r"part 10: more than 4,096 rows were read"):
        prepared(source_of(tmp_path, missing_rows={"10": -1}), tmp_path)


def test_a_part_without_rows_that_has_some_is_named(tmp_path):
    with pytest.raises(DataError, match=r"part 13: more than 0 rows were read"):
        prepared(source_of(tmp_path, missing_rows={"13": -1}), tmp_path)


def test_damaged_rows_at_an_edge_are_named_and_read_again_by_the_next_attempt(
    tmp_path, monkeypatch
):
    def damage(groups, *sizes):
        file = sorted((tmp_path / "prepared.zarr.part.edges").iterdir())[1]
        file.write_bytes(file.read_bytes()[:-9] + b"dgmmseal" + b"!")
        return stage_shared(groups, *sizes)

    stage_shared = stage.shared_chunks
    source = source_of(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "shared_chunks", damage)
        with pytest.raises(OutputFailedError, match=r"group-0+1\.npz is damaged.*same command"):
            prepared(source, tmp_path, 1)
    dataset = prepared(source, tmp_path)
    blocks = dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
    np.testing.assert_array_equal(
        np.concatenate([block.values for block in blocks]), source.all_rows()
    )
    assert sorted(source.n_reads().values())[:4] == [1, 1, 1, 1]


class Poisoned:
    """An executor on which one group ends every worker."""

    n_threads = 2

    def run(self, task, ranges, *, align=1):
        raise PoisonBlocksError("3 worker processes", (1, 2), None)
        yield


def test_parts_that_end_every_worker_are_named(tmp_path):
    dataset = SourceDataset.of(source_of(tmp_path))
    assert groups_of(dataset.parts, dataset.chunk_rows)[1].name == "part 3 to part 4"
    said = "reading part 3 to part 4 ended 3 worker processes"
    with Folder(tmp_path) as folder, pytest.raises(UnavailableError, match=said):
        prepare(dataset, Poisoned(), PreparedTarget(folder, "prepared.zarr", "a" * 64))


def test_progress_is_said_in_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.ingest.progress.EVERY_S", -1.0)
    said = []
    dataset = SourceDataset.of(source_of(tmp_path))
    with Folder(tmp_path) as folder, ThreadExecutor(1) as executor:
        target = PreparedTarget(folder, "prepared.zarr", "a" * 64)
        prepare(dataset, executor, target, note=said.append)
    n = sum(SIZES)
    assert len(said) > 1
    assert said[-1] == f"{n:,} of {n:,} rows are prepared (100%)"


def test_rows_that_another_run_began_anew_are_not_published(tmp_path, monkeypatch):
    other = SourceDataset.of(source_of(tmp_path, sizes=(2000,)))
    finish = stage.finish_outputs

    def begun_by_another(part, run):
        theirs = PreparedTarget(part.folder, "prepared.zarr", "b" * 64)
        theirs.arrays(other).create(theirs.part, other)
        finish(part, run)

    monkeypatch.setattr(stage, "finish_outputs", begun_by_another)
    with pytest.raises(OutputFailedError, match="begun anew by another run"):
        prepared(source_of(tmp_path), tmp_path, run="a" * 64)
    assert not (tmp_path / "prepared.zarr").exists()


@pytest.mark.parametrize("name", ["prepared.zarr.part", "prepared.zarr.part.edges"])
def test_what_dgmm_did_not_write_is_not_replaced(tmp_path, name):
    group = zarr.open_group(tmp_path / name, mode="w")
    group.create_array("mine", shape=(1,), dtype="f8")
    with pytest.raises(OutputExistsError, match=f"{name} exists, and dgmm has not written it"):
        prepared(source_of(tmp_path), tmp_path)
    assert (tmp_path / name / "mine").is_dir()
