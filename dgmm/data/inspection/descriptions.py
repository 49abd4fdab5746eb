"""What each kind of content holds, from metadata and first rows, and what a job would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dgmm.data.feature_names import safe_text
from dgmm.data.inspection.plain_arrays import array_lines, has_many_rows, plausible_arrays
from dgmm.data.inspection.suggestion import Description, Suggestion, columns_of_text
from dgmm.data.numeric_attributes import shown
from dgmm.data.sources.anndata.zarr_folder import ZarrHierarchy
from dgmm.data.sources.content_kinds import Content
from dgmm.data.sources.file_version import FileVersion
from dgmm.data.sources.hdf5.hdf5_file import Hdf5File
from dgmm.data.sources.labelled.inspecting import LabelledLook, look_at_labelled
from dgmm.data.sources.npy.npy_file import npz_members, open_npy, open_npz
from dgmm.data.sources.stored_arrays import Hierarchy, StoredArray
from dgmm.data.sources.tables.inspecting import TableLook, look_at_csv, look_at_parquet
from dgmm.data.zarr.node import ArrayNode, node_in
from dgmm.errors import DgmmError

#: Categorical columns of obs that are described at most.
_MOST_DESCRIBED = 5


def describe(path: str, content: Content) -> Description:
    """What lies at a path of that content.

    Raises
    ------
    DataError
        If it is damaged.
    UnavailableError
        If the library that reads it is not installed.
    """
    return _DESCRIBE[content.kind](path, content)


def _zarr(path: str, content: Content) -> Description:
    del content
    if not Path(path).exists():  # a pattern: groups are joined, plain arrays are not
        lines, labelled = _labelled_part(path, "labelled")
        return Description("Zarr groups", tuple(lines), tuple(labelled))
    if isinstance(node_in(Path(path)), ArrayNode):
        array = ZarrHierarchy(path).array("")
        lines = array_lines({"": array}) if array is not None else []
        return Description("a Zarr array", tuple(lines), (Suggestion("zarr"),))
    arrays = plausible_arrays(ZarrHierarchy(path))
    tables = {name: array for name, array in arrays.items() if _is_table(array)}
    plain = [Suggestion("zarr", {"array": name}) for name, a in tables.items() if has_many_rows(a)]
    fields = [Suggestion("zarr", {"array": name}) for name in tables]
    lines, labelled = _labelled_part(path, "labelled")
    suggestions = (*plain, *labelled, *(field for field in fields if field not in plain))
    return Description("a Zarr group", tuple(lines or array_lines(arrays)), suggestions)


def _labelled_part(path: str, format_name: str) -> tuple[list[str], list[Suggestion]]:
    """Of a Zarr group that xarray opens; nothing where it does not."""
    try:
        look = look_at_labelled(path)
    except DgmmError:
        return [], []
    if not any(variable.dims for variable in look.variables):
        return [], []
    return _labelled_lines(look), _labelled_suggestions(look, format_name)


def _netcdf(path: str, content: Content) -> Description:
    look = look_at_labelled(path)
    return Description(
        content.words, tuple(_labelled_lines(look)), tuple(_labelled_suggestions(look, "netcdf"))
    )


def _labelled_lines(look: LabelledLook) -> list[str]:
    sizes = ", ".join(f"{safe_text(dim)} {size:,}" for dim, size in look.sizes.items())
    rows = [
        (
            safe_text(v.name),
            f"({', '.join(map(safe_text, v.dims))})",
            v.dtype,
            f"chunks {v.chunks}" if v.chunks and v.dims else "",
            ", ".join(f"{key} = {safe_text(shown(value))}" for key, value in v.attributes.items()),
        )
        for v in look.variables
    ]
    return [f"dimensions: {sizes}", "variables:", *(f"  {line}" for line in columns_of_text(rows))]


def _labelled_suggestions(look: LabelledLook, format_name: str) -> list[Suggestion]:
    if not look.features:
        return []
    keys: dict[str, Any] = {
        "variables": list(look.features),
        "sample_dims": list(look.sample_dims),
    }
    places = " × ".join(f"{look.sizes[dim]:,}" for dim in look.sample_dims)
    remarks = {"sample_dims": f"rows run over these: {places}"}
    if look.feature_dims:
        keys["feature_dims"] = list(look.feature_dims)
        remarks["feature_dims"] = "each value along these is a feature"
    if look.concat_dim is not None:
        keys["concat_dim"] = look.concat_dim
        remarks["concat_dim"] = "the files are joined along it"
    return [Suggestion(format_name, keys, remarks)]


def _anndata(path: str, content: Content) -> Description:
    hierarchy = _hierarchy(path)
    arrays = plausible_arrays(hierarchy, ("obsm", "X", "layers"))
    names = hierarchy.attributes("obs").get("column-order") or []
    kinds = {name: _kind_of_column(hierarchy, name) for name in names}
    rows = [(safe_text(name), kind) for name, kind in kinds.items()]
    lines = ["arrays with a row for each of obs:", *(f"  {a}" for a in array_lines(arrays))]
    lines += ["columns of obs:", *(f"  {line}" for line in columns_of_text(rows))] if rows else []
    described = [name for name, kind in kinds.items() if kind == "categorical"][:_MOST_DESCRIBED]
    more: dict[str, Any] = {"describe": described} if described else {}
    remark = {"describe": "counted in each component; results come with the names of obs"}
    found = [Suggestion("anndata", {"array": name} | more, remark) for name in arrays]
    numbers = [name for name, kind in kinds.items() if kind.startswith(("int", "uint", "float"))]
    if numbers:
        found.append(Suggestion("anndata", {"columns": numbers} | more, remark))
    return Description(content.words, tuple(lines), tuple(found))


def _kind_of_column(hierarchy: Hierarchy, name: str) -> str:
    array = hierarchy.array(f"obs/{name}")
    if array is not None:
        return "text" if array.is_text else str(array.dtype)
    return str(hierarchy.attributes(f"obs/{name}").get("encoding-type"))


def _hierarchy(path: str) -> Hierarchy:
    is_folder = Path(path).is_dir()
    return ZarrHierarchy(path) if is_folder else Hdf5File(FileVersion.of(path)).open()


def _hdf5(path: str, content: Content) -> Description:
    arrays = plausible_arrays(_hierarchy(path))
    found = [
        Suggestion("hdf5", {"array": name}) for name, array in arrays.items() if _is_table(array)
    ]
    return Description(content.words, tuple(array_lines(arrays)), tuple(found))


def _npy(path: str, content: Content) -> Description:
    return Description(
        content.words, tuple(array_lines({"": open_npy(path)})), (Suggestion("numpy"),)
    )


def _npz(path: str, content: Content) -> Description:
    arrays: dict[str, StoredArray] = {}
    left_out: list[str] = []
    for name in npz_members(path):
        try:
            arrays[name] = open_npz(path, name)
        except DgmmError as error:
            left_out.append(str(error))
    ranked = plausible_arrays(arrays)
    found = [Suggestion("numpy", {"array": name}) for name, a in ranked.items() if _is_table(a)]
    return Description(content.words, (*array_lines(ranked), *left_out), tuple(found))


def _parquet(path: str, content: Content) -> Description:
    return _table(content, look_at_parquet(path), "parquet")


def _csv(path: str, content: Content) -> Description:
    return _table(content, look_at_csv(path), "csv")


def _table(content: Content, look: TableLook, format_name: str) -> Description:
    files = f"{look.n_files:,} file{'s' * (look.n_files > 1)}"
    size = "" if look.n_rows is None else f", {look.n_rows:,} rows"
    rows = [
        (
            safe_text(column.name),
            safe_text(column.type),
            f"{column.n_missing:,} missing" if column.n_missing else "",
            column.why,
        )
        for column in look.columns
    ]
    lines = [f"{files}{size}; of the first {look.n_looked:,} rows:"]
    lines += [f"  {line}" for line in columns_of_text(rows)] if rows else []
    lines += [f"  {safe_text(name)}: given by the names of folders" for name in look.partitions]
    features = [column.name for column in look.columns if column.use == "feature"]
    keys: dict[str, Any] = {"csv": dict(look.csv)} if look.csv else {}
    keys["columns"] = features
    for use in ("id", "describe"):
        names = [column.name for column in look.columns if column.use == use]
        keys |= {use: names} if names else {}
    remarks = {
        "csv": "how the file is written",
        "columns": "the features",
        "id": "comes back beside each label",
        "describe": "counted in each component",
    }
    return Description(
        content.words, tuple(lines), (Suggestion(format_name, keys, remarks),) if features else ()
    )


def _is_table(array: StoredArray) -> bool:
    return len(array.shape) == 2 and not array.is_text


_DESCRIBE: Mapping[str, Callable[[str, Content], Description]] = {
    "zarr": _zarr,
    "anndata": _anndata,
    "netcdf": _netcdf,
    "hdf5": _hdf5,
    "npy": _npy,
    "npz": _npz,
    "parquet": _parquet,
    "csv": _csv,
}
