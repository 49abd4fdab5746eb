"""Standardised rows y = (x - shift)/scale, nearly exact: the scale is a power of two.

Shift and scale come from a sample's order statistics, because one fill value of 9.97e36 in a mean
and a standard deviation leaves a single distinct standardised value of a million.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dgmm.data.quartiles import quartiles
from dgmm.data.weighted_statistics import weighted_deviation

#: Interquartile range of a normal distribution in standard deviations.
NORMAL_QUARTILE_RANGE = 1.349
#: From this many features on, rows are transposed in panels that stay in the cache (2 to 4 times
#: faster at 64 to 300 features); below, in one piece.
_WIDE = 32
_PANEL_ROWS = 128

Floats = NDArray[np.float64]
_Exponents = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Per-feature shift and scale; `apply` gives standardised rows, features first.

    Parameters
    ----------
    shift : (d,) float64
        A value of the data's own type (the lower median), in user units.
    scale : (d,) float64
        Powers of two, in user units; 1 for a constant feature.
    standardised_variance : (d,) float64
        Robust variance of y; 1 for a constant feature.
    is_constant : (d,) bool
        Features with one value in the whole sample.
    """

    shift: Floats
    scale: Floats
    standardised_variance: Floats
    is_constant: NDArray[np.bool_]

    @classmethod
    def from_sample(
        cls,
        sample: NDArray[Any],
        dtype: DTypeLike | None = None,
        *,
        common_scale: bool,
        weights: Floats | None = None,
    ) -> Self:
        """Measure a sample.

        Parameters
        ----------
        sample : (m, d), m ≥ 1
            Finite rows of any real type, and NaN where a value is missing: no feature may lack
            all.
        dtype
            Type of the data as stored, where the sample has another; the shift is rounded
            to it.
        common_scale
            One scale for all features (of the root mean robust variance), for families that are
            not invariant under per-feature scaling.
        weights : (m,), optional
            Of the rows, positive; order statistics are then those of as many copies.

        Raises
        ------
        ValueError
            If the sample has no rows or a value that is not finite.
        """
        columns = np.array(sample.T, dtype=np.float64, order="C")
        missing = np.isnan(columns)
        if missing.all(axis=1).any() or not (np.isfinite(columns) | missing).all():
            raise ValueError("a standardisation needs at least one row, and finite values only")
        known = ~missing if missing.any() else None
        low, middle, high = quartiles(columns, weights, known)
        shift = _rounded(middle, np.dtype(dtype or sample.dtype))
        spread, exponent = _robust_spread(columns, low, high, weights, known)
        is_constant = spread == 0
        chosen = _common(spread, exponent) if common_scale else _nearest_power(spread, exponent)
        chosen = np.where(is_constant & (not common_scale or is_constant.all()), 0, chosen)
        variance = np.ldexp(spread, exponent - chosen) ** 2
        return cls(
            shift=shift,
            scale=np.ldexp(1.0, chosen),
            standardised_variance=np.where(is_constant, 1.0, variance),
            is_constant=is_constant,
        )

    @classmethod
    def identity(cls, n_features: int) -> Self:
        """That of rows which are standardised already."""
        zeros, ones = np.zeros(n_features), np.ones(n_features)
        return cls(zeros, ones, ones, np.zeros(n_features, dtype=np.bool_))

    def of_features(self, features: NDArray[np.intp]) -> Self:
        """That of some of the features."""
        return type(self)(
            self.shift[features],
            self.scale[features],
            self.standardised_variance[features],
            self.is_constant[features],
        )

    @property
    def n_features(self) -> int:
        """Columns."""
        return len(self.shift)

    @property
    def variance(self) -> Floats:
        """Robust variance (d,) in user units; infinite or 0 where float64 cannot hold it.

        A constant feature has scale², so that a share of this variance is never 0.
        """
        with np.errstate(over="ignore", under="ignore"):
            result: Floats = self.standardised_variance * self.scale * self.scale
        return result

    def apply(self, rows: NDArray[Any], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return the standardised rows, features first.

        float32 rows asked for as float32 are shifted in float32, which is exact near the shift
        (unless a scale is beyond that type); all others are computed in float64. A value too large
        for the type is clipped to its largest, so that finite rows give finite results.

        Parameters
        ----------
        rows : (b, d)
            Any real type.
        dtype
            float64 or float32.

        Returns
        -------
        (d, b) array of `dtype`, C order
        """
        target = np.dtype(dtype)
        is_narrow = rows.dtype == np.float32 and _is_normal(self.scale, target)
        work = target if is_narrow else np.dtype(np.float64)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            columns = _scaled_columns(rows, self.scale, work)
            # Exact factors: x/scale - shift/scale has the bits of (x - shift)/scale, in a pass
            # less, and does not overflow where x - shift would.
            columns -= (self.shift / self.scale).astype(work)[:, np.newaxis]
            return _kept_finite(columns, target)

    def apply_to_sample(self, rows: NDArray[Any]) -> Floats:
        """The standardised rows (b, d), float64, rows first; with the bits of `apply`."""
        affine = self.affine(rows.dtype, np.float64)
        if affine is None:
            return np.ascontiguousarray(self.apply(rows, np.float64).T)
        factor, offset = affine
        standardised: Floats = rows * factor
        standardised -= offset
        return standardised

    def affine(
        self, stored: np.dtype[Any], dtype: DTypeLike
    ) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Factor and offset (d,) with y = x·factor − offset, both in the type to compute in.

        They give the bits of `apply` where nothing has to be clipped. None where a factor would
        underflow or overflow.
        """
        target = np.dtype(dtype)
        is_narrow = stored == np.float32 and _is_normal(self.scale, target)
        work = target if is_narrow else np.dtype(np.float64)
        with np.errstate(over="ignore"):
            factor = 1.0 / self.scale
        if not _is_normal(factor, work):
            return None
        return factor.astype(work), (self.shift / self.scale).astype(work)

    def means_to_user(self, means: Floats) -> Floats:
        """Return (…, d) standardised positions in user units: y·scale + shift."""
        return means * self.scale + self.shift

    def means_from_user(self, means: NDArray[Any]) -> Floats:
        """Return (…, d) positions in user units standardised: (x - shift)/scale, in float64."""
        with np.errstate(over="ignore"):
            result: Floats = np.asarray(means, dtype=np.float64) / self.scale
            result -= self.shift / self.scale
        return result


def _rounded(values: Floats, dtype: np.dtype[Any]) -> Floats:
    """Values rounded to a type that may hold fewer digits; unchanged where they are of it."""
    if dtype.kind == "f":
        return values.astype(dtype).astype(np.float64)
    return np.rint(values)


def _robust_spread(
    columns: Floats,
    low: Floats,
    high: Floats,
    weights: Floats | None,
    known: NDArray[np.bool_] | None,
) -> tuple[Floats, _Exponents]:
    """IQR/1.349 of each row (d, m), the standard deviation where that is 0, as s·2^e.

    Each feature is scaled by a power of two first, so that neither 1e308 nor 1e-310 overflows or
    underflows on the way.
    """
    largest = np.fmax(np.fmax.reduce(columns, axis=1), -np.fmin.reduce(columns, axis=1))
    exponent = np.frexp(largest)[1].astype(np.int64)
    spread = (np.ldexp(high, -exponent) - np.ldexp(low, -exponent)) / NORMAL_QUARTILE_RANGE
    narrow = spread == 0
    scaled = np.ldexp(columns[narrow], -exponent[narrow, np.newaxis])
    if known is None:
        spread[narrow] = _standard_deviation(scaled, weights)
    else:
        own = zip(scaled, known[narrow], strict=True)
        spread[narrow] = [
            _standard_deviation(row[of][None], None if weights is None else weights[of])[0]
            for row, of in own
        ]
    return spread, exponent


def _standard_deviation(columns: Floats, weights: Floats | None) -> Floats:
    """Root mean squared deviation of each row; exactly 0 where all its values are equal."""
    deviations = columns - columns[:, :1]
    largest = np.abs(deviations).max(axis=1, initial=0.0)
    unit = np.where(largest > 0, largest, 1.0)
    relative = deviations / unit[:, np.newaxis]
    found = relative.std(axis=1) if weights is None else weighted_deviation(relative.T, weights)
    result: Floats = found * largest
    return result


def _nearest_power(spread: Floats, exponent: _Exponents) -> _Exponents:
    """The exponent of the power of two nearest to spread·2^exponent on a logarithmic scale."""
    mantissa, own = np.frexp(spread)
    nearest = own - (mantissa < np.sqrt(0.5)) + exponent
    result: _Exponents = np.clip(nearest, -1074, 1023)
    return result


def _common(spread: Floats, exponent: _Exponents) -> _Exponents:
    """The same for the root mean square over features that are not constant."""
    moving = spread > 0
    if not moving.any():
        return np.zeros_like(exponent)
    highest = (np.frexp(spread)[1] + exponent)[moving].max()
    relative = np.ldexp(spread[moving], exponent[moving] - highest)
    root = np.sqrt(np.mean(relative**2, keepdims=True))
    return np.broadcast_to(_nearest_power(root, highest), exponent.shape)


def _scaled_columns(rows: NDArray[Any], scale: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rows (b, d) over the scale, features first; exact but for underflow and overflow."""
    columns = np.empty(rows.shape[::-1], dtype=dtype)
    factor = 1.0 / scale
    by_product = _is_normal(factor, dtype)  # a product takes a third of a division's time
    operation = np.multiply if by_product else np.divide
    operand = (factor if by_product else scale).astype(dtype)[:, np.newaxis]
    panel = _PANEL_ROWS if rows.shape[1] >= _WIDE else max(len(rows), 1)
    for start in range(0, len(rows), panel):
        part = slice(start, start + panel)
        operation(rows[part].T, operand, out=columns[:, part], casting="unsafe")
    return columns


def _is_normal(powers: Floats, dtype: np.dtype[Any]) -> bool:
    """Whether powers of two are finite and normal in `dtype`."""
    tiny, largest = _limits(dtype)
    return bool((powers <= largest).all() and (powers >= tiny).all())


@cache
def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The smallest normal and the largest number; `finfo` finds the former anew at every call."""
    found = np.finfo(dtype)
    return float(found.tiny), float(found.max)


def _kept_finite(columns: NDArray[Any], target: np.dtype[Any]) -> NDArray[Any]:
    """Columns as `target`, every value that is too large for it clipped to its largest."""
    limits = np.finfo(target)
    if columns.dtype != target:
        np.clip(columns, limits.min, limits.max, out=columns)
        return columns.astype(target)
    if not np.isfinite(columns.sum()):  # a sum takes half of a clip's time
        np.clip(columns, limits.min, limits.max, out=columns)
    return columns
