"""Formats that a job's rows are stored in; another package adds its own to `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dgmm.data.data_source import DataSource
from dgmm.data.in_place_dataset import InPlaceDataset
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.content_kinds import ContentKind, content_of, first_of, kind_at
from dgmm.data.sources.row_source import RowSource
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError, DataNotFoundError
from dgmm.registry import Registry
from dgmm.terminal_text import printable

__all__ = [
    "FORMATS",
    "DataSource",
    "DetectedFormat",
    "Format",
    "carries_columns",
    "detected_format",
    "format_name",
    "open_format",
    "open_stored",
]


#: Opens rows and reads nothing but metadata; what it opens is picklable, for workers.
Format = Callable[[DataSource], StoredDataset | RowSource]
#: What `data.format: auto` is called in a job's identity, as former versions did; which format it
#: came to stands in the fingerprint of the data.
_AUTO = "zarr"


@dataclass(frozen=True, slots=True)
class DetectedFormat:
    """A format that `data.format: auto` finds by content.

    Attributes
    ----------
    opens : Format
        Opens rows of it.
    recognises : callable
        Whether what lies at a source's paths is of it; reads a few bytes or a file's metadata, and
        raises nothing where it is absent or something else.
    takes : frozenset of str
        Keys of a job's data section, beside `path`, `format` and what every format has, that mean
        something to it; the others are refused. `paths`: more than one path.
    """

    opens: Format
    recognises: Callable[[DataSource], bool]
    takes: frozenset[str]

    def __call__(self, source: DataSource) -> StoredDataset | RowSource:
        """Open the rows."""
        return self.opens(source)


def format_name(name: str) -> str:
    """What a job's `data.format` is called in its identity."""
    return _AUTO if name == "auto" else name


def detected_format(source: DataSource) -> str:
    """The format of what lies at a source's paths; Zarr where no other one recognises it.

    The one that was registered last is asked first: CSV recognises any text.
    """
    for name, member in reversed(list(FORMATS.items())):
        recognises = getattr(member, "recognises", None)
        if recognises is not None and recognises(source):
            return name
    return "zarr"


def carries_columns(name: str, source: DataSource) -> bool:
    """Whether rows in the format of that name, or `auto`, have columns that results carry along."""
    member = FORMATS.get(detected_format(source) if name == "auto" else name)
    takes: frozenset[str] = getattr(member, "takes", frozenset({"describe"}))
    return "describe" in takes


def open_format(name: str, source: DataSource) -> StoredDataset | RowSource:
    """Open rows in the format of that name, or `auto`: plain rows in place, or a source of them.

    Raises
    ------
    DataError
        If there is no such format, or the rows are none of it.
    DataNotFoundError
        If the path is absent or not readable.
    """
    found = detected_format(source) if name == "auto" else name
    member = FORMATS.named(found)
    others = _passed_over(member, source)
    if name == "auto" and found == "zarr":  # nobody recognised it: is anything there?
        _check_there(first_of(source), others)
    if others:
        raise _means_nothing(others[0], found, member)
    return member(source)


def _check_there(path: str, others: list[str]) -> None:
    """Say what lies at a path before a key of the job is refused that is right for other data.

    Raises
    ------
    DataError
        If keys are given that Zarr arrays have not, and the path is no file that is read.
    DataNotFoundError
        If it is a folder without such files.
    """
    content = content_of(path)
    if others and content.kind == "unknown":
        raise (DataNotFoundError if Path(path).is_dir() else DataError)(
            f"data.path {printable(path)} is {content.words}, which is not read; docs/data.md "
            "lists what is"
        )


def _passed_over(member: Format, source: DataSource) -> list[str]:
    """What a job says of its data that the format would pass over."""
    takes: frozenset[str] | None = getattr(member, "takes", None)
    return [] if takes is None else [key for key in _given(source) if key not in takes]


def _means_nothing(key: str, name: str, member: Format) -> DataError:
    """Why a key is refused, and those that the format takes."""
    what = "a list of paths" if key == "paths" else f"data.{key}"
    takes: frozenset[str] = getattr(member, "takes", frozenset())
    own = (
        ", ".join(f"data.{key}" for key in sorted(takes - {"paths", "weights.cos"}))
        or "no other key"
    )
    return DataError(
        f"{what} means nothing to data in format {name}, which takes {own}: remove it, or name "
        "another data.format"
    )


