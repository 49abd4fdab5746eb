"""How often each value of a described column is in each component: exact, and bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.arrow import arrow

#: Cells that are counted for a column at most, and values that are in any case.
_MOST_CELLS, _FEW_VALUES, _MANY_VALUES = 1_000_000, 100, 10_000
#: What a null is called; a text of that name is counted with it.
NULL = "(null)"


@dataclass(frozen=True, slots=True, eq=False)
class CategoryCounts:
    """Rows by value and component; `counts` is None where there are too many values.

    Attributes
    ----------
    counts : mapping or None
        By value, (k + 1,) int64: rows of each component, and last those without a label.
    """

    n_components: int
    counts: dict[str, NDArray[np.int64]] | None

    @classmethod
    def none(cls, n_components: int) -> CategoryCounts:
        """The neutral element."""
        return cls(n_components, {})

    @property
    def most_values(self) -> int:
        """Values up to which a column is counted."""
        share = _MOST_CELLS // (self.n_components + 1)
        return max(_FEW_VALUES, min(_MANY_VALUES, share))

    def merge(self, other: CategoryCounts) -> CategoryCounts:
        """Of the rows of both; in any order the same."""
        if self.counts is None or other.counts is None:
            return CategoryCounts(self.n_components, None)
        merged = dict(self.counts)
        for value, counts in other.counts.items():
            merged[value] = merged[value] + counts if value in merged else counts
        kept = merged if len(merged) <= self.most_values else None
        return CategoryCounts(self.n_components, kept)

    def with_rows(self, values: Any, labels: NDArray[np.int32]) -> CategoryCounts:
        """With more rows: their values (b,), as Arrow's, and their labels (b,), -1 without one."""
        if self.counts is None or not len(labels):
            return self
        coded = arrow("compute").cast(_flat(values), arrow().string()).fill_null(NULL)
        coded = coded.dictionary_encode()
        names, width = coded.dictionary.to_pylist(), self.n_components + 1
        if len(names) > self.most_values:
            return CategoryCounts(self.n_components, None)
        codes = coded.indices.to_numpy().astype(np.int64)
        components = np.where(labels < 0, self.n_components, labels)
        cells = np.bincount(codes * width + components, minlength=len(names) * width)
        rows = cells.reshape(len(names), width)
        return self.merge(
            CategoryCounts(self.n_components, dict(zip(map(str, names), rows, strict=True)))
        )

    def record(self, most: int) -> dict[str, Any]:
        """For run.json: the values with most rows, and how many more there are.

        Parameters
        ----------
        most
            Values that are listed.
        """
        if self.counts is None:
            return {"too_many_values": self.most_values}
        ordered = sorted(self.counts.items(), key=lambda item: (-int(item[1].sum()), item[0]))
        others = [counts for _, counts in ordered[most:]]
        return {
            "values": [safe_text(value) for value, _ in ordered[:most]],
            "counts": [counts.tolist() for _, counts in ordered[:most]],
            "other_values": len(others),
            "other_counts": np.sum(others, axis=0).tolist() if others else [],
        }


def _flat(values: Any) -> Any:
    """One array without a dictionary."""
    library = arrow()
    if not isinstance(values, library.Array | library.ChunkedArray):
        values = library.array(values)
    if isinstance(values, library.ChunkedArray):
        values = values.combine_chunks()
    return values.dictionary_decode() if library.types.is_dictionary(values.type) else values
