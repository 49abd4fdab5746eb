"""What a job has to name of labelled arrays: variables and dimensions, and what it could name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import are_positions, safe_text
from dgmm.data.sources.labelled.collection import Collection, unknown
from dgmm.data.sources.labelled.coordinates import coordinate_names
from dgmm.errors import DataError
from dgmm.terminal_text import listed

#: Dimensions that are more often features than places.
_VERTICAL = re.compile(
    r"(depth|lev|level|levels|pressure|plev|z|height|altitude|band|channel|wavelength|frequency"
    r"|feature|features|variable|component)s?$",
    re.IGNORECASE,
)


def with_model_variables(collection: Collection, source: DataSource) -> DataSource:
    """The job with the variables that a model's features come from, where it names none.

    Raises
    ------
    DataError
        Naming those that are not there, with the features that need them.
    """
    features = source.model_features
    if source.variables or are_positions(features):
        return source
    known = collection.names()
    found = {feature: _variable_of(feature, known) for feature in features}
    absent = [feature for feature, name in found.items() if name is None]
    if absent:
        wanted = absent[0].partition("[")[0]
        what = f"variable for the model's features {listed(absent, 5)}"
        found_instead = unknown(str(collection.first), what, wanted, known)
        raise DataError(
            f"{found_instead}. Features are found by the names that the fit had: rename the "
            "variables, or name another model"
        )
    return replace(source, variables=tuple(dict.fromkeys(n for n in found.values() if n)))


def _variable_of(feature: str, known: list[str]) -> str | None:
    """The variable whose name begins a feature's: `SR` of `SR[depth=50 dbar]`."""
    if feature in known:
        return feature
    return max((n for n in known if feature.startswith(f"{safe_text(n)}[")), key=len, default=None)


def require_named(collection: Collection, source: DataSource) -> None:
    """Refuse a job that does not name variables and sample dimensions, with what it could name."""
    for name in source.variables:
        collection.require(name, "data.variables")
    sizes = collection.sizes
    for key, dims in (("sample_dims", source.sample_dims), ("feature_dims", source.feature_dims)):
        for dim in dims:
            if dim not in sizes:
                what = f"dimension {safe_text(dim)!r} (data.{key})"
                raise unknown(str(collection.first), what, dim, list(sizes))
            if not sizes[dim] or dims.count(dim) > 1:
                found = "has no places" if not sizes[dim] else "is named twice"
                raise DataError(
                    f"{collection.first}: dimension {safe_text(dim)} (data.{key}) {found}; "
                    "expected each once, with one place at least"
                )
    both = set(source.sample_dims) & set(source.feature_dims)
    if both:
        raise DataError(
            f"data.sample_dims and data.feature_dims both name {', '.join(sorted(both))}; rows run "
            "over the first, features over the second: leave it out of one"
        )
    if source.variables and source.sample_dims:
        return
    missing = "data.variables" if not source.variables else "data.sample_dims"
    shown = ", ".join(f"{safe_text(dim)} {size:,}" for dim, size in sizes.items())
    raise DataError(
        f"{collection.first}: {missing} is not given; its dimensions are {shown}, its variables "
        f"{_variables_in_words(collection)}. Name the variables that make the features, and the "
        f"dimensions over which rows run, for instance:\n  data: {_example(collection, source)}"
    )


def _data_variables(collection: Collection) -> list[str]:
    """Numeric variables that are no coordinates, those of most dimensions first."""
    coordinates = set(coordinate_names(collection, list(collection.sizes)))
    variables = collection.first.dataset.variables
    found = [n for n in collection.names() if n not in coordinates and n not in collection.sizes]
    numeric = [n for n in found if np.dtype(variables[n].dtype).kind in "fiu" and variables[n].dims]
    most = max((variables[n].ndim for n in numeric), default=0)
    return [n for n in numeric if variables[n].ndim == most]


def _variables_in_words(collection: Collection) -> str:
    names = [n for n in collection.names() if n not in collection.sizes]
    words = [f"{safe_text(n)} ({', '.join(map(safe_text, collection.dims(n)))})" for n in names]
    return listed(words, 20)


def _example(collection: Collection, source: DataSource) -> str:
    names = list(source.variables) or _data_variables(collection)
    dims = list(dict.fromkeys(dim for name in names for dim in collection.dims(name)))
    sample = list(source.sample_dims) or [d for d in dims if not _VERTICAL.match(d)] or dims
    named = f"variables: [{', '.join(map(safe_text, names))}]"
    path = safe_text(Path(source.path).name)
    return f"{{path: {path}, {named}, sample_dims: [{', '.join(map(safe_text, sample))}]}}"
