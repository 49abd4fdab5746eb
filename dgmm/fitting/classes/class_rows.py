"""Which rows the mixture of a class sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_block import RowBlock


@dataclass(frozen=True, slots=True)
class ClassRows:
    """Rows of a class, but for those of a fold; a `RowFilter`.

    Attributes
    ----------
    label : int
        Code of the class.
    held_out : int or None
        The fold whose rows are not seen; None sees all.
    """

    label: int
    held_out: int | None = None

    def __call__(self, block: RowBlock) -> NDArray[np.bool_]:
        """Rows of a block that are seen, (b,)."""
        labels = block.labels
        if labels is None:
            raise RuntimeError("rows of classes were read without them")
        own = labels.classes == self.label
        if self.held_out is not None and labels.folds is not None:
            own &= labels.folds != self.held_out
        return np.asarray(own)
