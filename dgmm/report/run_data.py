"""A run directory as the report reads it: everything but run.json may be absent."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.output_store import OutputArray
from dgmm.errors import DataError
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model
from dgmm.report.components import Components
from dgmm.run_record import read
from dgmm.storage.array_files import read_arrays
from dgmm.storage.atomic_files import read_json


@dataclass(frozen=True)
class RunRecord:
    """What a run left behind.

    Parameters
    ----------
    directory : Path
        The run directory.
    facts : dict
        run.json.
    """

    directory: Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, directory: Path) -> RunRecord:
        """Read run.json.

        Raises
        ------
        InputNotFoundError
            Where there is none: this is no run directory.
        DataError
            Where it is no JSON object.
        """
        path = directory / "run.json"
        found = read_json(path)
        try:
            return cls(directory, read(found))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    def section(self, name: str) -> dict[str, Any]:
        """An object of run.json; empty where it is absent or null."""
        value = self.facts.get(name)
        return value if isinstance(value, dict) else {}

    def entries(self, name: str) -> list[Any]:
        """A list of run.json; empty where it is absent or null."""
        value = self.facts.get(name)
        return value if isinstance(value, list) else []

    @cached_property
    def model(self) -> MixtureModel | None:
        """The saved mixture."""
        path = self.directory / "model"
        return load_model(path) if (path / "model.json").is_file() else None

    @cached_property
    def components(self) -> Components | None:
        """The model's components as the figures see them."""
        return None if self.model is None else Components.of(self.model)

    @cached_property
    def metrics(self) -> list[dict[str, str]]:
        """The rows of metrics.csv."""
        path = self.directory / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    @cached_property
    def sample(self) -> dict[str, NDArray[np.float64]]:
        """The arrays of sample.npz."""
        path = self.directory / "sample.npz"
        if not path.is_file():
            return {}
        arrays = read_arrays(path)
        return {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}

    def output(self, name: str) -> OutputArray | None:
        """One array of outputs.zarr."""
        group = self.directory / "outputs.zarr"
        return OutputArray(str(group), name) if (group / name).is_dir() else None
