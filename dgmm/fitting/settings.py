"""What a fit is asked for, checked value by value."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from dgmm.errors import DataError
from dgmm.fitting.em.acceleration import ACCELERATIONS, Acceleration
from dgmm.fitting.initialisation import INITIALISERS
from dgmm.fitting.prior_settings import INFERENCES, NO_PRIOR, InferenceName, PriorSettings
from dgmm.mixture.backends import BACKENDS
from dgmm.mixture.covariance import FAMILIES


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What a fit is asked for; names and meanings are those of the job file and scikit-learn.

    With `shrinkage` auto, `reg_covar_relative` holds where rows are many for the parameters, and
    is chosen by held-out rows where they are few.

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
    missing: Literal["error", "drop", "marginalise"] = "error"
    backend: Literal["auto", "numpy", "numba"] = "auto"
    seed: int = 0
    accept_cost: bool = False
    inference: InferenceName = "maximum_likelihood"
    prior: PriorSettings = NO_PRIOR
    shrinkage: Literal["none", "auto"] = "none"
    component_order: Literal["start", "weight"] = "start"
    noise: bool = False
    freeze: tuple[int, ...] = ()

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
        INITIALISERS.named(self.method)
        _check_choice("acceleration", self.acceleration, ACCELERATIONS)
        _check_choice("on_collapse", self.on_collapse, ("reseed", "drop"))
        _check_choice("missing", self.missing, ("error", "drop", "marginalise"))
        _check_choice("backend", self.backend, BACKENDS)
        _check_choice("component_order", self.component_order, ("start", "weight"))
        _check_choice("inference", self.inference, INFERENCES)
        if self.inference == "maximum_likelihood" and (given := self.prior.given()):
            raise DataError(
                f"{given[0]} is given, but inference maximum_likelihood has no prior: set "
                "inference to map or variational, or leave it out"
            )
        if self.inference == "variational" and self.missing == "marginalise":
            raise DataError(
                "inference is variational and missing is marginalise; expected missing error or "
                "drop, or inference map, which takes rows that lack values"
            )
        self._check_noise()
        if self.freeze:
            self._check_frozen()

    def _check_noise(self) -> None:
        """Refuse noise that is no truth value, and with what it is not defined for."""
        if not isinstance(self.noise, bool | np.bool_):
            raise DataError(f"noise is {self.noise!r}; expected true or false")
        if self.noise and self.inference == "variational":
            raise DataError(
                "noise is true and inference is variational, whose prior is of Gaussians alone; "
                "expected inference maximum_likelihood or map"
            )
        if self.noise and self.missing == "marginalise":
            raise DataError(
                "noise is true and missing is marginalise: a row that lacks values would need the "
                "box of those that it has, and its density compare with no other row's; expected "
                "missing error or drop"
            )

    def _check_frozen(self) -> None:
        """Refuse to freeze what there is not, and what is no component's own."""
        k, frozen = self.n_components, self.freeze
        if len(set(frozen)) < len(frozen) or not all(0 <= j < k for j in frozen):
            raise DataError(
                f"freeze is {list(frozen)}; expected numbers of components, from 0 to "
                f"{k - 1}, each once"
            )
        if self.method != "given":
            raise DataError(
                "freeze needs a model to take components from: set initialisation.method to given"
            )
        if FAMILIES[self.covariance_type].is_shared:
            raise DataError(
                f"freeze is given, and {self.covariance_type} components share their "
                "covariance: choose another model.covariance_type"
            )
        if self.inference == "variational":
            raise DataError(
                "freeze is given, but the parameters of variational inference are "
                "distributions: set model.inference to maximum_likelihood or map"
            )

    @property
    def name(self) -> str:
        """What tells the model from others of the same data: `full-8`."""
        return f"{self.covariance_type}-{self.n_components}"


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
