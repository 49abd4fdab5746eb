"""What rows lack, counted as they are read: patterns, rows without any value, values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.missing_patterns import MOST_PATTERNS, MissingPatterns, different_rows

#: Bytes of patterns that are recorded; as text of a record they are twice as many.
MOST_RECORDED_BYTES: Final = 128 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class MissingCounts:
    """What is missing among rows of positive weight; a monoid.

    Attributes
    ----------
    patterns : MissingPatterns
        Of the rows that have a value: those that a fit which marginalises over the others takes.
    n_empty : int
        Rows without any value.
    n_missing : int
        Values that the rows of `patterns` lack.
    n_weightless : int
        Rows of weight 0, of which nothing else is counted.
    is_unlisted : bool
        Whether patterns of some rows were left out for their bytes (`recordable`): `patterns` has
        none then, and how many there are is not known.
    """

    patterns: MissingPatterns
    n_empty: int = 0
    n_missing: int = 0
    n_weightless: int = 0
    is_unlisted: bool = False

    @classmethod
    def zero(cls, n_features: int) -> Self:
        """Of no rows."""
        return cls(MissingPatterns.zero(n_features))

    @classmethod
    def of_rows(cls, values: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Self:
        """Of rows (b, d) in which NaN is what is missing."""
        n_weightless = 0
        if weights is not None and (is_weightless := weights == 0).any():
            n_weightless = int(is_weightless.sum())
            values = values[~is_weightless]
        n, d = values.shape
        missing = np.isnan(values) if values.dtype.kind == "f" else None
        if missing is None or not missing.any():
            patterns = MissingPatterns.of_complete(n, d)
            return cls(patterns, n_weightless=n_weightless)
        bits, counts = different_rows(np.packbits(missing, axis=1))
        lacks = np.unpackbits(bits, axis=1, count=d).sum(axis=1, dtype=np.int64)
        has_some = lacks < d
        return cls(
            MissingPatterns.of_counts(bits[has_some], counts[has_some]),
            n_empty=int(counts[~has_some].sum()),
            n_missing=int((counts * lacks)[has_some].sum()),
            n_weightless=n_weightless,
        )

    def merge(self, other: Self) -> Self:
        """Of these rows and the other's."""
        return type(self)(
            self.patterns.merge(other.patterns),
            self.n_empty + other.n_empty,
            self.n_missing + other.n_missing,
            self.n_weightless + other.n_weightless,
            self.is_unlisted or other.is_unlisted,
        )

    def recordable(self) -> Self:
        """The same without patterns that take more than `MOST_RECORDED_BYTES`.

        4,096 patterns of 17,000 features are 8.7 MB, and as text more than metadata of Zarr may be.
        """
        found = self.patterns
        if found.bits.nbytes <= MOST_RECORDED_BYTES:
            return self
        none = replace(found, bits=found.bits[:0], counts=found.counts[:0], is_more=True)
        return replace(self, patterns=none, is_unlisted=True)

    @property
    def lacks(self) -> float:
        """The mean number of values that a row lacks, of those that lack some; 0 for none."""
        return self.n_missing / self.patterns.n_partial if self.patterns.n_partial else 0.0

    def describe(self) -> str:
        """`475 of 12,850 rows lack some values, in 15 patterns; 850 have no value`."""
        found, n_empty = self.patterns, self.n_empty
        n_rows = found.n_rows + n_empty
        if not found.n_partial and not n_empty:
            return f"none of {n_rows:,} rows lacks a value"
        ending = "" if found.n_patterns == 1 else "s"
        number = f"more than {MOST_PATTERNS:,}" if found.is_more else f"{found.n_patterns:,}"
        several = "patterns too many to record" if self.is_unlisted else f"{number} pattern{ending}"
        return f"{found.n_partial:,} of {n_rows:,} rows lack some values, in {several}" + (
            f"; {n_empty:,} have no value" if n_empty else ""
        )

    def record(self) -> dict[str, Any]:
        """Plain values for JSON of what is recordable; a pattern is the hexadecimal of its bits."""
        counts = self.recordable()
        found = counts.patterns
        texts = (row.tobytes().hex() for row in found.bits)
        patterns = dict(zip(texts, found.counts.tolist(), strict=True))
        return {
            "rows": found.n_rows,
            "incomplete": found.n_partial,
            "empty": self.n_empty,
            "weightless": self.n_weightless,
            "values": self.n_missing,
            "patterns": None if found.is_more else patterns,
            "unlisted": counts.is_unlisted,
        }

    @classmethod
    def of_record(cls, found: Any, n_features: int) -> Self | None:
        """What `record` gave of rows of so many features; None where it is anything else."""
        if not isinstance(found, Mapping):
            return None
        try:
            numbers = [int(found[key]) for key in ("rows", "incomplete", "empty", "values")]
            n_rows, n_partial, n_empty, n_missing = numbers
            listed = found["patterns"]
            texts = {} if listed is None else dict(listed)
            raw = b"".join(bytes.fromhex(text) for text in texts)
            bits = np.frombuffer(raw, np.uint8).reshape(len(texts), -(-n_features // 8))
            counts = np.array(list(texts.values()), np.int64)
            patterns = MissingPatterns(bits.copy(), counts, listed is None, n_rows, n_partial)
            is_unlisted = bool(found.get("unlisted", False))
            result = cls(patterns, n_empty, n_missing, int(found["weightless"]), is_unlisted)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        is_of_these = found.get("features", n_features) == n_features
        return result if is_of_these and result._is_plausible(n_features) else None

    def _is_plausible(self, d: int) -> bool:
        """Whether rows of d features can have these counts."""
        found = self.patterns
        if min(found.n_rows, found.n_partial, self.n_empty, self.n_weightless) < 0:
            return False
        if not found.n_partial <= min(found.n_rows, self.n_missing):
            return False
        if found.is_more:
            return self.n_missing <= found.n_partial * (d - 1)
        bits = np.unpackbits(found.bits, axis=1)
        lacks, counts = bits.sum(axis=1, dtype=np.int64), found.counts
        return bool(
            (counts > 0).all()
            and (lacks < d).all()
            and not bits[:, d:].any()
            and int(counts.sum()) == found.n_rows
            and int(counts[lacks > 0].sum()) == found.n_partial
            and int((counts * lacks).sum()) == self.n_missing
        )
