"""Where a job's rows lie, and what of them is wanted: what every format is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where rows lie.

    Attributes
    ----------
    path : str
        Absolute; the first of `paths`.
    array : str or None
        Name of the array, in a format that holds several.
    absent_chunks : {"error", "fill"}
        Whether parts that were never written are an error or hold the fill value.
    paths : tuple of str
        Absolute files, folders and globs, in the order given; (path,) where empty.
    columns, ids, described : tuple of str
        Columns of a table: features (empty: every one that is neither of the others), and those
        that results carry along (`data.id`, `data.describe`).
    csv : mapping
        `delimiter`, `decimal`, `null_values`, `encoding`, as far as they are given.
    variables, sample_dims, feature_dims : tuple of str
        Of labelled arrays: what makes features, and over which dimensions rows and features run.
    select : mapping
        By dimension, the interval [first, last] of its coordinate that is taken.
    concat_dim : str or None
        Dimension along which several files are joined.
    weight_column : str or None
        Column, variable or array that holds the weights of rows; no feature.
    weight_cosine : str or None
        Latitude of labelled arrays whose cosine is the weight of a row.
    model_features : tuple of str
        Features of the model that rows are for, in its order: taken where neither `columns` nor
        `variables` names any. Empty for a fit.
    """

    path: str
    array: str | None = None
    absent_chunks: Literal["error", "fill"] = "error"
    paths: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    described: tuple[str, ...] = ()
    csv: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    sample_dims: tuple[str, ...] = ()
    feature_dims: tuple[str, ...] = ()
    select: Mapping[str, Any] = field(default_factory=dict)
    concat_dim: str | None = None
    weight_column: str | None = None
    weight_cosine: str | None = None
    model_features: tuple[str, ...] = ()
