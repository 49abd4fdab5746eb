"""The job's `anomalies` section: which rows are flagged, and how many are listed with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from dgmm.config.settings import Settings
from dgmm.config.values import WHOLE, Share

#: Rows that are listed at most: each task holds as many, with all their values.
MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class AnomalyRule:
    """How rows are flagged.

    Attributes
    ----------
    kind : str
        `quantile`: below that quantile of the fitted rows' log densities; `rate`: that share of the
        rows to be scored; `log_density`: below that value; `model`: below the threshold of the
        model, where it has one.
    value : float or None
        The share or log density; None of `model`.
    """

    kind: Literal["quantile", "rate", "log_density", "model"] = "model"
    value: float | None = None

    @property
    def share(self) -> float | None:
        """Share of the scored rows, flagged once their densities are known; None of other rules."""
        return self.value if self.kind in ("quantile", "rate") else None

    @property
    def threshold(self) -> float | None:
        """A log density that is known before; None of other rules."""
        return self.value if self.kind == "log_density" else None


class AnomalySettings(Settings):
    """Rows of low density: which are flagged, and which are listed with their reasons."""

    quantile: Share | None = None
    """Share of the fitted rows that is flagged, those of lowest log density; their threshold is
    saved in the model. The same as `output.anomaly_quantile`."""
    rate: Share | None = None
    """Share of the rows to be scored that is flagged, those of lowest log density. Of a fit these
    are the fitted rows, as of `quantile`; of `dgmm predict` its own rows, in place of the model's
    threshold."""
    log_density: Annotated[float, Field(strict=False, allow_inf_nan=False)] | None = None
    """Rows of lower log density than this are flagged, in nats and in the units of the features
    (behind `preprocess`, of what its steps make of them)."""
    top: Annotated[int, Field(strict=True, ge=1, le=MOST_LISTED), WHOLE] | None = None
    """How many rows of lowest log density are listed with ids, component and reasons, in
    anomalies/ and in the report; null lists none."""

    def rule(self, output_quantile: float | None) -> AnomalyRule:
        """How rows are flagged; `output_quantile` is `output.anomaly_quantile`."""
        quantile = self.quantile if output_quantile is None else output_quantile
        if quantile is not None:
            return AnomalyRule("quantile", quantile)
        if self.rate is not None:
            return AnomalyRule("rate", self.rate)
        if self.log_density is not None:
            return AnomalyRule("log_density", self.log_density)
        return AnomalyRule()
