"""Files of a run's state: whole or absent, checksummed, two generations of each.

`NAME.N.checkpoint` is the Nth state of what NAME stands for. A new one is written aside, synced and
renamed before the last but one is removed, so that at any moment one whole file is there. A file
that does not match its checksum becomes `NAME.N.damaged`. One that does and cannot be understood,
because another version of dgmm wrote it, is refused and stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from dgmm.checkpoint.encoding import Encoded, decode, encode
from dgmm.errors import DataError, OutputExistsError, OutputFailedError
from dgmm.storage.array_files import DamagedFileError, read_sealed, write_sealed
from dgmm.storage.atomic_files import reason
from dgmm.storage.folders import Entry, Folder, Target, entry_of
from dgmm.version import __version__

#: Version of what files hold and how; another one is refused.
FORMAT = 2
_N_GENERATIONS = 2
_WHOLE, _DAMAGED = "checkpoint", "damaged"
_FILE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<generation>[0-9]+)\.(?P<kind>checkpoint|damaged)")


class CheckpointStore:
    """The states of one run, by name, in one folder.

    Parameters
    ----------
    place : Path or Entry
        The folder. Made when the first state is saved; a link in its place is refused.
    run : str
        Names job and data: states of any other are refused.
    warn : callable
        Called with a warning for each damaged file.
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
        """Save a value as the newest state of a name; the one before it stays.

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
            newest = max([*generations, *_generations(folder, name, _DAMAGED)], default=0) + 1
            tree = np.frombuffer(text.encode(), np.uint8)
            write_sealed(folder / _file(name, newest), tree=tree, **arrays)
            for generation in generations:
                if generation <= newest - _N_GENERATIONS:
                    with suppress(OSError):  # one too many does no harm
                        folder.remove(_file(name, generation))

    def load(self, name: str, keys: Collection[str] = ()) -> Any:
        """The newest state of a name that is whole; None where there is none.

        Damaged ones get another name and stay.

        Parameters
        ----------
        name
            Of the state.
        keys
            What it has to have at least, where it is a mapping.

        Raises
        ------
        OutputExistsError
            If it belongs to another run, or to a version of dgmm that writes them otherwise.
        """
        with self._opened() as folder:
            return None if folder is None else self._newest(folder, name, keys, self._set_aside)

    def check(self) -> None:
        """Refuse states that `load` would refuse; nothing is changed.

        Raises
        ------
        OutputExistsError
            See `load`.
        """
        with self._opened() as folder:
            if folder is not None:
                for name in sorted({match["name"] for match in _files(folder)}):
                    self._newest(folder, name, (), lambda *_: None)

    def _newest(
        self,
        folder: Folder,
        name: str,
        keys: Collection[str],
        damaged: Callable[[Entry, DamagedFileError], None],
    ) -> Any:
        for generation in sorted(_generations(folder, name), reverse=True):
            file = folder / _file(name, generation)
            try:
                return self._value(file, keys)
            except DamagedFileError as error:
                damaged(file, error)
        return None

    def _set_aside(self, file: Entry, error: DamagedFileError) -> None:
        """Give a damaged file another name, so that it does not count as a state."""
        name, generation, _ = file.name.split(".")
        aside = _file(name, int(generation), _DAMAGED)
        with suppress(OSError):
            file.folder.rename(file.name, aside)
        others = _generations(file.folder, name)
        instead = (
            f"state {max(others)} of {name} is taken"
            if others
            else f"no whole state of {name} is left, and that part of the work is done again"
        )
        self._warn(f"{error}; it is kept as {aside}, and {instead}")

    def discard(self, name: str) -> None:
        """Forget all states of a name."""
        with self._opened() as folder:
            if folder is not None:
                for generation in _generations(folder, name):
                    with suppress(OSError):
                        folder.remove(_file(name, generation))

    def _value(self, file: Entry, keys: Collection[str]) -> Any:
        try:
            run, value = _content(read_sealed(file), keys)
        except DamagedFileError:
            raise
        except (DataError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _not_understood(file, error) from error
        if run != self._run:
            raise OutputExistsError(
                f"{file} belongs to another job or to other data; choose another output.path"
            )
        return value

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


def _content(arrays: dict[str, Any], keys: Collection[str]) -> tuple[str, Any]:
    """The run that a state belongs to, and its value."""
    content = json.loads(arrays.pop("tree").tobytes())
    if content["format"] != FORMAT:
        raise DataError(f"it has format {content['format']}, and format {FORMAT} is read")
    held = decode(Encoded(content["tree"], [arrays[f"a{i}"] for i in range(len(arrays))]))
    value = held["value"]
    if keys and (missing := sorted(set(keys) - set(value))):
        raise DataError(f"it lacks {', '.join(missing)}")
    return held["run"], value


def _not_understood(file: Entry, error: Exception) -> OutputExistsError:
    what = str(error) if isinstance(error, DataError) else repr(error)
    return OutputExistsError(
        f"{file} is whole, but this version of dgmm ({__version__}) cannot read it: {what}. It was "
        "written by another version and is left as it is: go on with that version, or choose "
        "another output.path"
    )


def _files(folder: Folder) -> Iterator[re.Match[str]]:
    return (match for match in map(_FILE.fullmatch, folder.names()) if match)


def _generations(folder: Folder, name: str, kind: str = _WHOLE) -> list[int]:
    wanted = (name, kind)
    return [int(m["generation"]) for m in _files(folder) if (m["name"], m["kind"]) == wanted]


def _file(name: str, generation: int, kind: str = _WHOLE) -> str:
    return f"{name}.{generation}.{kind}"
