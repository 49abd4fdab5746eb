"""Results in the form in which the rows came: with the coordinates, or the index, that they had.

Neither xarray nor pandas is imported: results are made by the classes of what was handed over.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from dgmm.data.annotated_rows import is_annotated
from dgmm.data.labelled_rows import labelled_rows
from dgmm.data.unsupported_inputs import library_of

_COMPONENT = "component"


def as_given(X: Any, values: NDArray[Any], name: str) -> Any:
    """Values (n,) or (n, k) of the rows of X as what goes with X.

    A DataArray for arrays and data sets of xarray, with the coordinates of the rows; a pandas
    Series for tables of pandas and Dask and for AnnData, with their index. Else, and for values
    (n, k) of tables, the array itself.

    Parameters
    ----------
    X
        What `opened_rows` took.
    values
        One entry a row.
    name
        What they are.
    """
    if (labelled := labelled_rows(X)) is not None:
        return _labelled(labelled.X, labelled.sample_dims, labelled.sample_shape, values, name)
    if values.ndim > 1:
        return values
    if is_annotated(X):
        return _series(type(X.obs), values, X.obs_names, name)
    if library_of(X) == "pandas" and hasattr(X, "columns"):
        return _series(type(X), values, X.index, name)
    if getattr(X, "npartitions", None) is not None and hasattr(X, "_meta") and hasattr(X, "index"):
        return _series(type(X._meta), values, X.index.compute(), name)  # noqa: SLF001 - Dask's protocol
    return values


def _series(frame: Any, values: NDArray[Any], index: Any, name: str) -> Any:
    return frame({name: values}, index=index)[name]


def _labelled(
    X: Any, dims: tuple[str, ...], shape: tuple[int, ...], values: NDArray[Any], name: str
) -> Any:
    template = X if hasattr(X, "dtype") else X[next(iter(X.data_vars))]
    features = [dim for dim in template.dims if dim not in dims]
    crossing = [key for key, coord in template.coords.items() if set(coord.dims) & set(features)]
    bare = template.drop_vars(crossing).isel(dict.fromkeys(features, 0), drop=True)
    further = (_COMPONENT,) if values.ndim > 1 else ()
    return type(template)(
        values.reshape(*shape, *values.shape[1:]),
        dims=(*dims, *further),
        coords=bare.coords,
        name=name,
    )
