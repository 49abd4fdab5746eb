"""What preparing a source's rows will read, write and hold, known before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.summary.missing_patterns import MOST_PATTERNS
from dgmm.job.memory_plan import Term

#: Chunks of prepared rows that a task holds at most: of three groups, whose rows at both edges it
#: joins to one, and that one encoded.
_EDGE_CHUNKS = 8
#: A part in the driver: its name, and its places in the lists of parts and groups.
_PART_BYTES = 600


@dataclass(frozen=True, slots=True)
class Preparation:
    """What preparing a source's rows reads, writes and holds.

    Attributes
    ----------
    kind, n_parts
        Of the source.
    n_bytes
        Of the prepared rows before compression.
    task, driver
        Memory terms of one task that prepares, and of the driver.
    notes
        What the source says of how it is read.
    n_reads
        How often the source is read: once, and once for each pass that fits `preprocess`.
    """

    kind: str
    n_parts: int
    n_bytes: int
    task: tuple[Term, ...]
    driver: Term
    notes: tuple[str, ...]
    n_reads: int = 1

    @classmethod
    def of(cls, dataset: SourceDataset) -> Preparation:
        """From the source's own metadata."""
        chunk, n_parts = dataset.read_bytes, len(dataset.parts)
        rows = min(dataset.chunk_rows, dataset.n_samples)
        source = dataset.source
        steps = source if isinstance(source, TransformedRows) else None
        return cls(
            kind=dataset.kind,
            n_parts=n_parts,
            n_bytes=dataset.n_samples * dataset.row_bytes,
            task=(
                Term("one read of the source", dataset.source.read_bytes, "as the source says"),
                Term("prepared rows", _EDGE_CHUNKS * chunk, f"{_EDGE_CHUNKS} chunks"),
                _counting_term(rows, dataset.n_features),
                *(() if steps is None else (_statistics_of_steps(steps),)),
            ),
            driver=Term("parts of the source", _PART_BYTES * n_parts, f"{n_parts:,} parts"),
            notes=dataset.description.notes,
            n_reads=1 if steps is None else 1 + steps.n_passes,
        )


#: Lists of patterns that a task of 16 groups holds: of a subtree of each size, and two merged.
_HELD_PATTERNS = 16


def _counting_term(rows: int, d: int) -> Term:
    """What counting the missing values of a chunk holds: masks, words of their bits, patterns."""
    words = -(-d // 64)
    n_bytes = rows * (d + 48 * words + 32) + _HELD_PATTERNS * MOST_PATTERNS * 8 * (words + 1)
    return Term("missing values counted", n_bytes, f"{rows:,} rows, {MOST_PATTERNS:,} patterns")


#: Statistics of steps that a task of 16 groups holds: of a subtree of each size, and two merged.
_HELD_OF_STEPS = 8


def _statistics_of_steps(source: TransformedRows) -> Term:
    """What fitting the steps of `preprocess` holds."""
    n_bytes = _HELD_OF_STEPS * source.statistics_bytes
    return Term("fitting preprocess", n_bytes, f"{_HELD_OF_STEPS} samples or scatters")
