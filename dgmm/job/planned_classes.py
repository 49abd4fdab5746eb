"""What a job of classes adds to a plan: mixtures of every pass, posteriors, sums of groups."""

from __future__ import annotations

from dataclasses import dataclass

from dgmm.config import Job
from dgmm.job.class_outputs import class_product_names
from dgmm.job.memory_plan import Term, Work
from dgmm.reduction.blocks import BlockGrid
from dgmm.scoring.output_registry import row_output
from dgmm.scoring.scoring_pass import chunk_blocks, responsibilities_chunk_rows

#: Classes that are counted before the labels are read: there are two at least.
_FEWEST = 2
#: Arrays (b, C) float64 that Bayes' rule makes of a block's log densities, these included.
_POSTERIOR_ARRAYS = 8
#: Sums of two subtrees, and what they merge to.
_MERGED = 3


@dataclass(frozen=True, slots=True)
class PlannedClasses:
    """Sizes of a job that classifies.

    Attributes
    ----------
    n_classes, n_folds
        How many classes, and parts that are held out.
    n_groups
        Groups whose log densities are summed; 0 where there are none, None where the labels are
        not read yet.
    is_known
        Whether the number of classes is known.
    """

    n_classes: int
    n_folds: int = 0
    n_groups: int | None = 0
    is_known: bool = True

    @classmethod
    def unread(cls, job: Job) -> PlannedClasses:
        """Of a job whose labels are not read yet: the fewest classes that there may be."""
        return cls(_FEWEST, job.classes.folds, None if job.data.groups else 0, is_known=False)

    @property
    def n_mixtures(self) -> int:
        """Mixtures of every pass of EM."""
        return self.n_classes * (1 + self.n_folds)

    @property
    def text(self) -> str:
        """For the plan's table."""
        folds = f", each without {self.n_folds} folds too" if self.n_folds else ""
        if self.is_known:
            groups = f"; {self.n_groups:,} groups" if self.n_groups else ""
            return f"{self.n_classes:,}: {self.n_mixtures:,} mixtures in every pass{folds}{groups}"
        groups = " and groups" if self.n_groups is None else ""
        return (
            f"their number is known once labels are read: counted are {self.n_classes}{folds}, the "
            f"fewest. Statistics, parameters and outputs grow with classes{groups}; memory is "
            "checked again when the job starts"
        )

    def output_row_bytes(self, job: Job, n_features: int) -> int:
        """Bytes of a row of all arrays that are written."""
        outputs = (row_output(name) for name in class_product_names(job))
        return sum(output.row_bytes(self.n_classes, n_features) for output in outputs)

    def output_chunk_bytes(self, job: Job, grid: BlockGrid) -> int:
        """A chunk of every array with one value per row; of posteriors a block, and a chunk."""
        outputs = [row_output(name) for name in class_product_names(job)]
        sizes = self.n_classes, grid.n_features
        flat = sum(output.row_bytes(*sizes) for output in outputs if not output.is_wide)
        wide = sum(output.row_bytes(*sizes) for output in outputs if output.is_wide)
        chunk_rows = responsibilities_chunk_rows(grid, self.n_classes)
        rows = grid.rows_per_block
        return chunk_blocks(grid) * rows * flat + (rows + chunk_rows) * wide

    def task_terms(self, work: Work) -> list[Term]:
        """What a task of the scoring pass holds beside those of a mixture."""
        rows, c = work.grid.rows_per_block, self.n_classes
        formula = f"{_POSTERIOR_ARRAYS} x {rows:,} rows x {c:,} classes, float64"
        terms = [Term("posteriors of classes", 8 * _POSTERIOR_ARRAYS * rows * c, formula)]
        of_a_task = -(-work.grid.n_blocks // max(work.n_tasks, 1)) * rows
        return terms + self._group_terms(of_a_task)

    def driver_terms(self) -> list[Term]:
        """What the driver holds."""
        return self._group_terms(self.n_groups or 0)

    def _group_terms(self, most: int) -> list[Term]:
        """Sums of groups whose rows lie together, and of those that were held out."""
        n = min(self.n_groups or 0, most)
        if not n:
            return []
        times = _MERGED * (2 if self.n_folds else 1)
        formula = f"{times} x {n:,} groups x {self.n_classes:,} classes"
        return [Term("sums of groups", times * n * 8 * (self.n_classes + 4), formula)]
