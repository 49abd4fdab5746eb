"""Opening NumPy's files as rows × features."""

from __future__ import annotations

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.sources.array_source import ArraySource, RowRanges
from dgmm.data.sources.array_values import array_values
from dgmm.data.sources.content_kinds import content_of
from dgmm.data.sources.npy.npy_file import open_npy, open_npz
from dgmm.data.sources.row_source import SourceDescription
from dgmm.errors import DataError


def open_numpy(source: DataSource) -> ArraySource:
    """Open the array of a .npy file, or the one of a .npz file that `array` names.

    Raises
    ------
    DataError
        If it is neither, is damaged or cut, or holds no rows × features of real numbers.
    DataNotFoundError
        If it is absent or not readable.
    """
    content = content_of(source.path)
    if content.kind not in {"npy", "npz"}:
        raise DataError(f"{source.path} is {content.words}; expected a .npy or .npz file")
    is_npz = content.kind == "npz"
    if source.array is not None and not is_npz:
        raise DataError(
            f"{source.path} is a .npy file, which holds one array; remove data.array "
            f"({safe_text(source.array)!r})"
        )
    rows = array_values(open_npz(source.path, source.array) if is_npz else open_npy(source.path))
    array = rows.array.open()
    n_features = array.shape[1]
    names = feature_names_from(None, n_features, source.path)
    return ArraySource(
        description=SourceDescription(content.words.removeprefix("a "), names, rows.dtype),
        where=rows.array.where,
        ranges=RowRanges.of(array, n_features, rows.dtype.itemsize),
        values=rows,
        version=rows.array,
    )
