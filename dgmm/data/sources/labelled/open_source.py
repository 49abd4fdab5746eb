"""Opening labelled arrays as rows: what is asked for is checked from metadata alone."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Interval, SampleGrid
from dgmm.data.sources.labelled.absent_chunks import with_chunks
from dgmm.data.sources.labelled.chunk_use import (
    chunk_uses,
    decoded_bytes,
    is_broadcast,
    refuse_repeated,
    sample_grid,
)
from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.coordinates import check_joined, coordinate_names, related_names
from dgmm.data.sources.labelled.features import (
    Variable,
    latitude_unit,
    names_of,
    row_dtype,
    variable_of,
)
from dgmm.data.sources.labelled.identity import digest_of
from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.data.sources.labelled.named_parts import require_named, with_model_variables
from dgmm.data.sources.labelled.opening import LabelledFile
from dgmm.data.sources.labelled.part_reading import BATCH_BYTES
from dgmm.data.sources.labelled.selection import selected
from dgmm.data.sources.named_paths import expanded
from dgmm.data.sources.row_source import SourceDescription
from dgmm.errors import DataError


def open_labelled(source: DataSource) -> LabelledSource:
    """Open variables of a Zarr group or of NetCDF files as rows; metadata and coordinates are read.

    Raises
    ------
    DataError
        If variables or dimensions are not there, hold no numbers, files differ, chunks are absent,
        or chunks would be decoded more than four times.
    DataNotFoundError
        If a path is absent or not readable.
    UnavailableError
        If xarray is not installed.
    """
    named = _each_once(source.paths or (source.path,))
    files = [LabelledFile(path, source.array) for path in named]
    collection = Collection.of(files, source.concat_dim)
    source = with_model_variables(collection, source)
    require_named(collection, source)
    collection, warnings = with_chunks(collection, source)
    variables, weights = _variables(collection, source)
    unit = None if source.weight_cosine is None else latitude_unit(collection, source.weight_cosine)
    used = [*variables, *([weights] if weights is not None else [])]
    dims = list(dict.fromkeys(dim for v in used for dim in v.dims))
    taken = selected(collection, dims, source.select)
    for variable in used:
        collection.check_repeated(variable.name, taken)
    dtype = row_dtype(variables)
    names = [name for v in variables for name in names_of(collection, v, taken)]
    row_bytes = max(1, len(names)) * dtype.itemsize
    grid = sample_grid(collection, variables, source.sample_dims, taken, row_bytes)
    coordinates = coordinate_names(collection, source.sample_dims)
    collection.check_coordinates(coordinates)
    check_joined(collection, coordinates)
    uses = chunk_uses(collection, used, grid, taken)
    refuse_repeated(collection, used, uses)
    geometry = _Geometry(collection, tuple(variables), weights, grid, taken)
    identity = geometry.identity(source, coordinates)
    return LabelledSource(
        collection.with_versions(identity["files"]),
        tuple(variables),
        weights,
        grid,
        taken,
        frozenset(use.name for use in uses if use.is_kept),
        replace(geometry.description(names, dtype, [use.note for use in uses]), warnings=warnings),
        geometry.read_bytes(row_bytes),
        identity,
        latitude_unit=unit,
    )


@dataclass(frozen=True, slots=True)
class _Geometry:
    collection: Collection
    variables: tuple[Variable, ...]
    weights: Variable | None
    grid: SampleGrid
    taken: Mapping[str, Interval]

    def description(
        self, names: Sequence[str], dtype: np.dtype[Any], notes: Sequence[str]
    ) -> SourceDescription:
        shape = " × ".join(
            f"{d} {n:,}" for d, n in zip(self.grid.dims, self.grid.shape, strict=True)
        )
        order = f"rows run over {shape}, chunk by chunk of {self.variables[0].name}"
        broadcast = [
            f"{v.name} has no dimension {', '.join(d for d in self.grid.dims if d not in v.dims)}: "
            "its values are repeated along it"
            for v in self.variables
            if is_broadcast(v, self.grid)
        ]
        broadcast += [
            f"{v.name} is taken from {self.collection.first}, and is the same in all files: it has "
            f"no dimension {self.collection.concat_dim} along which files are joined"
            for v in self.variables
            if self.collection.concat_dim is not None and self.collection.concat_dim not in v.dims
        ]
        kind = "labelled arrays (Zarr)" if self.collection.first.is_zarr else "NetCDF"
        return SourceDescription(
            kind,
            tuple(names),
            dtype,
            units=self._units(names),
            attributes=self.grid.attributes | self._ends(),
            has_weights=self.weights is not None,
            notes=(order, *broadcast, *notes),
        )

    def _units(self, names: Sequence[str]) -> dict[str, str]:
        units: dict[str, str] = {}
        first = 0
        for variable in self.variables:
            count = int(np.prod([self._length(dim) for dim in variable.feature_dims], dtype=int))
            unit = self.collection.first.dataset.variables[variable.name].attrs.get("units")
            if isinstance(unit, str) and unit:
                units |= dict.fromkeys(names[first : first + count], safe_text(unit))
            first += count
        return units

    def _ends(self) -> dict[str, Any]:
        """First and last coordinate of each sample dimension that has numbers along it."""
        ends = {}
        for dim in self.grid.dims:
            if dim not in self.collection.names() or self.collection.dims(dim) != (dim,):
                continue
            start, stop = self.taken[dim]
            values = [self.collection.values(dim, {dim: (i, i + 1)})[0] for i in (start, stop - 1)]
            if all(isinstance(v, np.integer | np.floating) and np.isfinite(v) for v in values):
                ends[dim] = [v.item() for v in values]
        return {"sample_coordinates": ends} if ends else {}

    def _length(self, dim: str) -> int:
        start, stop = self.taken[dim]
        return stop - start

    def read_bytes(self, row_bytes: int) -> int:
        """Stored values of the largest part, twice while read; kept ones; a few batches."""
        largest = {
            dim: max(b - a for a, b in itertools.pairwise(edges))
            for dim, edges in zip(self.grid.dims, self.grid.edges, strict=True)
        }
        place = {dim: (0, largest.get(dim, self._length(dim))) for dim in self.taken}
        wanted = [*self.variables, *([self.weights] if self.weights is not None else [])]
        part = sum(decoded_bytes(v, place) for v in wanted)
        kept = sum(decoded_bytes(v, self.taken) for v in wanted if is_broadcast(v, self.grid))
        rows = int(self.grid.part_sizes().max())
        return 2 * part + kept + 4 * min(BATCH_BYTES, rows * row_bytes)

    def identity(self, source: DataSource, coordinates: Sequence[str]) -> dict[str, Any]:
        """The fingerprint."""
        wanted = [*self.variables, *([self.weights] if self.weights is not None else [])]
        first = self.variables[0].name
        related = related_names(self.collection, coordinates, first, self.grid.dims)
        selecting = [dim for dim in self.taken if dim in self.collection.names()]
        arrays = list(
            dict.fromkeys([v.name for v in wanted] + [*coordinates, *related, *selecting])
        )
        return {
            "files": [digest_of(file, arrays) for file in self.collection.files],
            "arrays": arrays,
            "variables": [v.name for v in self.variables],
            "weights": self.weights.name if self.weights is not None else None,
            **({"weights_are_latitudes": True} if source.weight_cosine is not None else {}),
            "sample_dims": list(self.grid.dims),
            "feature_dims": list(dict.fromkeys(d for v in self.variables for d in v.feature_dims)),
            "taken": {dim: list(interval) for dim, interval in self.taken.items()},
            "concat_dim": source.concat_dim,
        }


def _each_once(paths: Sequence[str]) -> list[str]:
    """What paths and patterns name, in order.

    Raises
    ------
    DataNotFoundError
        If a path does not exist, or a glob matches nothing.
    DataError
        If a file is named twice, by any spelling or link.
    """
    found: dict[str, str] = {}
    for path in itertools.chain.from_iterable(map(expanded, paths)):
        place = os.path.realpath(path)
        if place in found:
            raise DataError(
                f"data.path names {safe_text(place)} twice (as {safe_text(found[place])} and as "
                f"{safe_text(str(path))}); each file is read once"
            )
        found[place] = str(path)
    return list(found.values())


def _variables(
    collection: Collection, source: DataSource
) -> tuple[list[Variable], Variable | None]:
    """The variables of the features, and that of the weights."""
    dims = dict.fromkeys(dim for name in source.variables for dim in collection.dims(name))
    rest = [dim for dim in dims if dim not in source.sample_dims]
    features = source.feature_dims or tuple(rest)
    weights = source.weight_column or source.weight_cosine
    names = [name for name in source.variables if name != weights]
    if not names:
        raise DataError(
            "data.variables names the weights of rows alone; expected a variable for features"
        )
    if weights is not None:
        collection.require(weights, "data.weights")
    collection.check_alike([*names, *([weights] if weights else [])])
    variables = [variable_of(collection, name, source.sample_dims, features) for name in names]
    if weights is None:
        return variables, None
    return variables, variable_of(collection, weights, source.sample_dims, ())
