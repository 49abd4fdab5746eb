"""Classes of a classifier in Python: of which kinds they are, and what files call them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import DataError
from dgmm.model.classifier import ClassName

_FEWEST_CLASSES = 2
_EXPECTED = "integers, whole numbers or text, of one kind"


def classes_of(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Distinct classes, and which of them each row has."""
    if any(one is None or one != one for one in labels.tolist()):  # noqa: PLR0124 - NaN
        raise DataError("y has rows without a class (NaN or None): leave such rows out")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise DataError(f"y holds classes that have no order: expected {_EXPECTED}") from error
    if len(classes) < _FEWEST_CLASSES:
        raise DataError(f"y has {len(classes)} class; expected at least {_FEWEST_CLASSES}")
    return classes, codes


def names_of(classes: NDArray[Any]) -> list[ClassName]:
    """Classes as files hold them: whole numbers as integers."""
    names = [whole(one) for one in classes.tolist()]
    if wrong := [one for one in names if type(one) not in (int, str)]:
        raise DataError(f"y holds the class {wrong[0]!r}; expected {_EXPECTED}")
    return names


def whole(value: Any) -> Any:
    """A truth value or whole float as an integer, anything else as it is."""
    is_whole = isinstance(value, bool | np.bool_)
    return int(value) if is_whole or (isinstance(value, float) and value.is_integer()) else value
