"""Which changes are alarms: those that are large and exceed chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.drift.chance import chi_square_quantile, tail_of
from dgmm.fitting.drift.measure import Drift

Array = NDArray[np.float64]

#: Standard errors beyond which a weight or a rate is no chance, where `significance` is 3: a normal
#: deviate exceeds 4 once in 30,000 draws, and a run tests every weight.
STANDARD_ERRORS, USUAL_SIGNIFICANCE = 4.0, 3.0

#: What has changed: a component's place or shape, its weight, or the rate of anomalies.
AlarmKind = Literal["component", "weight", "anomalies"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One change that is large and exceeds chance; `component` is None of the rate of anomalies."""

    kind: AlarmKind
    component: int | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How large a change is an alarm, and how far it must exceed chance.

    Attributes
    ----------
    hellinger
        Of the distance between a component and its successor.
    weight
        Of the difference of its weights.
    anomaly_ratio
        Of the rate of anomalies, over the expected one.
    significance
        Of 8·B·n_k/p. Rows that are correlated in runs of r are worth n/r: raise it r times. The
        tests of weights and rates follow it: 4 standard errors at 3, twice as many at 12.
    """

    hellinger: float = 0.07
    weight: float = 0.02
    anomaly_ratio: float = 2.0
    significance: float = USUAL_SIGNIFICANCE

    @property
    def standard_errors(self) -> float:
        """Beyond which a weight or a rate is no chance."""
        return STANDARD_ERRORS * math.sqrt(self.significance / USUAL_SIGNIFICANCE)

    def significance_needed(self, n_parameters: Array) -> Array:
        """What 8·B·n_k/p has to exceed, (k,): `significance`, and more where p is small.

        8·B·n_k is about χ² of p degrees of freedom without drift. With p = 2 it exceeds 3 p in 5 %
        of all draws: there its own quantile takes the place, which is exceeded as rarely as four
        standard errors are.
        """
        quantile = chi_square_quantile(n_parameters, tail_of(STANDARD_ERRORS)) / n_parameters
        return np.maximum(self.significance, quantile * self.significance / USUAL_SIGNIFICANCE)

    def alarms(self, drift: Drift) -> tuple[Alarm, ...]:
        """Every change that is both large and significant."""
        with np.errstate(invalid="ignore"):  # NaN: not known, and no alarm
            moved = (drift.hellinger > self.hellinger) & (
                drift.significances > self.significance_needed(drift.n_parameters)
            )
            weighed = (np.abs(drift.weight_changes) > self.weight) & (
                np.abs(drift.weight_errors) > self.standard_errors
            )
        found = [Alarm("component", int(j)) for j in np.flatnonzero(moved)]
        found += [Alarm("weight", int(j)) for j in np.flatnonzero(weighed)]
        return (*found, Alarm("anomalies")) if self._too_many(drift) else tuple(found)

    def _too_many(self, drift: Drift) -> bool:
        if drift.rate is None or drift.new_rate is None or drift.rate_errors is None:
            return False
        is_large = drift.new_rate > self.anomaly_ratio * drift.rate
        return is_large and drift.rate_errors > self.standard_errors
