"""What run.json holds of a noise component."""

from __future__ import annotations

from typing import TypedDict


class NoiseRecord(TypedDict):
    """The noise component: its weight, and its box in user units.

    `low` and `high` are the bounds of each feature, and `log_volume` is Σ log(high − low):
    likelihoods of two runs with noise compare where these are equal. Rows whose most probable
    component is the noise are the last of `label_counts`.
    """

    weight: float
    log_volume: float
    low: list[float]
    high: list[float]
