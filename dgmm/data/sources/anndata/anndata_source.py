"""Opening AnnData: `array` names a dense array, `columns` name columns of obs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.sources.anndata.obs_columns import (
    OBS,
    OBS_NAMES,
    ObsColumn,
    ObsValues,
    check_columns,
    column_names,
    feature_columns,
    obs_column,
    obs_names,
    text_array,
)
from dgmm.data.sources.anndata.unique_ids import with_checked_ids
from dgmm.data.sources.anndata.zarr_folder import KEPT_CHUNKS, ZarrFolder
from dgmm.data.sources.array_source import ArraySource, RowRanges, Values
from dgmm.data.sources.array_values import ArrayInFile, array_values
from dgmm.data.sources.file_version import FileVersion
from dgmm.data.sources.hdf5.hdf5_file import Hdf5File
from dgmm.data.sources.row_source import SourceDescription
from dgmm.data.sources.stored_arrays import (
    Hierarchy,
    HierarchyFile,
    array_names,
    require_array,
)
from dgmm.data.sources.tables.arrow_columns import is_installed
from dgmm.errors import DataError
from dgmm.terminal_text import listed

KIND = "AnnData"
_TEXT_BYTES = 80
#: Groups whose arrays have a row for each of obs.
_OF_ROWS = ("X", "obsm", "layers")
#: A Zarr store's array whose columns are those of var.
_OF_VAR = ("X", "layers")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a job takes of an AnnData file: columns of obs, or an array, and what goes along."""

    features: tuple[ObsColumn, ...]
    carried: tuple[ObsColumn, ...]
    weights: ObsColumn | None

    @property
    def columns(self) -> tuple[ObsColumn, ...]:
        """All of them."""
        return (*self.features, *self.carried, *([self.weights] if self.weights else []))


def open_anndata(source: DataSource) -> ArraySource:
    """Open a dense array or columns of obs, reading metadata, the names of var, and ids.

    Raises
    ------
    DataError
        If neither or both are named, they are not there, are sparse, or hold no numbers.
    DataNotFoundError
        If the path is absent or not readable.
    """
    if not Path(source.path).is_dir():
        file: HierarchyFile = Hdf5File(FileVersion.of(source.path))
        return with_checked_ids(source, _source(source, file))
    array = () if source.array is None else (source.array,)
    folder = ZarrFolder.of(source.path, (OBS, *array))
    return with_checked_ids(source, _source(source, folder))


def stays_in_place(source: DataSource) -> bool:
    """Whether the rows are a plain Zarr array: nothing of obs is a feature or a weight."""
    return Path(source.path).is_dir() and source.array is not None and not source.weight_column


def carried_digest(source: DataSource) -> str:
    """Of the files of columns that results carry along, of a Zarr store."""
    file = ZarrFolder.of(source.path, ())
    taken = _taken(source, file, file.open())
    return ZarrFolder.of(source.path, tuple(column.path for column in taken.carried)).digest


def _source(source: DataSource, file: HierarchyFile) -> ArraySource:
    hierarchy = file.open()
    source = _with_model_columns(source, hierarchy)
    if (source.array is None) == (not source.columns):
        raise DataError(f"{source.path}: {_neither_or_both(source, hierarchy)}")
    taken = _taken(source, file, hierarchy)
    n_obs = _n_obs(file, hierarchy)
    notes = check_columns(hierarchy, taken.columns, n_obs, absent_chunks=source.absent_chunks)
    if source.array is None:
        values: Values = ObsValues(taken.features)
        rows, dtype = None, np.dtype(np.float64)
        names = feature_names_from(source.columns, len(source.columns), f"{source.path}: obs")
        ranges = RowRanges.of(_codes(hierarchy, taken.features[0]), len(names), 8)
    else:
        _refuse_other_group(hierarchy, source.array)
        rows = array_values(ArrayInFile(file, source.array), absent_chunks=source.absent_chunks)
        array = rows.array.open()
        if array.shape[0] != n_obs:
            raise DataError(
                f"{source.path}: {safe_text(source.array)} has {array.shape[0]:,} rows, and obs "
                f"{n_obs:,}; the file is damaged"
            )
        names = _feature_names(hierarchy, source.array, array.shape[1], array.attributes)
        ranges = RowRanges.of(array, len(names), rows.dtype.itemsize)
        values, dtype = rows, rows.dtype
        if not stays_in_place(source):  # else the array's own data set warns of it
            notes += rows.warnings
    return ArraySource(
        description=_description(names, dtype, taken, notes),
        where=f"{source.path}: {safe_text(source.array or 'obs')}",
        ranges=ranges,
        values=values,
        version=file if rows is None else rows.array,
        weights=taken.weights,
        carried=taken.carried,
        delivery="table" if is_installed() else "none",
        kept_bytes=_kept_bytes(hierarchy, taken),
    )


