"""What preparation refuses, and what it gives reason to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.data_warnings import data_warnings
from dgmm.data.summary.repeated_values import RepeatedValue, repetition_warnings
from dgmm.data.summary.summarise import Summary
from dgmm.errors import DataError
from dgmm.fitting.em.regularisation import regularisation_warnings
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.backends import uncached_warnings, why_not_compiled
from dgmm.mixture.covariance import Family

#: Standardised distance whose square, summed over features, still fits float64.
_FARTHEST = 1e150


def preparation_warnings(
    dataset: Dataset,
    settings: FitSettings,
    family: Family,
    summary: Summary,
    standardisation: Standardisation,
    repeated: tuple[RepeatedValue, ...],
) -> Iterator[str]:
    """What the data's values, and the settings beside them, give reason to look at."""
    names = dataset.feature_names
    yield from data_warnings(summary, standardisation, dataset)
    yield from repetition_warnings(repeated, names)
    yield from regularisation_warnings(
        family, standardisation, summary.variance, names, settings.reg_covar
    )


def compiling_warnings(backend: str) -> Iterator[str]:
    """Numba that is installed and does not load, and what it compiles and cannot keep, in words.

    Parameters
    ----------
    backend
        The name of what passes are computed with.
    """
    if (reason := why_not_compiled()) is not None:
        yield (
            f"Numba is installed but cannot be loaded ({reason}): passes are computed with NumPy, "
            "which takes longer. Install numba and llvmlite again"
        )
    yield from uncached_warnings(backend)


def check_range(summary: Summary, standardisation: Standardisation, dataset: Dataset) -> None:
    """Refuse a row whose squared distance from anything overflows: no density could tell of it."""
    for values, rows in (
        (summary.minimum, summary.minimum_row),
        (summary.maximum, summary.maximum_row),
    ):
        far = np.abs(standardisation.means_from_user(values))
        i = int(far.argmax())
        if far[i] > _FARTHEST:
            raise DataError(
                f"{dataset.feature_names[i]} is {values[i]:.3g} in {dataset.locate(int(rows[i]))}, "
                f"{far[i]:.1g} times its spread from its median: its square overflows. Write NaN "
                "there and set data.missing to drop, or repair it"
            )


def check_sizes(n_rows: int, settings: FitSettings) -> None:
    """Refuse fewer rows than components, and a single row."""
    if n_rows == 1:
        raise DataError("one row has no variance (n_samples=1), expected at least 2 rows")
    if n_rows < settings.n_components:
        raise DataError(
            f"{n_rows:,} rows cannot be parted into {settings.n_components} components: "
            "lower model.n_components"
        )
