"""What is fitted as a whole: two synthetic mixtures whose clusters overlap, and the photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.mixtures import overlapping_rows

_TRIAL_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FitData:
    """One data set: its name among the goals, and what is fitted to it."""

    name: str
    covariance_type: str
    n_components: int

    @property
    def part(self) -> str:
        """The heading of its measurements."""
        what = {
            "full": "1,000,000 × 16, k = 32, full",
            "tied": "1,000,000 × 16, k = 32, tied",
            "photographs": "photographs, 542,300 × 27, k = 32, full",
        }
        return what[self.name]

    def rows(self, *, is_trial: bool = False) -> NDArray[Any]:
        """The rows in memory; for a trial every so-manieth of them."""
        if self.name == "photographs":
            X = _photographs()
        else:
            n = _TRIAL_ROWS if is_trial else 1_000_000
            X = overlapping_rows(n, 16, 32, seed=10, tied=self.covariance_type == "tied")
        return np.ascontiguousarray(X[:: len(X) // _TRIAL_ROWS]) if is_trial else X


DATA_SETS = (
    FitData("full", "full", 32),
    FitData("tied", "tied", 32),
    FitData("photographs", "full", 32),
)


def _photographs() -> NDArray[np.float32]:
    """The rows that jobs/photos.py prepares: pixels with their eight neighbours, float32."""
    from jobs.photos import Recipe, neighbourhoods, noisy, photographs  # noqa: PLC0415 - needs Pillow

    seed = Recipe().seed
    parts = [neighbourhoods(noisy(image, i, seed)) for i, image in enumerate(photographs())]
    return np.concatenate(parts)
