"""What a benchmark measured: one line each, printed as it comes and saved whole at the end.

A benchmark is a function `run(results: Results) -> None` that calls `results.measured(...)` for
every number. Numbers that a goal is set for carry the goal; the others stand beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number, what it is of, and what it was to be.

    Attributes
    ----------
    part : str
        The heading it stands under (`scikit-learn, full, float64`).
    what : str
        The line it stands on (`400,000 × 2, k = 8`).
    value : float
        What was measured.
    unit : str
        Of value and goal (`×`, `ms`, `rows/s`).
    goal : float or None
        What it was to be; None for a number no goal is set for.
    at_least : bool
        Whether the goal is met by `value >= goal`; by `value <= goal` otherwise.
    note : str
        What a reader must know beside the number.
    detail : dict
        The numbers behind it, by name: plain values that JSON takes.
    """

    part: str
    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = True
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one. A number that is not one meets nothing."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing."""
        return {True: "met", False: "missed", None: ""}[self.is_met]


class Results:
    """The measurements of one benchmark (`pass`, `fit`, `disk`, `overhead`, `scale`).

    Parameters
    ----------
    name
        The benchmark's, and its file's: `results/<name>.json`.
    about
        Where and with what it was measured: see `measuring.machine`.
    folder
        Where the file goes.
    is_trial
        Whether this run is to show that everything works, on few rows: its numbers mean nothing.
    """

    def __init__(
        self,
        name: str,
        about: Mapping[str, Any] | None = None,
        folder: Path = FOLDER,
        *,
        is_trial: bool = False,
    ) -> None:
        self.name = name
        self.is_trial = is_trial
        self.about: dict[str, Any] = dict(about or {})
        self.measurements: list[Measurement] = []
        self.remarks: list[str] = []
        self._folder = folder

    @property
    def path(self) -> Path:
        """The file that `save` writes."""
        return self._folder / f"{self.name}.json"

    def measured(
        self,
        part: str,
        what: str,
        value: float,
        unit: str,
        *,
        goal: float | None = None,
        at_least: bool = True,
        note: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Record one number and print it; see `Measurement` for what the arguments mean."""
        line = Measurement(part, what, float(value), unit, goal, at_least, note, dict(detail or {}))
        self.measurements.append(line)
        print(as_text(line), flush=True)

    def remark(self, text: str) -> None:
        """Record a sentence for the reader: a peer that is missing, a profile of a missed goal."""
        self.remarks.append(text)
        print(f"  ! {text}", flush=True)

    def save(self) -> Path:
        """Write the file, whole or not at all."""
        return write_json(self.path, self._saved())

    def save_aside(self) -> Path:
        """Write what a benchmark that broke had measured, where no page takes it from."""
        return write_json(self.path.parent / "broken" / self.path.name, self._saved())

    def _saved(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "about": self.about,
            "measurements": [asdict(m) for m in self.measurements],
            "remarks": self.remarks,
        }


def write_json(path: Path, content: Any) -> Path:
    """Write a file whole: aside first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".partial{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def load(name: str, folder: Path = FOLDER) -> Results | None:
    """What a benchmark saved last; None where it has not run yet."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    saved = json.loads(path.read_text(encoding="utf-8"))
    results = Results(saved["name"], saved["about"], folder)
    results.measurements = [Measurement(**m) for m in saved["measurements"]]
    results.remarks = list(saved["remarks"])
    return results


def as_text(line: Measurement) -> str:
    """One line for a terminal."""
    goal = ""
    if line.goal is not None:
        goal = f"goal {'≥' if line.at_least else '≤'} {line.goal:g} {line.unit}: {line.verdict}"
    text = f"{line.part:34} {line.what:34} {line.value:10.4g} {line.unit:7} {goal:28} {line.note}"
    return text.rstrip()
