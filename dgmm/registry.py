"""Named members of one kind (families, formats, …): built in, registered, or from entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, MutableMapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from dgmm.errors import DataError, UnavailableError

T = TypeVar("T")


class Registry(MutableMapping[str, T]):
    """A mapping from names to members that other packages extend.

    `registry[name] = member` registers one in this process. An installed package declares one as an
    entry point of the registry's group, which is loaded when its name is first asked for; iteration
    and `len` cover what is registered or loaded, `names` covers all.

    Parameters
    ----------
    key : str
        What a user calls the choice: `initialisation.method`.
    group : str
        Group of entry points, such as `dgmm.formats`.
    members : mapping
        Those built in; no entry point takes their place.
    kind : type
        What every member is an instance of: a class, or an abstract one such as
        `collections.abc.Callable`. Where it has a `name`, that is the member's name here.

    Examples
    --------
    >>> shapes = Registry("shape", "dgmm.shapes", {"round": 1, "square": 2})
    >>> shapes["star"] = 3
    >>> shapes.names()
    ('round', 'square', 'star')
    >>> shapes.named("sphere")
    Traceback (most recent call last):
        ...
    dgmm.errors.DataError: shape is 'sphere'; expected one of round, square, star
    """

    def __init__(self, key: str, group: str, members: Mapping[str, T], kind: Any = object) -> None:
        self.key, self.group, self._kind = key, group, kind
        self._members = dict(members)

    def named(self, name: str) -> T:
        """The member of that name.

        Raises
        ------
        DataError
            If there is none; the message lists all names.
        UnavailableError
            If the package that declares it cannot be loaded, or declares something else.
        """
        try:
            return self[name]
        except KeyError:
            choices = ", ".join(self.names())
            raise DataError(f"{self.key} is {name!r}; expected one of {choices}") from None

    def names(self) -> tuple[str, ...]:
        """All names, those of entry points included; loads none of them."""
        declared = _declared(self.group, tuple(sys.path))
        return tuple(dict.fromkeys([*self._members, *declared]))

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str):
            raise KeyError(name)
        if name not in self._members:
            self._members[name] = self._load(name)
        return self._members[name]

    def __setitem__(self, name: str, member: T) -> None:
        if fault := self._fault(name, member):
            raise ValueError(f"{self.key} {name!r} cannot be registered: {fault}")
        self._members[name] = member

    def __delitem__(self, name: str) -> None:
        del self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _load(self, name: str) -> T:
        declared = tuple(entry_points(group=self.group, name=name)) if name else ()
        if not declared:
            raise KeyError(name)
        if len(declared) > 1:
            raise UnavailableError(
                f"{self.key} {name!r} is declared by {' and by '.join(map(_source, declared))}: "
                "remove one of these packages"
            )
        try:
            member = declared[0].load()
        except Exception as error:
            raise self._unusable(name, declared[0], f"{type(error).__name__}: {error}") from error
        if fault := self._fault(name, member):
            raise self._unusable(name, declared[0], fault)
        return cast("T", member)

    def _fault(self, name: str, member: Any) -> str:
        """Why that cannot be the member of that name; empty where it can."""
        if not isinstance(member, self._kind):
            return f"expected a {self._kind.__name__}, found a {type(member).__name__}"
        own = getattr(member, "name", name) if hasattr(self._kind, "name") else name
        if own != name:
            return f"its own name is {own!r}: both have to be the same"
        return ""

    def _unusable(self, name: str, declared: EntryPoint, why: str) -> UnavailableError:
        return UnavailableError(
            f"{self.key} {name!r} of {_source(declared)} cannot be loaded: {why}. Install or "
            "repair that package"
        )


@lru_cache(maxsize=64)
def _declared(group: str, _path: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted names of a group's entry points; files of all installed packages are read for them.

    A job asks three times, which took 26 ms of 480 each. What is installed in a folder of the same
    search path meanwhile is loaded by its name, and listed in the next process.
    """
    return tuple(sorted(entry_points(group=group).names))


def _source(declared: EntryPoint) -> str:
    package = "a package" if declared.dist is None else declared.dist.name
    return f"{package} (entry point {declared.value} of {declared.group})"
