"""What run.json holds of missing values."""

from __future__ import annotations

from typing import TypedDict


class _MissingSeconds(TypedDict, total=False):
    """CPU seconds that a pass takes, estimated; earlier records have none."""

    seconds: float


class Missing(_MissingSeconds):
    """Missing values that are marginalised over; `cost` of a pass over that of complete rows.

    `patterns`: different sets of features that rows lack, null where they are more than 4,096.
    """

    patterns: int | None
    cost: float | str
