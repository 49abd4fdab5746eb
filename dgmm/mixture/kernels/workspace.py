"""What one task works with: buffers that begin at a line of cache, made once for all tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend, NumpyBackend

T = TypeVar("T")

_ALIGNMENT = 64
#: Bytes of a workspace, and views of its buffers, at most, that are kept when a task ends.
_MOST_KEPT, _MOST_VIEWS = 16 * 2**20, 64


def aligned(size: int, dtype: Any) -> NDArray[Any]:
    """An empty array that begins at a line of cache, (size,).

    NumPy's begin 16 bytes behind one: every other vector of 512 bits then crosses a line, and a
    multiplication takes twice as long.
    """
    n_bytes = size * np.dtype(dtype).itemsize
    raw = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    begin = -raw.__array_interface__["data"][0] % _ALIGNMENT
    return raw[begin : begin + n_bytes].view(dtype)


class Workspace:
    """What one task works with: a backend, and buffers made once for all tiles."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend = backend or NumpyBackend()
        self._buffers: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}
        self._views: dict[tuple[str, tuple[int, ...], Any], NDArray[Any]] = {}
        self._kept: dict[Hashable, Any] = {}
        self._latest: tuple[Hashable, Any] | None = None
        # None where it is to be counted again: each time took 30 µs, a hundredth of a short pass.
        self._n_bytes: int | None = 0

    def drop_views(self) -> None:
        """Forget the views of buffers, where these have many."""
        if len(self._views) > _MOST_VIEWS:
            self._views.clear()

    @property
    def n_bytes(self) -> int:
        """Memory that it keeps: its buffers, and what it has made latest."""
        if self._n_bytes is None:
            latest = () if self._latest is None else (self._latest[1],)
            held = {id(array): array for array in _memory_of((*self._buffers.values(), *latest))}
            self._n_bytes = sum(array.nbytes for array in held.values())
        return self._n_bytes

    def latest(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, kept until another key is asked for: for what takes much memory."""
        if self._latest is None or self._latest[0] != key:
            self._latest = None  # `make` may write to buffers of the one before, and fail
            self._n_bytes = None
            self._latest = key, make()
        value: T = self._latest[1]
        return value

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once for all blocks."""
        if key not in self._kept:
            self._kept[key] = make()
        value: T = self._kept[key]
        return value

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
        """A C-contiguous array over the buffer of that name; its content is undefined.

        It begins at a line of cache.
        """
        view = self._views.get((name, shape, dtype))  # asked for some ten times a tile
        if view is None:
            view = self._buffer(name, math.prod(shape), np.dtype(dtype)).reshape(shape)
            self._views[name, shape, dtype] = view
        return view

    def _buffer(self, name: str, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name, dtype] = aligned(size, dtype)
            self._n_bytes = None
            self._views = {key: view for key, view in self._views.items() if key[0] != name}
        return buffer[:size]


def _memory_of(value: Any) -> Iterator[NDArray[Any]]:
    """The arrays that own the memory of arrays in tuples."""
    if isinstance(value, np.ndarray):
        while isinstance(value.base, np.ndarray):
            value = value.base
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _memory_of(part)


class Workspaces:
    """Workspaces that tasks of one process borrow: the next pass finds the memory of the last one.

    Memory that is asked for anew takes as long to be written to as a small pass does. At most one
    for each of the tasks that ran at the same time is kept, and none of more than 16 MiB, whose
    passes are long. Pickled there are none.
    """

    def __init__(self) -> None:
        self._free: list[Workspace] = []

    def __reduce__(self) -> tuple[type[Workspaces], tuple[()]]:
        return Workspaces, ()

    @contextmanager
    def borrowed(self, backend: Backend) -> Iterator[Workspace]:
        """One that nobody else has meanwhile."""
        try:
            workspace = self._free.pop()  # one step, so that no other thread gets it too
        except IndexError:
            workspace = Workspace()
        workspace.backend = backend
        try:
            yield workspace
        finally:
            workspace.drop_views()
            if workspace.n_bytes <= _MOST_KEPT:
                self._free.append(workspace)
