"""The protocol of a source: what its rows are, parts of known size, and a part's rows in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dgmm.data.fill_value import FillValue
from dgmm.data.joined_arrays import joined_arrays
from dgmm.data.valid_range import ValidRange

#: How results go back beside the row arrays: a table per part, a map with the source's dimensions.
Delivery = Literal["table", "map", "none"]


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """What a source holds, from its metadata alone.

    Attributes
    ----------
    kind : str
        In words, for messages: `Parquet table`.
    feature_names : tuple of str
        Unique, one per feature (d).
    dtype : dtype
        float32 or float64: type of the values (b, d) that `read` yields.
    units : mapping
        Unit of features that have one, by name.
    attributes : mapping
        What the prepared array bears beside its names (`sample_dims`, `sample_shape`, …).
    carried : tuple of str
        Columns that results carry along (`data.id`, `data.describe`), by name.
    described : tuple of str
        Those of them whose values are counted in each component (`data.describe`).
    notes : tuple of str
        What `plan` prints: how often chunks are decoded, which variables are broadcast, …
    warnings : tuple of str
        What the run warns of.
    has_weights : bool
        Whether `read` yields weights with all rows (`DataSource.weight_column`).
    residuals : tuple of str
        Names of further numbers that `read` yields with all rows (r): residuals of `pca`.
    fill_value, valid_range
        What missing values may be hidden behind, where `read` does not yield NaN for them.
    """

    kind: str
    feature_names: tuple[str, ...]
    dtype: np.dtype[Any]
    units: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    carried: tuple[str, ...] = ()
    described: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    has_weights: bool = False
    residuals: tuple[str, ...] = ()
    fill_value: FillValue | None = None
    valid_range: ValidRange | None = None


@dataclass(frozen=True, slots=True)
class RowPart:
    """Consecutive rows that are read together: a file, a row group, the rows of a source chunk.

    `name` is what messages call it: `obs/part-3.parquet`.
    """

    index: int
    n_rows: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """Consecutive rows of a part.

    Attributes
    ----------
    values : (b, d)
        NaN where missing.
    weights : (b,) or None
    residuals : (b, r) or None
        A column for each of `SourceDescription.residuals`.
    """

    values: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    residuals: NDArray[np.float64] | None = None

    @classmethod
    def joined(cls, pieces: Sequence[Self]) -> Self:
        """Consecutive pieces of rows, at least one, as one."""
        return cls(
            np.concatenate([piece.values for piece in pieces]),
            joined_arrays(piece.weights for piece in pieces),
            joined_arrays(piece.residuals for piece in pieces),
        )

    def part(self, own: slice) -> Self:
        """Some of the rows, not copied."""
        return type(self)(
            self.values[own],
            None if self.weights is None else self.weights[own],
            None if self.residuals is None else self.residuals[own],
        )


@runtime_checkable
class RowSource(Protocol):
    """Rows in a foreign form; picklable, opened once in each process that reads it.

    The order of rows is that of the parts, and within a part that of `read`: it follows from the
    stored data alone, so that the same input gives the same rows whoever reads them.
    """

    @property
    def description(self) -> SourceDescription:
        """What the source holds."""

    @property
    def delivery(self) -> Delivery:
        """How results go back where the job does not say."""

    @property
    def read_bytes(self) -> int:
        """Most bytes that reading one part holds at once, whatever the part's size."""

    def parts(self) -> tuple[RowPart, ...]:
        """All parts in order, with their numbers of rows; no values are read."""

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield a part's rows in order, a bounded number at a time.

        Raises
        ------
        DataError
            If the part is damaged or does not hold what was described, naming file and place.
        """

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        """Yield the carried columns of a part's rows in order, as Arrow arrays by name."""

    def locate(self, row: int) -> str:
        """Where a row lies in the source (`obs/part-3.parquet, row 12`)."""

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the data: files with sizes and times, and what is taken from them."""

    def check_unchanged(self) -> None:
        """Raise a DataError if the source has changed since it was opened."""
