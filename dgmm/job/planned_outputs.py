"""What the outputs of a job take: of a row on disk, and of a chunk in memory."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.transforms.asked_step import RESIDUAL
from dgmm.job.memory_plan import Work
from dgmm.job.planned_classes import PlannedClasses
from dgmm.job.stages import product_names, residual_products
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.blocks import BlockGrid
from dgmm.scoring.output_registry import ROW_OUTPUTS, row_output
from dgmm.scoring.scoring_pass import chunk_blocks, responsibilities_chunk_rows


def output_row_bytes(
    job: Job,
    dataset: StoredDataset,
    work: Work,
    model: MixtureModel | None,
    classes: PlannedClasses | None,
) -> int:
    """Bytes of a row of all arrays that are written."""
    if classes is not None:
        return classes.output_row_bytes(job, dataset.n_features)
    steps = None if model is None else model.preprocess
    flagged = job.anomaly_rule.value is not None
    names = product_names(job, anomaly=flagged, steps=steps)
    sizes = work.n_components, dataset.n_features
    return sum(row_output(name).row_bytes(*sizes) for name in names)


def output_chunk_bytes(job: Job, grid: BlockGrid, k: int, model: MixtureModel | None) -> int:
    """A chunk of every array with one value per row; of posteriors a block and what is written."""
    steps = None if model is None else model.preprocess
    outputs = [row_output(name) for name in product_names(job, anomaly=True, steps=steps)]
    sizes, residuals = (k, grid.n_features), residual_products(job, steps)
    flat = sum(
        o.row_bytes(*sizes) for n, o in ROW_OUTPUTS.items() if not o.is_wide and n != RESIDUAL
    )
    flat += sum(row_output(name).row_bytes(*sizes) for name in residuals)
    chunk = chunk_blocks(grid) * grid.rows_per_block * flat
    chunk += 2 * grid.rows_per_block * 8 * len(residuals)  # of a block, read and beside its rows
    if any(output.needs_posteriors for output in outputs):
        chunk += grid.rows_per_block * k * 4
    imputed = sum(output.row_bytes(*sizes) for output in outputs if output.is_per_feature)
    chunk += grid.rows_per_block * 2 * imputed  # a block, and what is written of it
    wide = sum(output.row_bytes(*sizes) for output in outputs if output.is_per_component)
    return chunk + responsibilities_chunk_rows(grid, k) * wide
