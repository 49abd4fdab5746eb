"""Labelled arrays of xarray as rows × features, where that is no guess.

xarray is not imported: its objects are asked for what they have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_coordinates import coordinate_names
from dgmm.data.feature_names import safe_text
from dgmm.data.unsupported_inputs import kind_of
from dgmm.data.valid_range import ValidRange, valid_range_of
from dgmm.data.validation import check_dtype, check_shape
from dgmm.data.zarr.conventions import refuse_encoded
from dgmm.data.zarr.coordinates import feature_names_of_labelled
from dgmm.errors import DataTypeError
from dgmm.terminal_text import listed


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """An array, or the variables of a data set, as rows × features.

    Parameters
    ----------
    X
        A DataArray whose last dimension holds the features, or a Dataset whose variables are them.
    sample_dims : tuple of str
        The dimensions that rows run over, the last one fastest.
    names : sequence of str or None
        Of the features.
    n_features : int
    """

    X: Any
    sample_dims: tuple[str, ...]
    names: Sequence[str] | None
    n_features: int

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Sizes of the sample dimensions."""
        return tuple(int(self.X.sizes[dim]) for dim in self.sample_dims)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds all values."""
        return np.result_type(*(v.dtype for v in _variables(self.X)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return math.prod(self.sample_shape), self.n_features

    @property
    def is_in_memory(self) -> bool:
        """Whether nothing has to be read or computed."""
        return all(getattr(v.variable, "_in_memory", True) for v in _variables(self.X))

    @property
    def valid_range(self) -> ValidRange | None:
        """Of the one array; variables are looked at when their rows are made."""
        return _valid_range(self.X) if hasattr(self.X, "dtype") else None

    @property
    def units(self) -> str | dict[str, str] | None:
        """Unit of all features, or of each variable that has one; None where none is stated."""
        if hasattr(self.X, "dtype"):
            unit = self.X.attrs.get("units")
            return unit if isinstance(unit, str) else None
        found = {str(name): v.attrs.get("units") for name, v in self.X.data_vars.items()}
        return {name: unit for name, unit in found.items() if isinstance(unit, str)} or None

    def boundaries(self) -> list[int] | None:
        """Where along the first dimension chunks begin and end; None where no chunks are known."""
        # The variable's own chunks: those of an index may be others, which xarray refuses.
        first, dim, size = _variables(self.X)[0].variable, self.sample_dims[0], self.sample_shape[0]
        if first.chunks is not None:
            return [0, *np.cumsum(first.chunksizes[dim]).tolist()]
        step = first.encoding.get("preferred_chunks", {}).get(dim)
        return [*range(0, size, step), size] if isinstance(step, int) and step > 0 else None

    def rows(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows (m, d) of the places [start, stop) along the first dimension; all by default.

        Raises
        ------
        DataError
            If a variable has values outside its valid range.
        """
        part = self.X.isel({self.sample_dims[0]: slice(start, stop)})
        if hasattr(part, "dtype"):
            return np.asarray(part.values).reshape(-1, self.n_features)
        columns = [_checked(name, v) for name, v in part.data_vars.items()]
        return np.stack([column.astype(self.dtype, copy=False) for column in columns], axis=1)


def labelled_rows(X: Any) -> LabelledRows | None:
    """X as rows × features; None of what is neither a DataArray nor a Dataset.

    Raises
    ------
    DataTypeError
        If it could be read in several ways: it names the dimensions, and the ways.
    DataError
        If it is a map of one variable, or its numbers are encoded, or none.
    """
    kind = _kind(X)
    if kind == "Dataset":
        return _of_variables(X)
    if kind != "DataArray":
        return None
    if X.dtype.kind != "O":
        check_dtype(X.dtype, "X")
    refuse_encoded("X", X.attrs, X.dtype.kind)
    dims = tuple(str(dim) for dim in X.dims)
    if X.ndim <= 2:
        check_shape(X.shape, "X")
        return LabelledRows(X, X.dims[:1], feature_names_of_labelled(X)[0], X.shape[1])
    texts = [dim for dim in X.dims if dim in X.coords and X.coords[dim].dtype.kind in "UTO"]
    if texts != [X.dims[-1]]:
        raise _ambiguous(X, dims)
    check_shape((math.prod(X.shape[:-1]), X.shape[-1]), "X")
    names = coordinate_names(dims[-1], X.coords[X.dims[-1]].values)
    return LabelledRows(X, X.dims[:-1], names, X.shape[-1])


def _kind(X: Any) -> str | None:
    """The class of xarray that X is of, subclasses included."""
    found = (c.__name__ for c in type(X).__mro__ if c.__module__.partition(".")[0] == "xarray")
    return next((name for name in found if name in {"DataArray", "Dataset"}), None)


def _variables(X: Any) -> list[Any]:
    return [X] if hasattr(X, "dtype") else list(X.data_vars.values())


def _of_variables(X: Any) -> LabelledRows:
    variables = dict(X.data_vars)
    if not variables:
        raise DataTypeError(f"X is {kind_of(X)} without variables; expected one for each feature")
    for name, variable in variables.items():
        check_dtype(variable.dtype, f"X: variable {safe_text(str(name))}")
        refuse_encoded(f"X: variable {safe_text(str(name))}", variable.attrs, variable.dtype.kind)
    dims = {variable.dims for variable in variables.values()}
    if len(dims) > 1 or len(next(iter(dims))) != 1:
        raise _several_dimensions(X, variables)
    (sample_dims,) = dims
    check_shape((X.sizes[sample_dims[0]], len(variables)), "X")
    return LabelledRows(X, sample_dims, [str(name) for name in variables], len(variables))


def _several_dimensions(X: Any, variables: dict[Any, Any]) -> DataTypeError:
    found = listed(
        f"{safe_text(str(name))} ({', '.join(safe_text(str(dim)) for dim in v.dims)})"
        for name, v in variables.items()
    )
    dims = {v.dims for v in variables.values()}
    if len(dims) == 1 and len(variables) > 1:
        remedy = (
            "X.to_dataarray('feature').transpose(..., 'feature') makes each point a row, with the "
            "variables as its features"
        )
    else:
        remedy = (
            "Take variables that share their dimensions, X[['a', 'b']]; then "
            "X.to_dataarray('feature').transpose(..., 'feature') makes each point a row, and "
            "X['a'] is one array of rows × features"
        )
    return DataTypeError(
        f"X is {kind_of(X)} whose variables are not features along one common dimension: {found}. "
        f"{remedy}"
    )


def _ambiguous(X: Any, dims: tuple[str, ...]) -> DataTypeError:
    shown = [safe_text(dim) for dim in dims]
    row = "sample" if "row" in dims else "row"
    stacked = ", ".join(repr(dim) for dim in shown[:-1])
    return DataTypeError(
        f"X is {kind_of(X)} with the dimensions {', '.join(shown)}, any of which may hold the "
        f"features. If that is {shown[-1]}, X.stack({row}=({stacked})).transpose({row!r}, "
        f"{shown[-1]!r}) makes each point of the others a row, and labels.unstack({row!r}) is the "
        "map of its labels. A last dimension with text for coordinates needs no such step"
    )


def _valid_range(variable: Any) -> ValidRange | None:
    return valid_range_of("X", variable.attrs, variable.dtype) if variable.dtype != "O" else None


def _checked(name: Any, variable: Any) -> NDArray[Any]:
    values, valid = np.asarray(variable.values), _valid_range(variable)
    count = 0 if valid is None else valid.count_outside(values)
    if valid is not None and count:
        raise valid.refused(f"{safe_text(str(name))} in {count:,} of {len(values):,} rows")
    return values
