"""Values that many rows share: fill values, saturation, zeros; what they are and how many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.number_words import exact
from dgmm.data.summary.summarise import Summary
from dgmm.terminal_text import listed

#: A value that a larger share of a feature's rows has is named.
SHARE = 0.05
#: With fewer equal rows a share above that says nothing.
_FEWEST_ROWS = 3
#: Sample rows in which candidates are looked for; half the share there is enough to be counted in
#: all of the sample, so that a value above it is missed less than once in 10^8 features.
_FIRST_LOOK = 2000
#: A feature takes levels if, its most frequent value aside, fewer rows than the second of these
#: have a value that fewer rows than the first share.
_LEVEL_SHARE, _OWN_VALUES = 0.01, 0.25
#: Zeros of floats that are also the fill value are named from this share on.
_DEFAULT_FILL_SHARE = 0.001
#: A level of a feature is no level like the others if it is so many times as frequent as the next
#: (the second where it is neither the smallest nor the largest value: measurements cluster there,
#: and in counts so few that chance explains it), or so many interquartile ranges away from them.
_OUTSTANDING, _OUTSTANDING_WITHIN, _FAR = 2.0, 3.0, 1.5
#: Standard deviations of a count that chance explains.
_CHANCE = 2.0
#: Numbers are rounded if so large a share of the rows, the most frequent value's aside, repeat one.
_ROUNDED = 0.5
#: Features that are looked at closely, of those with repeated values.
_MOST_FEATURES = 1000

Kind = Literal["fill", "spike", "level"]


@dataclass(frozen=True, slots=True)
class RepeatedValue:
    """One value of one feature that many rows share.

    Parameters
    ----------
    feature : int
    value : float
    n_rows : int
        Rows with it among all that are fitted; of the sample, scaled up, where not `is_exact`.
    share : float
        Of the rows that are fitted, by weight where they have weights of their own.
    is_exact : bool
        Whether all rows were counted.
    kind : {"fill", "spike", "level"}
        The array's own fill value; a value among continuous ones; one of few that a feature takes.
    """

    feature: int
    value: float
    n_rows: int
    share: float
    is_exact: bool
    kind: Kind


def repeated_values(
    summary: Summary, is_constant: NDArray[np.bool_], fill_value: float | None
) -> tuple[RepeatedValue, ...]:
    """The values to be named, by feature, the most frequent first.

    Cells equal to the fill value were counted in all rows, other values are in the sample.

    Parameters
    ----------
    summary
        Of the rows.
    is_constant : (d,)
        Features of one value, which are named elsewhere.
    fill_value
        The array's own, where it has one that is not NaN.
    """
    first = _first_look(summary.sample)
    found = {i: _Column.of(summary, i, first[:, i]) for i in _candidates(first, is_constant)}
    values: list[RepeatedValue] = []
    for feature in sorted({*found, *_with_fill(summary, is_constant, fill_value)}):
        column = found.get(feature) or _Column.of(summary, feature, first[:, feature])
        values += _of_column(column, summary, fill_value)
    return tuple(values)


def repetition_warnings(values: Sequence[RepeatedValue], names: Sequence[str]) -> Iterator[str]:
    """At most one line for each kind.

    Parameters
    ----------
    values
        What was found.
    names
        Of the features.
    """
    fills = [v for v in values if v.kind == "fill"]
    if fills:
        yield (
            f"cells equal to the array's own fill value, {exact(fills[0].value)}, are fitted as "
            f"values: {listed(_fill_words(v, names) for v in fills)}. If they stand for "
            "missing data, write NaN there and set data.missing to drop"
        )
    spikes = [v for v in values if v.kind == "spike"]
    if spikes:
        each = listed(
            f"{names[v.feature]} = {exact(v.value)} ({_percent(v.share)})" for v in spikes
        )
        yield (
            f"one value is shared by more than {SHARE:.0%} of the rows of a feature: {each}"
            f"{_basis(spikes)}. Such values may take components of their own. Where they are no "
            "measurements (codes for missing values, saturation, censoring), write NaN there and "
            "set data.missing to drop, or leave such features out"
        )
    levels = [v for v in values if v.kind == "level"]
    if levels:
        yield (
            f"features of repeated values (flags, categories, counts, rounded numbers) that more "
            f"than {SHARE:.0%} of the rows share: {listed(_level_words(levels, names), 5)}"
            f"{_basis(levels)}. Where they are few, Gaussians describe them poorly, and a "
            "component may shrink onto one of them"
        )


def _fill_words(value: RepeatedValue, names: Sequence[str]) -> str:
    return f"{names[value.feature]} ({_percent(value.share)}, {value.n_rows:,} rows)"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _level_words(levels: Sequence[RepeatedValue], names: Sequence[str]) -> Iterator[str]:
    """One entry a feature, with its most frequent values."""
    features: dict[int, list[str]] = {}
    for v in sorted(levels, key=lambda v: (v.feature, -v.share)):
        features.setdefault(v.feature, []).append(f"{exact(v.value)}: {_percent(v.share)}")
    for feature, shares in features.items():
        yield f"{names[feature]} ({listed(shares, 2)})"


def _basis(values: Sequence[RepeatedValue]) -> str:
    return "" if all(v.is_exact for v in values) else " (shares of a sample of the rows)"


def _first_look(sample: NDArray[Any]) -> NDArray[np.float64]:
    """Some rows of the sample, evenly spread, each column sorted."""
    count = min(len(sample), _FIRST_LOOK)
    places = np.linspace(0, len(sample) - 1, count).astype(np.intp)
    return np.sort(sample[places].astype(np.float64), axis=0)


def _candidates(first: NDArray[np.float64], is_constant: NDArray[np.bool_]) -> list[int]:
    """Features one of whose values fills half of `SHARE` of the rows of a first look."""
    step = _least(len(first)) - 1
    repeats = (first[step:] == first[: len(first) - step]).any(axis=0)
    return [int(i) for i in np.flatnonzero(repeats & ~is_constant)[:_MOST_FEATURES]]


def _least(n_rows: int) -> int:
    return max(2, int(np.ceil(n_rows * SHARE / 2)))


def _with_fill(
    summary: Summary, is_constant: NDArray[np.bool_], fill_value: float | None
) -> list[int]:
    if fill_value is None:
        return []
    wanted = summary.n_fill > 0
    if fill_value == 0.0:
        wanted &= ~is_constant
    return [int(i) for i in np.flatnonzero(wanted)[:_MOST_FEATURES]]


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """One feature: values of a first look, each value's count there, and what many rows share."""

    feature: int
    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    shared: dict[float, float]
    n_rows: int

    @classmethod
    def of(cls, summary: Summary, feature: int, first: NDArray[np.float64]) -> _Column:
        values, counts = np.unique(first[~np.isnan(first)], return_counts=True)
        sampled = np.ascontiguousarray(summary.sample[:, feature]).astype(np.float64)
        shared: dict[float, float] = {}
        for value in values[counts >= _least(len(first))]:
            equal = sampled == value
            n_rows = int(np.count_nonzero(equal))
            share = n_rows / len(sampled)
            if (weights := summary.sample_weights) is not None:
                share = float(weights[equal].sum() / weights.sum())
            if n_rows >= _FEWEST_ROWS and share > SHARE:
                shared[float(value)] = share
        return cls(feature, values, counts, shared, len(first))

    @property
    def has_levels(self) -> bool:
        """Whether nearly all rows share their values with many others."""
        counts = np.sort(self.counts)[:-1]
        rare = counts < max(2, _LEVEL_SHARE * self.n_rows)
        return bool(counts[rare].sum() < _OWN_VALUES * counts.sum())

    @property
    def is_rounded(self) -> bool:
        """Whether most other rows share their values with at least one more."""
        counts = np.sort(self.counts)[:-1]
        return bool(counts[counts > 1].sum() > _ROUNDED * counts.sum())

    def stands_out(self, value: float) -> bool:
        """Whether a value is unlike the feature's others: far from them, or far more frequent."""
        others = self.values != value
        counts, values = self.counts[others], self.values[others]
        if not len(values):
            return False
        rows = np.repeat(values, counts)
        spread = float(np.subtract(*np.quantile(rows, [0.75, 0.25])))
        if 0 < _FAR * spread < float(np.abs(values - value).min()):
            return True
        if len(values) < _FEWEST_ROWS:
            return False
        is_within = bool(values[0] < value < values[-1])
        next_rows = (_OUTSTANDING_WITHIN if is_within else _OUTSTANDING) * counts.max()
        n_rows = self.shared.get(value, 0.0) * self.n_rows
        return bool(n_rows > next_rows + _CHANCE * np.sqrt(n_rows))