def _given(source: DataSource) -> list[str]:
    """The keys of a job's data section that a format may pass over, as far as they are given."""
    values = {
        "paths": len(source.paths) > 1,
        "array": source.array is not None,
        "absent_chunks": source.absent_chunks != "error",
        "columns": source.columns,
        "id": source.ids,
        "describe": source.described,
        "csv": source.csv,
        "variables": source.variables,
        "sample_dims": source.sample_dims,
        "feature_dims": source.feature_dims,
        "select": source.select,
        "concat_dim": source.concat_dim is not None,
        "weights": source.weight_column is not None,
        "weights.cos": source.weight_cosine is not None,
    }
    return [key for key, value in values.items() if value]


def open_stored(name: str, source: DataSource) -> StoredDataset:
    """Open rows as a data set; those of a source can be read once they are prepared.

    Raises
    ------
    DataError, DataNotFoundError
        As `open_format`.
    """
    opened = open_format(name, source)
    return opened if isinstance(opened, StoredDataset) else SourceDataset.of(opened)


def _zarr(source: DataSource) -> StoredDataset:
    from dgmm.data.zarr.dataset import open_zarr  # noqa: PLC0415 - job files are checked without it

    if Path(source.path).is_file():
        raise DataError(
            f"data.path {printable(source.path)} is {content_of(source.path).words}, and no Zarr "
            "array or group; docs/data.md lists what is read"
        )
    return open_zarr(source.path, source.array, absent_chunks=source.absent_chunks)


def _labelled(source: DataSource) -> RowSource:
    from dgmm.data.sources.labelled.open_source import open_labelled  # noqa: PLC0415 - as above

    return open_labelled(source)


def _is_labelled_group(source: DataSource) -> bool:
    """Whether a job names variables of a Zarr group; without them `array` names one array."""
    return bool(source.variables or source.sample_dims) and kind_at(source) == "zarr"


def _parquet(source: DataSource) -> RowSource:
    from dgmm.data.sources.tables.parquet_files import (  # noqa: PLC0415 - few jobs read tables
        open_parquet,
    )

    return open_parquet(source)


def _csv(source: DataSource) -> RowSource:
    from dgmm.data.sources.tables.csv_files import open_csv  # noqa: PLC0415 - few jobs read tables

    return open_csv(source)


def _anndata(source: DataSource) -> StoredDataset | RowSource:
    from dgmm.data.sources.anndata.anndata_source import (  # noqa: PLC0415 - loads Zarr
        carried_digest,
        open_anndata,
        stays_in_place,
    )

    opened = open_anndata(source)
    if not stays_in_place(source):
        return opened
    return InPlaceDataset(_zarr(source), opened, carried_digest(source))


def _hdf5(source: DataSource) -> RowSource:
    from dgmm.data.sources.hdf5.hdf5_source import open_hdf5  # noqa: PLC0415 - an extra of dgmm

    return open_hdf5(source)


def _numpy(source: DataSource) -> RowSource:
    from dgmm.data.sources.npy.npy_source import open_numpy  # noqa: PLC0415 - loads Zarr

    return open_numpy(source)


def _recognised(opens: Format, takes: frozenset[str], *kinds: ContentKind) -> Format:
    return DetectedFormat(opens, lambda source: kind_at(source) in kinds, takes)


_LABELLED_KEYS = frozenset(
    {"paths", "array", "variables", "sample_dims", "feature_dims", "select", "concat_dim"}
    | {"weights", "weights.cos", "absent_chunks"}
)
_TABLE_KEYS = frozenset({"paths", "columns", "id", "describe", "weights"})
_ARRAY_KEYS = frozenset({"array", "absent_chunks"})


#: `auto` asks them from the last one to the first.
FORMATS: Registry[Format] = Registry(
    "data.format",
    "dgmm.formats",
    {
        "zarr": DetectedFormat(_zarr, lambda _: False, _ARRAY_KEYS | {"weights"}),
        "labelled": DetectedFormat(_labelled, _is_labelled_group, _LABELLED_KEYS),
        "netcdf": _recognised(_labelled, _LABELLED_KEYS, "netcdf"),
        "parquet": _recognised(_parquet, _TABLE_KEYS, "parquet"),
        "csv": _recognised(_csv, _TABLE_KEYS | {"csv"}, "csv"),
        "anndata": _recognised(
            _anndata, _ARRAY_KEYS | {"columns", "id", "describe", "weights"}, "anndata"
        ),
        "hdf5": _recognised(_hdf5, _ARRAY_KEYS | {"weights"}, "hdf5"),
        "numpy": _recognised(_numpy, frozenset({"array"}), "npy", "npz"),
    },
    Callable,
)
