"""A source whose rows are a formula of their number, and which records what was read of it.

In a job's `data.path` it is a JSON file: `{"sizes": [...], "d": 3, "log": FOLDER, ...}`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.data_source import DataSource
from dgmm.data.formats import DetectedFormat
from dgmm.data.sources.row_source import RowPart, SourceDescription, SourceRows
from dgmm.errors import DataError

#: As where a file begins: no other format has it.
MAGIC = '{"formula": 1'


def formula_rows(start: int, stop: int, d: int) -> NDArray[np.float64]:
    """Rows of three clusters, which follow from their numbers."""
    number = np.arange(start, stop, dtype=np.float64)[:, None]
    place = np.arange(1, d + 1)[None, :]
    noise = np.modf(np.sin(number * 12.9898 + place * 78.233) * 43758.5453)[0]
    return 10.0 * (number % 3) + noise


def formula_weights(start: int, stop: int) -> NDArray[np.float64]:
    return 1.0 + np.arange(start, stop) % 4


@dataclass(frozen=True)
class FormulaSource:
    """Parts of given sizes; `log` gets a file per part with a line per read of it."""

    sizes: tuple[int, ...]
    d: int = 3
    log: str | None = None
    dtype: str = "<f8"
    batch: int = 1000
    weighted: bool = False
    gaps: int = 0
    missing_rows: Mapping[str, int] | None = None
    kill_at: int | None = None
    kill_read: int = 1
    sleep_s: float = 0.0
    delivery: Literal["table", "map", "none"] = "none"

    @property
    def description(self) -> SourceDescription:
        names = tuple(f"feature {i}" for i in range(self.d))
        return SourceDescription(
            "formula",
            names,
            np.dtype(self.dtype),
            units={"feature 0": "m"},
            notes=("every row follows from its number",),
            has_weights=self.weighted,
        )

    @property
    def read_bytes(self) -> int:
        return self.batch * self.d * 16

    def parts(self) -> tuple[RowPart, ...]:
        return tuple(RowPart(i, n, f"part {i}") for i, n in enumerate(self.sizes))

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        if self.log is not None:
            with (Path(self.log) / f"part-{part.index}").open("a") as file:
                file.write("read\n")
            self._perhaps_end(part)
        time.sleep(self.sleep_s)
        start = sum(self.sizes[: part.index])
        stop = start + part.n_rows - (self.missing_rows or {}).get(str(part.index), 0)
        for first in range(start, stop, self.batch):
            last = min(first + self.batch, stop)
            rows = self.rows(first, last)
            yield SourceRows(rows, formula_weights(first, last) if self.weighted else None)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """These rows; with `gaps` each lacks what the bits of its number modulo it say."""
        rows = formula_rows(start, stop, self.d).astype(self.dtype)
        if self.gaps:
            pattern = np.arange(start, stop)[:, None] % self.gaps
            rows[(pattern >> np.arange(self.d)) & 1 == 1] = np.nan
        return rows

    def _perhaps_end(self, part: RowPart) -> None:
        mark = Path(str(self.log)) / "ended"
        n_reads = self.n_reads()[part.index]
        if part.index == self.kill_at and n_reads >= self.kill_read and not mark.exists():
            mark.touch()
            os._exit(9)

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        yield from ()

    def locate(self, row: int) -> str:
        bounds = np.cumsum((0, *self.sizes))
        part = int(np.searchsorted(bounds, row, "right")) - 1
        return f"part {part}, row {row - bounds[part]}"

    def fingerprint(self) -> dict[str, Any]:
        text = json.dumps([self.sizes, self.d, self.dtype, self.weighted, self.gaps])
        return {"sha256": hashlib.sha256(text.encode()).hexdigest()}

    def check_unchanged(self) -> None:
        """A formula stays as it is."""

    def n_reads(self) -> dict[int, int]:
        """How often each part was read."""
        found = {}
        for i in range(len(self.sizes)):
            file = Path(str(self.log)) / f"part-{i}"
            found[i] = len(file.read_text().splitlines()) if file.exists() else 0
        return found

    def all_rows(self) -> NDArray[Any]:
        return self.rows(0, sum(self.sizes))

    @classmethod
    def open(cls, source: DataSource) -> Self:
        keys = json.loads(Path(source.path).read_text())
        if keys.pop("formula") != 1:
            raise DataError(f"{source.path} is no formula")
        return cls(**keys | {"sizes": tuple(keys["sizes"])})

    def save(self, path: Path) -> Path:
        keys = {name: value for name, value in vars(self).items() if value is not None}
        path.write_text(json.dumps({"formula": 1, **keys}))
        return path


def _recognises(source: DataSource) -> bool:
    path = Path(source.path)
    return path.is_file() and path.read_bytes()[: len(MAGIC)] == MAGIC.encode()


FORMULA = DetectedFormat(FormulaSource.open, _recognises, frozenset())
