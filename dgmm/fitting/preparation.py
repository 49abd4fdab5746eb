"""What is learnt of the data before a fit, in one read: counts, ranges, a sample, units."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.data_warnings import data_warnings
from dgmm.data.summary.repeated_values import RepeatedValue, repeated_values, repetition_warnings
from dgmm.data.summary.summarise import Summary, summarise
from dgmm.errors import DataError
from dgmm.fitting.em.acceleration import ACCELERATIONS, Acceleration
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.fitting.em.regularisation import regularisation_of, regularisation_warnings
from dgmm.fitting.em.saved_progress import NOTHING_KEPT, SavedProgress
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.initialisation import METHODS, METHODS_OVER_ALL_ROWS
from dgmm.mixture.backends import BACKENDS, select, why_not_compiled
from dgmm.mixture.covariance import FAMILIES, Family, family_named
from dgmm.mixture.kernels import Guard
from dgmm.reduction.executor import Executor
from dgmm.runtime.environment import all_compile_alike

Array = NDArray[np.float64]

#: The sample for starts: this many rows or this many a component, within this many bytes.
_SAMPLE_ROWS, _SAMPLE_ROWS_PER_COMPONENT, _SAMPLE_BYTES = 100_000, 100, 256 * 1024 * 1024


#: Standardised distance whose square, summed over features, still fits float64.
_FARTHEST = 1e150


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What a fit is asked for; names and meanings are those of the job file and scikit-learn.

    Raises
    ------
    DataError
        If a setting means nothing; NumPy's numbers become Python's, which do not overflow.
    """

    n_components: int
    covariance_type: str = "full"
    tol: float = 1e-4
    max_iter: int = 200
    n_init: int = 1
    reg_covar: float = 0.0
    reg_covar_relative: float = 1e-6
    acceleration: Acceleration = "squarem"
    on_collapse: Literal["reseed", "drop"] = "reseed"
    method: str = "kmeans"
    sample_rows: int | None = None
    n_sample_starts: int | None = None
    missing: Literal["error", "drop"] = "error"
    backend: Literal["auto", "numpy", "numba"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        checked: dict[str, int | float] = {}
        for name, least in {"n_components": 1, "max_iter": 0, "n_init": 1, "seed": 0}.items():
            checked[name] = whole_number(name, getattr(self, name), least)
        if self.sample_rows is not None:
            checked["sample_rows"] = whole_number("sample_rows", self.sample_rows, 1)
        if self.n_sample_starts is not None:
            checked["n_sample_starts"] = whole_number("n_sample_starts", self.n_sample_starts, 0)
        for name in ("tol", "reg_covar", "reg_covar_relative"):
            checked[name] = _number(name, getattr(self, name))
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        _check_choice("covariance_type", self.covariance_type, FAMILIES)
        _check_choice("init_params", self.method, (*METHODS, *METHODS_OVER_ALL_ROWS))
        _check_choice("acceleration", self.acceleration, ACCELERATIONS)
        _check_choice("on_collapse", self.on_collapse, ("reseed", "drop"))
        _check_choice("missing", self.missing, ("error", "drop"))
        _check_choice("backend", self.backend, BACKENDS)


def whole_number(name: str, value: Any, least: int) -> int:
    """The setting's value as Python's int; a DataError unless it is an integer of at least that."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise DataError(f"{name} is {value!r}; expected an integer of at least {least}")
    return int(value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise DataError(f"{name} is {value!r}; expected a finite number of at least 0")
    return float(value)


def _check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise DataError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFit:
    """Data and job as a fit sees them.

    Attributes
    ----------
    family
        The covariance family asked for.
    summary
        Counts, moments, extremes and the sample, in user units.
    standardisation
        From the sample.
    sample : (m, d)
        Standardised, float64.
    conditions
        What all candidates have in common.
    backend
        Name of what computes the passes of this fit: selected once, for all workers, and saved.
    warnings
        What a user should know of the data.
    repeated_values
        Values that many rows share, and cells equal to the array's fill value.
    """

    family: Family
    summary: Summary
    standardisation: Standardisation
    sample: Array
    conditions: EMProblem
    backend: str
    warnings: tuple[str, ...]
    repeated_values: tuple[RepeatedValue, ...]

    @property
    def regularisation(self) -> Array:
        """What is added to the variances (d,), standardised units."""
        return self.conditions.collapse.regularisation


def sample_rows(settings: FitSettings, n_features: int) -> int:
    """Rows of the sample: max(100,000, 100·k), at most 256 MiB of float64, at least 1000.

    A function of the job and the data alone, never of the cluster: the bits of the start follow it.
    """
    if settings.sample_rows is not None:
        return settings.sample_rows
    wanted = max(_SAMPLE_ROWS, _SAMPLE_ROWS_PER_COMPONENT * settings.n_components)
    return max(min(wanted, _SAMPLE_BYTES // (8 * n_features)), 1000)


def survey(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    kept: SavedProgress = NOTHING_KEPT,
) -> PreparedFit:
    """Read all rows once and settle units, regularisation and the guard.

    Raises
    ------
    DataError
        If the data cannot be fitted (missing values, fewer rows than components).
    """
    family = family_named(settings.covariance_type)
    _check_sizes(dataset.n_samples, settings)

    def read() -> Summary:
        return summarise(
            dataset,
            executor,
            missing=settings.missing,
            sample_rows=sample_rows(settings, dataset.n_features),
            seed=settings.seed,
            of_pass=kept.of_pass,
        )

    summary = kept.once("summary", read)
    _check_sizes(summary.n_kept, settings)
    standardisation = kept.once(
        "standardisation",
        lambda: Standardisation.from_sample(
            summary.sample, dataset.dtype, common_scale=family.common_scale
        ),
    )
    _check_range(summary, standardisation, dataset)
    sample = standardisation.apply_to_sample(summary.sample)
    regularisation, floored = kept.once(
        "regularisation",
        lambda: regularisation_of(
            family,
            standardisation,
            sample,
            reg_covar=settings.reg_covar,
            reg_covar_relative=settings.reg_covar_relative,
        ),
    )
    conditions = _conditions(dataset, settings, summary, standardisation, sample, regularisation)
    fill_value = None if dataset.fill_value is None else dataset.fill_value.value
    repeated = repeated_values(summary, standardisation.is_constant, fill_value)
    backend = kept.once("arithmetic", lambda: _backend(dataset, executor, settings, family))
    warnings = (
        *data_warnings(summary, standardisation, dataset),
        *repetition_warnings(repeated, dataset.feature_names),
        *regularisation_warnings(
            family,
            standardisation,
            summary.variance,
            dataset.feature_names,
            settings.reg_covar,
        ),
        *floored,
        *_compiling_warnings(),
    )
    return PreparedFit(
        family, summary, standardisation, sample, conditions, backend, warnings, repeated
    )


def _backend(dataset: Dataset, executor: Executor, settings: FitSettings, family: Family) -> str:
    """Numba only where driver and workers have the same: bits follow it."""
    per_row = settings.n_components + family.width(dataset.n_features)
    is_everywhere = all_compile_alike(executor.environment())
    numbers = dataset.n_samples * per_row
    return select(settings.backend, numbers, is_everywhere=is_everywhere)


def _compiling_warnings() -> Iterator[str]:
    if (reason := why_not_compiled()) is not None:
        yield (
            f"Numba is installed but cannot be loaded ({reason}): passes are computed with NumPy, "
            "which takes longer. Install numba and llvmlite again"
        )


def _check_range(summary: Summary, standardisation: Standardisation, dataset: Dataset) -> None:
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


def _check_sizes(n_rows: int, settings: FitSettings) -> None:
    if n_rows == 1:
        raise DataError("one row has no variance (n_samples=1), expected at least 2 rows")
    if n_rows < settings.n_components:
        raise DataError(
            f"{n_rows:,} rows cannot be parted into {settings.n_components} components: "
            "lower model.n_components"
        )


def _conditions(
    dataset: Dataset,
    settings: FitSettings,
    summary: Summary,
    standardisation: Standardisation,
    sample: Array,
    regularisation: Array,
) -> EMProblem:
    low = standardisation.means_from_user(summary.minimum)
    high = standardisation.means_from_user(summary.maximum)
    return EMProblem(
        tol=settings.tol,
        max_iter=settings.max_iter,
        collapse=CollapsePolicy(settings.on_collapse, sample, regularisation),
        guard=Guard.of_range(low, high),
        single=dataset.dtype == np.float32,
        log_volume=float(np.log(standardisation.scale).sum()),
        acceleration=settings.acceleration,
    )