def _of_column(
    column: _Column, summary: Summary, fill_value: float | None
) -> Iterator[RepeatedValue]:
    n_kept, has_levels = summary.n_kept, column.has_levels or column.is_rounded
    is_exact = len(summary.sample) == n_kept
    n_fill = int(summary.n_fill[column.feature])
    for value, share in sorted(column.shared.items(), key=lambda item: -item[1]):
        if value != fill_value:
            is_like_others = has_levels and not column.stands_out(value)
            kind: Kind = "level" if is_like_others else "spike"
            n_rows = round(share * n_kept)
            yield RepeatedValue(column.feature, value, n_rows, share, is_exact, kind)
    if fill_value is not None and n_fill:
        share = n_fill / n_kept
        if _is_suspicious(column, summary, fill_value, share):
            yield RepeatedValue(column.feature, fill_value, n_fill, share, True, "fill")
        elif fill_value in column.shared:
            yield RepeatedValue(column.feature, fill_value, n_fill, share, True, "level")


def _is_suspicious(column: _Column, summary: Summary, fill_value: float, share: float) -> bool:
    """Whether cells equal to the fill value are named in a warning.

    0 is what most writers put there without asking, and an ordinary value of counts and flags.
    """
    if fill_value != 0.0:
        return True
    if column.stands_out(fill_value):
        return True
    if column.has_levels:
        return False
    least = _DEFAULT_FILL_SHARE if summary.sample.dtype.kind == "f" else SHARE
    return share > least
