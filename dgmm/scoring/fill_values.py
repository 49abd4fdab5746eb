"""Cells that may stand for missing values, in rows that are scored: counted, or refused."""

from __future__ import annotations

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import SelectedRows
from dgmm.data.row_block import RowBlock
from dgmm.errors import DataError


def filled_rows(dataset: Dataset, block: RowBlock, selected: SelectedRows) -> int:
    """Rows that are scored and have a cell equal to the array's fill value.

    Zero is not looked for: nobody has chosen it, and it is a number like others. Values outside
    the valid range are refused.

    Raises
    ------
    DataError
        As a fit refuses it in its summary.
    """
    _refuse_outside(dataset, block, selected)
    rows, fill = selected.values, dataset.fill_value
    return 0 if fill is None or fill.value == 0 else fill.rows_with_it(rows)


def _refuse_outside(dataset: Dataset, block: RowBlock, selected: SelectedRows) -> None:
    """Refuse rows that are scored with values outside the array's valid range."""
    if (valid := dataset.valid_range) is None:
        return
    if count := valid.rows_outside(selected.values):
        counts = f"in {count:,} of {selected.n_read:,} rows from row {block.start} on"
        raise DataError(valid.refusal(counts))
