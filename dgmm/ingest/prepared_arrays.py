"""Where prepared rows are written: a Zarr group that is made aside, filled by tasks and published.

Rows at the edges of a group, whose chunk is shared with the next one, wait in checksummed files of
a folder beside it; such a file is also what says that its group is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.row_source import SourceRows
from dgmm.data.summary.missing_counts import MissingCounts
from dgmm.data.zarr.format_versions import METADATA, group_attributes
from dgmm.data.zarr.output_array import OutputArray, output_failures, run_of
from dgmm.data.zarr.output_store import add_attributes, create_array, create_outputs
from dgmm.errors import DgmmError, InputNotFoundError, OutputExistsError, OutputFailedError
from dgmm.ingest.groups import Group
from dgmm.ingest.missing_files import arrays_of, counts_in
from dgmm.storage.array_files import DamagedFileError, read_sealed, write_sealed
from dgmm.storage.folders import Entry, Folder

ROWS, WEIGHTS = PREPARED_ARRAYS = ("rows", "weights")
#: Attribute of the group: of which data its rows are.
SOURCE_ATTRIBUTE = "prepared_from"
#: Attribute of the rows: what they lack (`MissingCounts.record`).
MISSING_ATTRIBUTE = "missing_values"
#: What the folder of edges is called, behind the name of the group.
_EDGES = ".edges"
_EDGE_FILE = re.compile(r"group-[0-9]{8,}\.npz")


@dataclass(frozen=True)
class PreparedArrays:
    """The arrays as tasks write them; picklable.

    Attributes
    ----------
    path : str
        The group's folder, which has another name once it is finished.
    run : str or None
        Digest of the source's data: nothing is written into another one's group. None for a group
        that is finished.
    has_weights : bool
        Whether there is an array of weights beside the rows.
    residuals : tuple of str
        Arrays of further numbers beside the rows, one a row each.
    """

    path: str
    run: str | None
    has_weights: bool
    residuals: tuple[str, ...] = ()
    _opened: dict[str, OutputArray] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[PreparedArrays], tuple[Any, ...]]:
        return type(self), (self.path, self.run, self.has_weights, self.residuals)

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays."""
        return (ROWS, *self._beside)

    @property
    def _beside(self) -> tuple[str, ...]:
        """Those of one number a row."""
        return (*((WEIGHTS,) if self.has_weights else ()), *self.residuals)

    def create(self, place: Entry, dataset: SourceDataset) -> None:
        """Make the group with its empty arrays; one of dgmm's that is there is replaced.

        Raises
        ------
        OutputExistsError
            If something else has the name of the group or of its edges.
        """
        _check_own_group(place)
        self.remove_edges(place)  # of other data, perhaps
        n, d = dataset.n_samples, dataset.n_features
        rows = min(dataset.chunk_rows, n)
        group = {"written_by": "dgmm", SOURCE_ATTRIBUTE: self.run}
        create_outputs(place, group, dataset.zarr_format, self.run)
        create_array(
            place,
            ROWS,
            shape=(n, d),
            chunks=(rows, d),
            dtype=dataset.dtype,
            dimension_names=("row", "feature"),
            fill_value=float("nan") if dataset.dtype.kind == "f" else 0,
            attributes=dataset.attributes,
        )
        for name in self._beside:
            create_array(
                place,
                name,
                shape=(n,),
                chunks=(rows,),
                dtype=np.float64,
                dimension_names=("row",),
                fill_value=float("nan"),
            )
        with output_failures(f"{place}{_EDGES} cannot be made"):
            place.folder.make_folder(place.name + _EDGES).close()
            place.folder.sync()

    def is_begun(self, place: Entry) -> bool:
        """Whether an earlier attempt has made the group for these very data."""
        if not place.folder.holds_folder(place.name):
            return False
        with place.folder.folder(place.name) as folder:
            is_whole = all(map(folder.holds_folder, self.names))
            return is_whole and run_of(folder) == self.run and _holds_edges(place)

    def is_finished(self, place: Entry) -> bool:
        """Whether a group is of these very data and finished."""
        if not place.folder.holds_folder(place.name):
            return False
        with place.folder.folder(place.name) as folder:
            is_own = group_attributes(folder).get(SOURCE_ATTRIBUTE) == self.run
            # A group that is being made has neither its arrays nor the name of its run at first.
            has_arrays = all(map(folder.holds_folder, self.names))
            return is_own and has_arrays and run_of(folder) is None

    def remove_edges(self, place: Entry) -> None:
        """Remove the rows at the edges of groups: their chunks are written.

        Raises
        ------
        OutputExistsError
            If something else has that name.
        """
        _check_own_edges(place)
        with output_failures(f"{place}{_EDGES} cannot be removed"):
            place.folder.remove(place.name + _EDGES)

    def write(self, start: int, rows: SourceRows) -> None:
        """Write whole chunks, from row `start` on; they are durable after `sync`."""
        self._array(ROWS).write(start, rows.values)
        if rows.weights is not None:
            self._array(WEIGHTS).write(start, rows.weights)
        if rows.residuals is not None:
            for name, column in zip(self.residuals, rows.residuals.T, strict=True):
                self._array(name).write(start, np.ascontiguousarray(column))

    def has_layout(self, dataset: SourceDataset) -> bool:
        """Whether the arrays have the chunks in which they are written; anything may be there."""
        n, d = dataset.n_samples, dataset.n_features
        chunk_rows = min(dataset.chunk_rows, n)
        expected: dict[str, tuple[tuple[int, ...], np.dtype[Any], int]]
        expected = {ROWS: ((n, d), dataset.dtype, chunk_rows)}
        expected |= {name: ((n,), np.dtype(np.float64), chunk_rows) for name in self._beside}
        try:
            arrays = {name: self._array(name) for name in expected}
            found = {name: (a.shape, a.dtype, a.chunk_rows) for name, a in arrays.items()}
        except Exception:  # noqa: BLE001 - zarr raises anything on damaged metadata
            return False
        return found == expected

    def read(self, start: int, stop: int) -> None:
        """Read rows [start, stop) of each array, for their checksums.

        Raises
        ------
        OutputFailedError
            If a chunk is damaged or absent.
        """
        for name in self.names:
            self._array(name).read(start, stop)

    def sync(self, start: int, stop: int) -> None:
        """Make the chunks of rows [start, stop) durable."""
        for name in self.names:
            self._array(name).sync(start, stop)

    def missing_of(self, group: Group) -> MissingCounts | None:
        """What the rows of a group lack; None unless all of them are written.

        The file of its edges, which has that, is the last that is written. A group is not done
        where that file is damaged, or of a version that counted nothing or made other groups.
        """
        name = _file(group.index)
        with self._edges() as folder:
            if not folder.holds(name):
                return None
            try:
                return counts_in(read_sealed(folder / name), (group.start, group.stop))
            except (DamagedFileError, InputNotFoundError):
                return None

    def note_missing(self, place: Entry, missing: MissingCounts, n_features: int) -> None:
        """Record beside the rows what they lack."""
        record = missing.record() | {"features": n_features}
        add_attributes(place, ROWS, {MISSING_ATTRIBUTE: record}, self.run or "")

    def write_edges(
        self, group: Group, head: SourceRows, tail: SourceRows, missing: MissingCounts
    ) -> None:
        """Save the rows of a group before and after its whole chunks: the group is done."""
        arrays: dict[str, NDArray[Any]] = {"head": head.values, "tail": tail.values}
        arrays |= arrays_of(missing, (group.start, group.stop))
        if head.weights is not None and tail.weights is not None:
            arrays |= {"head_weights": head.weights, "tail_weights": tail.weights}
        if head.residuals is not None and tail.residuals is not None:
            arrays |= {"head_residuals": head.residuals, "tail_residuals": tail.residuals}
        with self._edges() as folder:
            write_sealed(folder / _file(group.index), **arrays)

    def read_edges(self, group: int) -> tuple[SourceRows, SourceRows]:
        """What `write_edges` saved.

        Raises
        ------
        OutputFailedError
            If it is damaged; it is removed, so that the group is read again by the next attempt.
        """
        with self._edges() as folder:
            try:
                found: Mapping[str, NDArray[Any]] = read_sealed(folder / _file(group))
            except DgmmError as error:
                folder.remove(_file(group))
                raise OutputFailedError(f"{error}. Run the same command again") from error
        head, tail = (
            SourceRows(found[name], found.get(f"{name}_weights"), found.get(f"{name}_residuals"))
            for name in ("head", "tail")
        )
        return head, tail

    @contextmanager
    def _edges(self) -> Iterator[Folder]:
        with output_failures(f"{self.path} cannot be written"), Folder(self.path + _EDGES) as edges:
            yield edges

    def _array(self, name: str) -> OutputArray:
        if name not in self._opened:
            self._opened[name] = OutputArray(self.path, name, self.run)
        return self._opened[name]


def _holds_edges(place: Entry) -> bool:
    return place.folder.holds_folder(place.name + _EDGES)


def _check_own_group(place: Entry) -> None:
    """Refuse to replace what no attempt to prepare rows has made."""
    if not place.folder.holds_folder(place.name):
        return
    with place.folder.folder(place.name) as folder:
        written = [name for name in folder.names() if name not in METADATA and name[0] != "."]
        if written and SOURCE_ATTRIBUTE not in group_attributes(folder):
            raise _foreign(str(place))


def _check_own_edges(place: Entry) -> None:
    name = place.name + _EDGES
    if not place.folder.holds(name):
        return
    if not place.folder.holds_folder(name):
        raise _foreign(f"{place}{_EDGES}")
    with place.folder.folder(name) as folder:
        if not all(_EDGE_FILE.fullmatch(each) or each[0] == "." for each in folder.names()):
            raise _foreign(f"{place}{_EDGES}")


def _foreign(what: str) -> OutputExistsError:
    return OutputExistsError(
        f"{what} exists, and dgmm has not written it; rows that are being prepared have that name. "
        "Move it away, or choose another path"
    )


def _file(group: int) -> str:
    return f"group-{group:08d}.npz"
