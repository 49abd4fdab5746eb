"""Classes of a classifier in Python: of which kinds they are, and what files call them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import DataError
from dgmm.model.classifier import ClassName
from dgmm.python_warnings import warn
from dgmm.sklearn_classes import DataConversionWarning

_FEWEST_CLASSES = 2
_EXPECTED = "integers, whole numbers or text, of one kind"


def labels_of(y: Any, n_samples: int) -> NDArray[Any]:
    """Labels as one array (n,); a column of them is taken with a warning, as by scikit-learn."""
    if y is None:
        raise DataError("requires y to be passed, but the target y is None: give a class per row")
    labels = np.asarray(y)
    if labels.shape == (n_samples, 1):
        text = "A column-vector y was passed when a 1d array was expected: its column is taken"
        warn([text], DataConversionWarning)
        labels = labels[:, 0]
    if labels.shape != (n_samples,):
        raise DataError(f"y has shape {labels.shape}; expected ({n_samples},): a class per row")
    return labels


def classes_of(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Distinct classes, and which of them each row has.

    Raises
    ------
    DataError
        If a row has none, there is one class, or they are numbers that are no classes.
    """
    lacking = [i for i, one in enumerate(labels.tolist()) if _is_missing(one)]
    if lacking:
        raise DataError(
            f"y has {len(lacking):,} of {len(labels):,} rows without a class (NaN, NA or None), "
            f"the first in row {lacking[0]}: leave such rows out"
        )
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise DataError(f"y holds classes that have no order: expected {_EXPECTED}") from error
    if classes.dtype.kind in "fc" and (wrong := classes[classes != np.round(classes)]).size:
        raise DataError(
            f"Unknown label type: y holds {wrong[0]}, a continuous value; expected {_EXPECTED}"
        )
    if len(classes) < _FEWEST_CLASSES:
        raise DataError(f"y has {len(classes)} class; expected at least {_FEWEST_CLASSES}")
    return classes, codes


def names_of(classes: NDArray[Any]) -> list[ClassName]:
    """Classes as files hold them: whole numbers as integers."""
    names = [whole(one) for one in classes.tolist()]
    if wrong := [one for one in names if type(one) not in (int, str)]:
        text = ": y.astype(str) makes text of bytes" if isinstance(wrong[0], bytes) else ""
        raise DataError(f"y holds the class {wrong[0]!r}; expected {_EXPECTED}{text}")
    return names


def _is_missing(value: Any) -> bool:
    """Whether a label is None, NaN or the NA of pandas, which is neither equal nor unequal."""
    if value is None:
        return True
    differs = value != value  # noqa: PLR0124 - NaN
    return not isinstance(differs, bool | np.bool_) or bool(differs)


def whole(value: Any) -> Any:
    """A truth value or whole float as an integer, anything else as it is."""
    is_whole = isinstance(value, bool | np.bool_)
    return int(value) if is_whole or (isinstance(value, float) and value.is_integer()) else value
