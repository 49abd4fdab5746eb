"""Files of a run's state: whole or absent, checksummed, two generations of each.

`NAME.N.checkpoint` is the Nth state of what NAME stands for. A new one is written aside, synced and
renamed before the last but one goes, so that at any moment one whole file is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.array_files import read_sealed, write_sealed
from dgmm.checkpoint.encoding import Encoded, decode, encode
from dgmm.errors import DataError, OutputExistsError, OutputFailedError
from dgmm.persistence import sync_folder

#: Version of what files hold and how; another one is refused.
FORMAT = 2
_KEPT = 2
_FILE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<generation>[0-9]+)\.checkpoint")


class CheckpointStore:
    """The states of one run, by name, in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first state is saved.
    run : str
        Names job and data: states of any other are refused.
    warn : callable
        Told about damaged files.
    is_lost : callable
        Whether the folder has become another run's: then nothing is saved.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        warn: Callable[[str], None],
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder, self._run, self._warn, self._is_lost = folder, run, warn, is_lost

    def save(self, name: str, value: Any) -> None:
        """Keep a value as the newest state of a name; the one before it stays.

        Raises
        ------
        OutputFailedError
            If it cannot be written; what was there is still there.
        """
        if self._is_lost():
            return
        encoded = encode({"run": self._run, "value": value})
        text = json.dumps({"format": FORMAT, "tree": encoded.tree}, allow_nan=False)
        arrays = {f"a{i}": array for i, array in enumerate(encoded.arrays)}
        generations = self._generations(name)
        newest = max(generations, default=0) + 1
        self._make_folder()
        path = self._path(name, newest)
        write_sealed(path, tree=np.frombuffer(text.encode(), np.uint8), **arrays)
        for generation in generations:
            if generation <= newest - _KEPT:
                with suppress(OSError):  # one too many does no harm
                    self._path(name, generation).unlink()

    def load(self, name: str) -> Any:
        """The newest state of a name that is whole; None where there is none.

        Raises
        ------
        OutputExistsError
            If it belongs to another run, or to a version of dgmm that writes them otherwise.
        """
        for generation in sorted(self._generations(name), reverse=True):
            path = self._path(name, generation)
            try:
                arrays = read_sealed(path)
                value = self._opened(path, arrays)
            except DataError as error:
                self._warn(f"{error}; an earlier state is taken, or the work done again")
                with suppress(OSError):
                    path.unlink()  # it must not count as one of the two that are kept
                continue
            return value
        return None

    def discard(self, name: str) -> None:
        """Forget all states of a name."""
        for generation in self._generations(name):
            with suppress(OSError):
                self._path(name, generation).unlink()

    def _opened(self, path: Path, arrays: dict[str, Any]) -> Any:
        try:
            content = json.loads(arrays.pop("tree").tobytes())
            written = content["format"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path} is damaged: {error!r}") from error
        if written != FORMAT:
            raise OutputExistsError(
                f"{path} has format {written}, this dgmm reads format {FORMAT}: go on "
                "with the version that wrote it, or choose another output.path"
            )
        held = decode(Encoded(content["tree"], [arrays[f"a{i}"] for i in range(len(arrays))]))
        if held["run"] != self._run:
            raise OutputExistsError(
                f"{path} belongs to another job or to other data; choose another output.path"
            )
        return held["value"]

    def _generations(self, name: str) -> list[int]:
        if not self._folder.is_dir():
            return []
        found = (_FILE.fullmatch(path.name) for path in self._folder.iterdir())
        return [int(match["generation"]) for match in found if match and match["name"] == name]

    def _path(self, name: str, generation: int) -> Path:
        return self._folder / f"{name}.{generation}.checkpoint"

    def _make_folder(self) -> None:
        if self._folder.is_dir():
            return
        try:
            self._folder.mkdir()
        except OSError as error:
            raise OutputFailedError(
                f"cannot create {self._folder}: {error.strerror or error}"
            ) from error
        sync_folder(self._folder.parent)
