"""Files of a run's state: whole or absent, checksummed, two generations of each.

`NAME.N.checkpoint` is the Nth state of what NAME stands for. A new one is written aside, synced and
renamed before the last but one goes, so that at any moment one whole file is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from dgmm.checkpoint.encoding import Encoded, decode, encode
from dgmm.errors import DataError, OutputExistsError, OutputFailedError
from dgmm.storage.array_files import read_sealed, write_sealed
from dgmm.storage.atomic_files import reason
from dgmm.storage.folders import Entry, Folder, Target, entry_of

#: Version of what files hold and how; another one is refused.
FORMAT = 2
_KEPT = 2
_FILE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<generation>[0-9]+)\.checkpoint")


class CheckpointStore:
    """The states of one run, by name, in one folder.

    Parameters
    ----------
    place : Path or Entry
        The folder. Made when the first state is saved; a link in its place is refused.
    run : str
        Names job and data: states of any other are refused.
    warn : callable
        Told about damaged files.
    is_lost : callable
        Whether the folder has become another run's: then nothing is saved.
    """

    def __init__(
        self,
        place: Target,
        run: str,
        warn: Callable[[str], None],
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._place, self._run, self._warn, self._is_lost = place, run, warn, is_lost

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
        with self._made() as folder:
            generations = _generations(folder, name)
            newest = max(generations, default=0) + 1
            tree = np.frombuffer(text.encode(), np.uint8)
            write_sealed(folder / _file(name, newest), tree=tree, **arrays)
            for generation in generations:
                if generation <= newest - _KEPT:
                    with suppress(OSError):  # one too many does no harm
                        folder.remove(_file(name, generation))

    def load(self, name: str) -> Any:
        """The newest state of a name that is whole; None where there is none.

        Raises
        ------
        OutputExistsError
            If it belongs to another run, or to a version of dgmm that writes them otherwise.
        """
        with self._opened() as folder:
            if folder is None:
                return None
            for generation in sorted(_generations(folder, name), reverse=True):
                file = folder / _file(name, generation)
                try:
                    return self._value(file, read_sealed(file))
                except DataError as error:
                    self._warn(f"{error}; an earlier state is taken, or the work done again")
                    with suppress(OSError):
                        folder.remove(file.name)  # it must not count as one of those that are kept
        return None

    def discard(self, name: str) -> None:
        """Forget all states of a name."""
        with self._opened() as folder:
            if folder is not None:
                for generation in _generations(folder, name):
                    with suppress(OSError):
                        folder.remove(_file(name, generation))

    def _value(self, path: Entry, arrays: dict[str, Any]) -> Any:
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

    @contextmanager
    def _opened(self) -> Iterator[Folder | None]:
        """The folder; None where there is none yet."""
        with ExitStack() as held:
            try:
                place = held.enter_context(entry_of(self._place))
                folder = held.enter_context(place.folder.folder(place.name))
            except FileNotFoundError:
                folder = None
            except OSError as error:
                raise self._failure(error) from error
            yield folder

    @contextmanager
    def _made(self) -> Iterator[Folder]:
        with self._opened() as folder:
            if folder is not None:
                yield folder
                return
        with ExitStack() as held:
            try:
                place = held.enter_context(entry_of(self._place))
                made = held.enter_context(place.folder.make_folder(place.name))
                place.folder.sync()
            except OSError as error:
                raise self._failure(error) from error
            yield made

    def _failure(self, error: OSError) -> OutputFailedError:
        return OutputFailedError(f"cannot open or create {self._place}: {reason(error)}")


def _generations(folder: Folder, name: str) -> list[int]:
    found = map(_FILE.fullmatch, folder.names())
    return [int(match["generation"]) for match in found if match and match["name"] == name]


def _file(name: str, generation: int) -> str:
    return f"{name}.{generation}.checkpoint"
