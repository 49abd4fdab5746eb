"""How much variance is added to classes of few rows: what held-out rows of the sample prefer.

It is one share for all classes together, so that no class is sure of other classes' rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.classes.class_preparation import Part, PreparedClasses
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.shrinkage import (
    ROWS_PER_PARAMETER,
    Shrinkage,
    added_by,
    held_out_of_folds,
    preferred,
    with_added,
)
from dgmm.mixture.criteria import n_parameters
from dgmm.reduction.executor import Executor

#: Halves of a class's rows, and rows that are used, at most.
_FOLDS, _ROWS = 2, 2000
#: Classes that are asked, at most: it is one number for all.
_CLASSES = 32


def is_due(prepared: PreparedClasses, settings: FitSettings) -> bool:
    """Whether a class has few rows, and the settings leave regularisation open."""
    is_open = settings.shrinkage == "auto" and settings.inference == "maximum_likelihood"
    return is_open and len(_of_few_rows(prepared, settings)) > 0


def _of_few_rows(prepared: PreparedClasses, settings: FitSettings) -> NDArray[np.intp]:
    """Classes of fewer rows than `ROWS_PER_PARAMETER` asks for."""
    d, family = len(prepared.whole.minimum), prepared.labelled.family
    few = ROWS_PER_PARAMETER * n_parameters(family, settings.n_components, d)
    return np.flatnonzero(prepared.n_rows < few)


def chosen_shrinkage(prepared: PreparedClasses, settings: FitSettings, here: Executor) -> Shrinkage:
    """The share that held-out rows of the sample prefer; the largest of equals.

    All classes are asked where they are few; of many, those of few rows alone, which need it, and
    of these at most `_CLASSES`, evenly spaced: 200 of 20 rows took 70 % of a fit's time.
    """
    labels = np.arange(len(prepared.n_rows))
    if len(labels) > _CLASSES:
        few = _of_few_rows(prepared, settings)
        labels = few[:: -(-len(few) // _CLASSES)]
    return preferred(
        [
            held_out_of_folds(
                prepared.parts[Part(label)], settings, (label,), (_FOLDS, _ROWS), here
            )
            for label in labels.tolist()
        ]
    )


def with_shrinkage(prepared: PreparedClasses, share: float, reg_covar: float) -> PreparedClasses:
    """The same with that regularisation, beside what is given, in every mixture."""
    added = added_by(prepared.labelled, share, reg_covar)
    parts = {part: with_added(one, added) for part, one in prepared.parts.items()}
    return replace(prepared, labelled=with_added(prepared.labelled, added), parts=parts)