def _with_model_columns(source: DataSource, hierarchy: Hierarchy) -> DataSource:
    """The job with the columns of obs that a model was fitted to, where it names nothing to read.

    Raises
    ------
    DataError
        Naming those that obs lacks, where it has others.
    """
    if source.array is not None or source.columns or not source.model_features:
        return source
    names = {safe_text(name): name for name in column_names(hierarchy)}
    absent = [name for name in source.model_features if name not in names]
    if len(absent) == len(source.model_features):
        return source  # features of an array, which has to be named
    if absent:
        raise DataError(
            f"{hierarchy.where}: obs has no columns for the model's features {listed(absent)}. "
            f"Its columns: {listed(names, 20)}. Rename them as they were called in the fit"
        )
    return replace(source, columns=tuple(names[name] for name in source.model_features))


def _taken(source: DataSource, file: HierarchyFile, hierarchy: Hierarchy) -> _Taken:
    ids = source.ids or (OBS_NAMES,)
    carried = dict.fromkeys((*ids, *source.described))
    weights = (source.weight_column,) if source.weight_column else ()
    return _Taken(
        feature_columns(file, hierarchy, source.columns),
        tuple(obs_column(file, hierarchy, name) for name in carried),
        next(iter(feature_columns(file, hierarchy, weights, "weights")), None),
    )


def _description(
    names: tuple[str, ...], dtype: np.dtype[Any], taken: _Taken, warnings: tuple[str, ...]
) -> SourceDescription:
    note = ("results by obs name are written as a table by pyarrow: pip install 'dgmm[table]'",)
    return SourceDescription(
        KIND,
        names,
        dtype,
        carried=tuple(column.name for column in taken.carried),
        notes=() if is_installed() else note,
        warnings=warnings,
        has_weights=taken.weights is not None,
    )


def _neither_or_both(source: DataSource, hierarchy: Hierarchy) -> str:
    if source.array is not None:
        return (
            f"array {safe_text(source.array)!r} and columns are both named; an AnnData job takes "
            "the columns of one array, or columns of obs"
        )
    arrays = [name for name in array_names(hierarchy) if name.split("/")[0] in _OF_ROWS]
    arrays.sort(key=lambda name: not name.startswith("obsm/"))
    columns = [name for name in column_names(hierarchy) if _is_numeric(hierarchy, name)]
    return (
        "is AnnData; name a dense array in data.array, or columns of obs in `columns`. Its arrays: "
        f"{listed(map(safe_text, arrays)) or 'none'}; columns of numbers: "
        f"{listed(map(safe_text, columns)) or 'none'}{_of_model(source)}"
    )


def _of_model(source: DataSource) -> str:
    features = source.model_features
    return f". The model's {len(features)} features are {listed(features, 5)}" if features else ""


def _is_numeric(hierarchy: Hierarchy, name: str) -> bool:
    array = hierarchy.array(f"obs/{name}")
    return array is not None and array.dtype.kind in "biuf"


def _refuse_other_group(hierarchy: Hierarchy, array: str) -> None:
    if array.strip("/").split("/")[0] not in _OF_ROWS:
        raise DataError(
            f"{hierarchy.where}: {safe_text(array)} has no row for each of obs; expected X, or an "
            "array of obsm or layers. data.format: hdf5 or zarr reads any array, without names"
        )


def _feature_names(
    hierarchy: Hierarchy, array: str, n_features: int, attributes: Any
) -> tuple[str, ...]:
    """Names of var for X and layers; the array's own, else x0, x1, …, for the others."""
    given = attributes.get("feature_names")
    index = hierarchy.attributes("var").get("_index")
    if array.strip("/").split("/")[0] in _OF_VAR and given is None and isinstance(index, str):
        stored = text_array(hierarchy, f"var/{index}")
        names = [str(name) for part in stored.batches(0, n_features, n_features) for name in part]
        given = names if len(set(names)) == n_features else None
    return feature_names_from(given, n_features, f"{hierarchy.where}: {array}")


def _kept_bytes(hierarchy: Hierarchy, taken: _Taken) -> int:
    """Chunks of the columns' arrays, a text as an object of Python with some letters."""
    arrays = [_codes(hierarchy, column) for column in taken.columns]
    sizes = [
        (array.chunks or (0,))[0] * (_TEXT_BYTES if array.is_text else array.dtype.itemsize)
        for array in arrays
    ]
    return KEPT_CHUNKS * max(sizes, default=0)


def _n_obs(file: HierarchyFile, hierarchy: Hierarchy) -> int:
    return int(_codes(hierarchy, obs_names(file, hierarchy)).shape[0])


def _codes(hierarchy: Hierarchy, column: ObsColumn) -> Any:
    """The array of a column that has one value per row."""
    tails = {"categories": "/codes", "nullable numbers": "/values", "nullable text": "/values"}
    return require_array(hierarchy, column.path + tails.get(column.kind, ""))
