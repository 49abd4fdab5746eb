"""An axis: where values lie between its ends, and which ticks it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.report.formatting import number, power_of_ten

Tick = tuple[float, str]
_STEPS = (1.0, 2.0, 5.0, 10.0)
_MOST_DIGITS = 14
#: Powers of ten on an axis that are too few to read values by.
_FEW_POWERS = 2
#: Zeros that a power of ten is written out with at most.
_LONG_POWER = 3
#: Of the largest value; within a shorter range values differ by their rounding.
_LEAST_RANGE = 1e-12


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a chart.

    Parameters
    ----------
    low, high : float
        Its ends; `high` may be below `low`.
    label : str
        Empty for none.
    scale : {"linear", "log", "root"}
        root: square roots of values from 0.
    ticks : sequence of (float, str) or None
        None: round values, about `count` of them.
    count : int
    """

    low: float
    high: float
    label: str = ""
    scale: Literal["linear", "log", "root"] = "linear"
    ticks: Sequence[Tick] | None = None
    count: int = 5

    @classmethod
    def around(
        cls, values: Any, label: str = "", margin: float = 0.05, least: float = 0.0, **how: Any
    ) -> Axis:
        """A linear axis that holds all finite values, with a margin.

        Values that differ lie on a range of at least `least`, and of 1e-12 of the largest.
        """
        found = np.asarray(values, dtype=np.float64)
        finite = found[np.isfinite(found)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        # Halves: the whole range may be longer than float64 can say.
        half, largest = high / 2 - low / 2, max(abs(low), abs(high))
        short = max(least, _LEAST_RANGE * largest) / 2 - half if half else 0.0
        space = 2 * margin * half + max(short, 0.0) or 0.5 * max(abs(high), 1e-12)
        return cls(low - space, high + space, label, **how)

    def places(self, values: Any) -> NDArray[np.float64]:
        """Values as shares of the way from `low` to `high`; far ones are cut to [−2, 3]."""
        low, high = self._moved(self.low), self._moved(self.high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            moved = self._moved(np.asarray(values, dtype=np.float64))
            found = (moved / 2 - low / 2) / (high / 2 - low / 2)
        return np.asarray(
            np.clip(np.nan_to_num(found, nan=-2.0, posinf=3.0, neginf=-2.0), -2.0, 3.0)
        )

    def _moved(self, values: Any) -> Any:
        if self.scale == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log10(values)
        return np.sqrt(np.maximum(values, 0.0)) if self.scale == "root" else values

    @property
    def shown(self) -> Sequence[Tick]:
        """The ticks that lie on the axis."""
        ticks = self.ticks
        if ticks is None:
            ticks = self._powers() if self.scale == "log" else self._round_values()
        ends = sorted((self.low, self.high))
        return [(value, text) for value, text in ticks if ends[0] <= value <= ends[1]]

    def _powers(self) -> list[Tick]:
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        if last - first + 1 < _FEW_POWERS:
            return self._parts_of_powers(first - 1, last)
        step = max(1, -(-(last - first + 1) // max(self.count + 1, 2)))
        return power_ticks(range(first, last + 1, step))

    def _parts_of_powers(self, first: int, last: int) -> list[Tick]:
        """1, 2 and 5 times powers of ten; of a range that has none of them round values."""
        values = [part * 10.0**e for e in range(first, last + 1) for part in _STEPS[:3]]
        inside = [value for value in values if self.low <= value <= self.high]
        if len(inside) < _FEW_POWERS:
            return self._round_values()
        return [(value, number(value, 3)) for value in inside]

    def _round_values(self) -> list[Tick]:
        low, high = sorted((self.low, self.high))
        step = _step(low, high, self.count)
        if not step:
            return []
        first, last = math.ceil(low / step), math.floor(high / step)
        values = [step * i for i in range(first, min(last, first + 4 * self.count) + 1)]
        digits = _digits(max(abs(low), abs(high)), step)
        return [(value, number(float(f"{value:.15g}"), digits)) for value in values]


def power_ticks(exponents: Sequence[int]) -> list[Tick]:
    """Ticks at powers of ten, written alike: 0.01, 1, 100, or 10⁻⁵, 1, 10⁵ if one is long."""
    is_long = any(e < -_LONG_POWER or e > _LONG_POWER for e in exponents)
    return [(10.0**e, power_of_ten(e) if is_long else number(10.0**e, 3)) for e in exponents]


def integers(low: float, high: float, count: int = 6) -> list[Tick]:
    """Ticks at whole numbers alone, about `count` of them."""
    step = max(1, round(_step(low, high, count)))
    return [(float(i), number(i)) for i in range(-(-math.ceil(low) // step) * step,
                                                  math.floor(high) + 1, step)]  # fmt: skip


def _step(low: float, high: float, count: int) -> float:
    """A round distance of ticks, 1, 2 or 5 times a power of ten."""
    rough = (high / max(count, 1)) - (low / max(count, 1))
    if not (math.isfinite(rough) and rough > 0):
        return 0.0
    power = 10.0 ** math.floor(math.log10(rough))
    if power == 0.0 or max(abs(low), abs(high)) / rough > 10.0**_MOST_DIGITS:
        return 0.0
    return next((s * power for s in _STEPS if s * power >= 0.75 * rough), 10.0 * power)


def _digits(largest: float, step: float) -> int:
    """Significant digits that tell one tick from the next."""
    if largest <= 0:
        return 3
    return min(max(math.floor(math.log10(largest)) - math.floor(math.log10(step)) + 1, 3),
               _MOST_DIGITS)  # fmt: skip
