"""What a fit of classes is asked for, beside what each mixture is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError
from dgmm.terminal_text import listed

Priors = Literal["data", "uniform"] | Mapping[str, float]
#: What given priors may differ from 1 by, summed.
_SUM = 1e-6


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """How classes are weighed, and evaluated.

    Attributes
    ----------
    priors
        Probability of each class: its share of the rows, the same of all, or given by name.
    folds
        Parts of the rows (or groups) that are held out one after the other; 0 for none.
    """

    priors: Priors = "data"
    folds: int = 0

    def of(self, names: Sequence[str], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities (C,) of the classes of those names, which have so many rows.

        Raises
        ------
        DataError
            If given ones are not of these classes, are not positive, or do not sum to 1.
        """
        if self.priors in ("data", "uniform"):
            shares = counts if self.priors == "data" else np.ones(len(names))
            return np.asarray(shares / shares.sum(), dtype=np.float64)
        if not isinstance(self.priors, Mapping) or not all(map(_is_number, self.priors.values())):
            raise DataError(
                f"classes.priors is {safe_text(repr(self.priors))}; expected data, uniform, or a "
                "number for each class"
            )
        given = {str(name): float(value) for name, value in self.priors.items()}
        lacking = [name for name in names if name not in given]
        unknown = [name for name in given if name not in names]
        if lacking or unknown:
            what = f"lacks {listed(lacking, 6)}" if lacking else f"names {listed(unknown, 6)}"
            raise DataError(
                f"classes.priors {what}; expected a number for each class of the data: "
                f"{listed(names, 12)}"
            )
        total = math.fsum(given.values())
        if not (min(given.values()) > 0 and abs(total - 1.0) <= _SUM):  # NaN is refused too
            raise DataError(
                f"classes.priors: expected numbers above 0 that sum to 1; they sum to {total:.9g} "
                f"and the smallest is {min(given.values()):g}"
            )
        return np.array([given[name] for name in names]) / total


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
