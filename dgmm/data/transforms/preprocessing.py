"""All steps of `preprocess` with their numbers, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dgmm.data.transforms.asked_step import AskedStep, residual_names
from dgmm.data.transforms.elementwise import n_outside
from dgmm.data.transforms.fitted_step import ElementwiseStep, FittedStep, step_of
from dgmm.data.transforms.location import Location
from dgmm.errors import DataError
from dgmm.runtime.blas_threads import limited_thread

Floats = NDArray[np.float64]
Counts = tuple[NDArray[np.int64], ...]
#: Rows that are transformed at once.
_SLICE_ROWS = 4096


def prepared_type(dtype: DTypeLike) -> np.dtype[Any]:
    """Type of transformed values: float32 of float32 rows, else float64."""
    return np.dtype(np.float32 if np.dtype(dtype) == np.float32 else np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """From the features that a user has to those that a mixture is fitted to.

    Parameters
    ----------
    input_names : tuple of str
        Of the features before the first step.
    asked : tuple of dict
        What the job asked for (`AskedStep.record`).
    steps : tuple of FittedStep
        In order.
    n_outside : tuple of dict
        Step by step, how many values of the fitted rows lay outside its domain, by feature.
    """

    input_names: tuple[str, ...]
    asked: tuple[dict[str, Any], ...] = ()
    steps: tuple[FittedStep, ...] = ()
    n_outside: tuple[dict[str, int], ...] = ()

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of the features behind the last step."""
        return self.steps[-1].output_names if self.steps else self.input_names

    @property
    def residual_names(self) -> tuple[str, ...]:
        """One for each step that has a residual, in order (r)."""
        return residual_names(step.kind for step in self.steps)

    def then(self, asked: AskedStep, step: FittedStep) -> Self:
        """With one more step."""
        return replace(
            self,
            asked=(*self.asked, asked.record()),
            steps=(*self.steps, step),
            n_outside=(*self.n_outside, {}),
        )

    def with_counts(self, counts: Counts) -> Self:
        """With how many values of each feature (d,) each step has made missing."""
        named = [
            {name: int(n) for name, n in zip(step.output_names, own, strict=True) if n}
            for step, own in zip(self.steps, counts, strict=True)
        ]
        return replace(self, n_outside=tuple(named))

    @limited_thread()
    def apply(self, rows: NDArray[Any]) -> Floats:
        """Rows (b, d) of any real type transformed (b, d'), float64; NaN stays missing.

        The bits of a row do not depend on which rows stand beside it.
        """
        found = np.empty((len(rows), len(self.output_names)))
        for start in range(0, len(rows), _SLICE_ROWS):
            own = slice(start, start + _SLICE_ROWS)
            found[own] = self.applied(rows[own])[0]
        return found

    @limited_thread()
    def apply_with_residuals(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        """Rows as `apply` gives them, and their residuals (b, r).

        A residual is the distance of a row, in the units in which that `pca` was fitted, from what
        the kept components give back of it; NaN where a value is missing.
        """
        found = np.empty((len(rows), len(self.output_names)))
        residuals = np.empty((len(rows), len(self.residual_names)))
        for start in range(0, len(rows), _SLICE_ROWS):
            own = slice(start, start + _SLICE_ROWS)
            values, i = np.asarray(rows[own], dtype=np.float64), 0
            for step in self.steps:
                values, distance = step.apply_with_residual(values)
                if distance is not None:
                    residuals[own, i] = distance
                    i += 1
            found[own] = values
        return found, residuals

    def applied(self, rows: NDArray[Any]) -> tuple[Floats, Counts]:
        """A few rows transformed, and how many values each step has made missing."""
        values, counts = np.asarray(rows, dtype=np.float64), []
        for step in self.steps:
            before, values = values, step.apply(values)
            is_alone = isinstance(step, ElementwiseStep)
            none = np.zeros(values.shape[1], dtype=np.int64)
            counts.append(n_outside(before, values) if is_alone else none)
        return values, tuple(counts)

    @limited_thread()
    def inverse(self, rows: Floats) -> Floats:
        """Rows (b, d) in the user's features and units that these (b, d') came from.

        Clipping leaves them as they are, and components give the nearest rows.
        """
        for step in reversed(self.steps):
            rows = step.inverse(rows)
        return rows

    @property
    def locations(self) -> tuple[Location, ...]:
        """What `inverse` gives of a component's mean, for each of the user's features."""
        found = (Location.MEAN,) * len(self.output_names)
        for step in reversed(self.steps):
            found = step.locations(found)
        return found

    def units(self, given: Mapping[str, str]) -> dict[str, str]:
        """Units that features still have."""
        lost = {name for step in self.steps for name in step.unitless}
        names = {*self.output_names} - lost
        return {name: unit for name, unit in given.items() if name in names}

    def record(self) -> dict[str, Any]:
        """As JSON, exact: floats are written so that they read back bit-identical."""
        return {
            "input_names": list(self.input_names),
            "asked": list(self.asked),
            "steps": [step.record() for step in self.steps],
            "n_outside": list(self.n_outside),
        }

    @classmethod
    def of_record(cls, record: Any) -> Self:
        """What `record` described.

        Raises
        ------
        DataError
            If it describes none.
        """
        try:
            names = tuple(map(str, record["input_names"]))
            found = cls(names, tuple(map(dict, record["asked"])))
            steps: list[FittedStep] = []
            for described in record["steps"]:
                steps.append(step_of(described, steps[-1].output_names if steps else names))
            counts = tuple(map(dict, record["n_outside"]))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"no preprocess is described: {error}") from error
        return replace(found, steps=tuple(steps), n_outside=counts)


def record_of_asked(asked: Sequence[AskedStep]) -> list[dict[str, Any]]:
    """What a job asked for, as JSON."""
    return [step.record() for step in asked]
