"""Features, and numbers, that a Python user names: checked, with what was found and expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from dgmm.errors import DataError

Feature = str | int
_MOST_NAMES = 20
#: Of fewer draws a quantile has no error to speak of.
_FEWEST_DRAWS = 100


def numbers_of(names: Sequence[str], features: Any) -> list[int]:
    """Numbers of features that are given by name, or by number from 0.

    Raises
    ------
    DataError
        If one is unknown or comes twice, or there is none.
    """
    is_list = isinstance(features, Iterable) and not isinstance(features, str)
    found = [_number(names, feature) for feature in features] if is_list else []
    if not found:
        raise DataError(f"features are {features!r}; expected a list of names or numbers")
    twice = [names[i] for n, i in enumerate(found) if i in found[:n]]
    if twice:
        raise DataError(f"feature {twice[0]!r} is given twice; give each once")
    return found


def _number(names: Sequence[str], feature: Any) -> int:
    if isinstance(feature, str):
        if feature in names:
            return names.index(feature)
        known = ", ".join(names[:_MOST_NAMES])
        raise DataError(f"there is no feature {feature!r}; expected one of {known}")
    is_number = isinstance(feature, Integral) and not isinstance(feature, bool)
    if is_number and 0 <= int(feature) < len(names):
        return int(feature)
    raise DataError(
        f"feature {feature!r} is neither a name nor a number from 0 to {len(names) - 1}"
    )


def value_of(name: Feature, value: Any) -> float:
    """A feature's value.

    Raises
    ------
    DataError
        If it is no finite number.
    """
    if _is_number(value) and math.isfinite(float(value)):
        return float(value)
    raise DataError(f"the value of feature {name!r} is {value!r}; expected a finite number")


def share_of(name: str, value: Any) -> float:
    """A share.

    Raises
    ------
    DataError
        If it is no number between 0 and 1.
    """
    if _is_number(value) and 0.0 < float(value) < 1.0:
        return float(value)
    raise DataError(f"{name} is {value!r}; expected a number above 0 and below 1")


def count_of(name: str, value: Any) -> int:
    """How many rows are drawn.

    Raises
    ------
    DataError
        If that is no integer of at least 100.
    """
    if isinstance(value, Integral) and int(value) >= _FEWEST_DRAWS:
        return int(value)
    raise DataError(f"{name} is {value!r}; expected an integer of at least {_FEWEST_DRAWS}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def generator_of(name: str, value: Any) -> np.random.Generator:
    """A source of randomness, as it is or by its seed.

    Raises
    ------
    DataError
        If it is neither a generator of NumPy nor an integer of at least 0.
    """
    if isinstance(value, np.random.Generator):
        return value
    if not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= 0:
        return np.random.default_rng(int(value))
    raise DataError(
        f"{name} is {value!r}; expected a numpy.random.Generator, or an integer of at least 0 as "
        "its seed"
    )
