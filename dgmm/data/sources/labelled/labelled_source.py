"""Places of labelled arrays as rows: a source whose parts are the chunks of the first variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Interval, SampleGrid
from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.features import LatitudeUnit, Variable
from dgmm.data.sources.labelled.identity import digest_of
from dgmm.data.sources.labelled.opening import LabelledFile
from dgmm.data.sources.labelled.part_reading import VariableValues, batches, read_variable
from dgmm.data.sources.row_source import Delivery, RowPart, SourceDescription, SourceRows
from dgmm.errors import DataError


@dataclass(frozen=True)
class LabelledSource:
    """Rows of labelled arrays; picklable, each file opened once in a process.

    Made by `open_labelled`.

    Parameters
    ----------
    collection : Collection
    variables : tuple of Variable
        That features are made of, in order.
    weights : Variable or None
        That holds the weights of rows.
    grid : SampleGrid
    taken : mapping
        By dimension, the indices [start, stop) that are taken.
    kept : frozenset of str
        Variables that each process reads once.
    description : SourceDescription
    read_bytes : int
    identity : mapping
        The fingerprint.
    latitude_unit : "degrees", "radians" or None
        Of the weights' variable where the weight of a row is its cosine; None where it is its
        value.
    """

    collection: Collection
    variables: tuple[Variable, ...]
    weights: Variable | None
    grid: SampleGrid
    taken: Mapping[str, Interval]
    kept: frozenset[str]
    description: SourceDescription
    read_bytes: int
    identity: Mapping[str, Any]
    latitude_unit: LatitudeUnit | None = None
    _kept: dict[str, VariableValues] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            *(self.collection, self.variables, self.weights, self.grid, self.taken, self.kept),
            *(self.description, self.read_bytes, self.identity, self.latitude_unit),
        )

    @property
    def delivery(self) -> Delivery:
        """A map with the source's dimensions."""
        return "map"

    @cached_property
    def _parts(self) -> tuple[RowPart, ...]:
        sizes = self.grid.part_sizes()
        return tuple(RowPart(i, int(n), self._name(i)) for i, n in enumerate(sizes))

    def _name(self, part: int) -> str:
        box = self.grid.box(part)
        file = self._file([start for start, _ in box])
        places = (
            f"{dim} {first + start} to {first + stop - 1}"
            for dim, (start, stop) in zip(self.grid.dims, box, strict=True)
            for first in (self.taken[dim][0],)
        )
        return f"{Path(file.path).name} at {', '.join(places)}"

    def parts(self) -> tuple[RowPart, ...]:
        """One for each chunk of the sample dimensions."""
        return self._parts

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield a part's rows in C order over its places; each source chunk is decoded once.

        Raises
        ------
        DataError
            If chunks are damaged or gone.
        """
        box, dims = self.grid.box(part.index), self.grid.dims
        wanted = [*self.variables, *([self.weights] if self.weights is not None else [])]
        columns = [
            self._whole(v) or read_variable(self.collection, v, dims, box, self.taken)
            for v in wanted
        ]
        weights = columns.pop() if self.weights is not None else None
        d, dtype = len(self.description.feature_names), self.description.dtype
        for piece, rows in batches(columns, box, d, dtype):
            own = None if weights is None else self._weights(weights.rows(piece))
            yield SourceRows(rows, own)

    def _weights(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Weights (b,) of values (b, 1)."""
        found = np.ascontiguousarray(values[:, 0], dtype=np.float64)
        if self.latitude_unit is None:
            return found
        return np.cos(np.deg2rad(found) if self.latitude_unit == "degrees" else found)

    def _whole(self, variable: Variable) -> VariableValues | None:
        """A variable that is kept, at all places."""
        if variable.name not in self.kept:
            return None
        if variable.name not in self._kept:
            found = read_variable(self.collection, variable, self.grid.dims, None, self.taken)
            self._kept[variable.name] = found
        return self._kept[variable.name]

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        """Nothing is carried."""
        del part
        return iter(())

    def locate(self, row: int) -> str:
        """The coordinates of a row: `ocean.nc, lat=-38 degrees_north, lon=120 degrees_east`."""
        place = self.grid.place_of(row)
        places = zip(self.grid.dims, place, strict=True)
        shown = ", ".join(self._place(dim, self.taken[dim][0] + i) for dim, i in places)
        return f"{self._file(place)}, {shown}"

    def _file(self, place: Sequence[int]) -> LabelledFile:
        """The file that holds a place; the first one where files are joined along features."""
        for dim, index in zip(self.grid.dims, place, strict=True):
            if (file := self.collection.file_at(dim, self.taken[dim][0] + index)) is not None:
                return file
        return self.collection.first

    def _place(self, dim: str, index: int) -> str:
        if dim not in self.collection.names() or self.collection.dims(dim) != (dim,):
            return f"{dim} {index}"
        value = self.collection.values(dim, {dim: (index, index + 1)})[0]
        unit = self.collection.first.dataset.variables[dim].attrs.get("units")
        return safe_text(f"{dim}={value}{f' {unit}' if isinstance(unit, str) else ''} ({index})")

    def fingerprint(self) -> dict[str, Any]:
        """Files with sizes and times, and what is taken of them."""
        return dict(self.identity)

    def check_unchanged(self) -> None:
        """Look at the files again.

        Raises
        ------
        DataError
            If one was written, added or removed since the source was opened.
        """
        for file, known in zip(self.collection.files, self.identity["files"], strict=True):
            if digest_of(file, self.identity["arrays"]) != known:
                raise DataError(
                    f"{file} changed during the run. Run again when nothing writes to it"
                )
