"""Rows of a source behind the steps of `preprocess`: what a job that has these prepares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.row_source import (
    Delivery,
    RowPart,
    RowSource,
    SourceDescription,
    SourceRows,
)
from dgmm.data.transforms.asked_step import (
    COMPONENTS,
    MEASURED,
    AskedStep,
    names_behind,
    residual_names,
)
from dgmm.data.transforms.preprocessing import Preprocessing, prepared_type, record_of_asked
from dgmm.data.transforms.row_sample import sample_size
from dgmm.data.weight_kind import WeightKind
from dgmm.errors import DataError, JobFileError

#: Attribute of prepared rows: the steps that they have behind them.
PREPROCESS = "preprocess"
#: Rows that are yielded at once.
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class TransformedRows:
    """A source whose rows are transformed as they are read; a `RowSource`.

    Parameters
    ----------
    source : RowSource
    asked : tuple of AskedStep
    weight_kind : {"counts", "importance"}, optional
        What weights mean that the rows have.
    has_residuals : bool
        Whether rows are read with the residuals of `pca`.
    steps : Preprocessing, optional
        The steps with their numbers; without them nothing can be read.
    """

    source: RowSource
    asked: tuple[AskedStep, ...]
    weight_kind: WeightKind | None = None
    has_residuals: bool = True
    steps: Preprocessing | None = None

    @property
    def description(self) -> SourceDescription:
        """That of the source with the transformed features."""
        own = self.source.description
        names = self._names_behind(own.feature_names)
        attributes, units = dict(own.attributes), dict(own.units)
        if self.steps is not None:
            attributes[PREPROCESS] = self.steps.record()
            units = self.steps.units(own.units)
        return replace(
            own,
            feature_names=names,
            dtype=prepared_type(own.dtype),
            units=units,
            attributes=attributes,
            notes=(*own.notes, self._note()),
            residuals=self._residuals,
            fill_value=None,
            valid_range=None,
        )

    def _names_behind(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if self.steps is not None:
            return self.steps.output_names
        return names_behind(self.asked, names)

    @property
    def is_open(self) -> bool:
        """Whether how many features there are is known only once the steps are fitted.

        Until then those are described that there are at most.
        """
        return self.steps is None and any(step.is_open for step in self.asked)

    def with_fewest_features(self) -> TransformedRows:
        """The same with as few features as there may be; itself where later steps name them."""
        fewest = tuple(step.with_one_component() for step in self.asked)
        try:
            names_behind(fewest, self.source.description.feature_names)
        except JobFileError:
            return self
        return replace(self, asked=fewest)

    @property
    def _residuals(self) -> tuple[str, ...]:
        kinds = (step.kind for step in self.asked)
        return residual_names(kinds) if self.has_residuals else ()

    def _note(self) -> str:
        kinds = ", ".join(step.kind for step in self.asked)
        return f"preprocess: {kinds}"

    @property
    def n_passes(self) -> int:
        """Reads of all rows that fitting the steps takes."""
        return sum(step.kind in MEASURED for step in self.asked) + self.counts_apart

    @property
    def counts_apart(self) -> bool:
        """Whether a step with a domain comes behind all that are measured: a pass counts for it."""
        kinds = [step.kind for step in self.asked]
        last = max((i for i, kind in enumerate(kinds) if kind in MEASURED), default=-1)
        return "log" in kinds[last + 1 :]

    @property
    def statistics_bytes(self) -> int:
        """Bytes of the largest of what is measured: a sample of rows, or scatters."""
        names, most = self.source.description.feature_names, 0
        for step in self.asked:
            widths = [len(group.columns) for group in step.groups(names)]
            if step.kind == COMPONENTS:
                most = max(most, sum(8 * m * (m + 1) for m in widths))
            elif step.kind in MEASURED:
                most = max(most, 8 * (widths[0] + 2) * sample_size(widths[0]))
            names = step.output_names(names)
        return most

    @property
    def delivery(self) -> Delivery:
        """As the source."""
        return self.source.delivery

    @property
    def read_bytes(self) -> int:
        """One read of the source, and some rows as they were and as they become."""
        d, m = len(self.source.description.feature_names), len(self.description.feature_names)
        held = 4 * (d + m) + (2 * d if self._residuals else 0)
        return self.source.read_bytes + 8 * _ROWS * held

    def parts(self) -> tuple[RowPart, ...]:
        """Those of the source."""
        return self.source.parts()

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield a part's rows, transformed.

        Raises
        ------
        RuntimeError
            If the steps were not fitted.
        DataError
            As the source; or if values lie outside the range that it declares valid.
        """
        if self.steps is None:
            raise RuntimeError("steps of preprocess were not fitted")
        dtype = prepared_type(self.source.description.dtype)
        for rows in self.untransformed(part):
            values, residuals = self._transformed(self.steps, rows.values)
            with np.errstate(over="ignore"):  # beyond float32 is infinite, which is refused later
                stored = values.astype(dtype)
            yield SourceRows(stored, rows.weights, residuals)

    def _transformed(
        self, steps: Preprocessing, rows: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        if self._residuals:
            return steps.apply_with_residuals(rows)
        return steps.apply(rows), None

    def with_steps(self, steps: Preprocessing) -> TransformedRows:
        """The same rows, which can be read."""
        return replace(self, steps=steps)

    def untransformed(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield a part's rows as the source has them, some at a time."""
        valid = self.source.description.valid_range
        for rows in self.source.read(part):
            if valid is not None and (n := valid.rows_outside(rows.values)):
                raise DataError(valid.refusal(f"{n:,} rows of {part.name}"))
            for start in range(0, len(rows.values), _ROWS):
                yield rows.part(slice(start, start + _ROWS))

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        """As the source."""
        return self.source.read_carried(part)

    def locate(self, row: int) -> str:
        """Where a row lies in the source."""
        return self.source.locate(row)

    def fingerprint(self) -> dict[str, Any]:
        """The source's, and what is asked for: its numbers follow from both."""
        own = {PREPROCESS: record_of_asked(self.asked), "weight_kind": self.weight_kind}
        return self.source.fingerprint() | own

    def check_unchanged(self) -> None:
        """Ask the source."""
        self.source.check_unchanged()
