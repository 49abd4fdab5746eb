"""Several files as one: joined along a dimension, alike in everything else."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Interval, cut, overlapping
from dgmm.data.sources.labelled.opening import LabelledFile, decoded
from dgmm.errors import DataError
from dgmm.terminal_text import listed

_SHOWN = 20
#: Values of a variable that are compared at once.
_COMPARED = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """Stored values of one variable in one file, dimensions in its own order."""

    path: str
    values: NDArray[Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Collection:
    """Files that are joined along `concat_dim`; picklable.

    Parameters
    ----------
    files : tuple of LabelledFile
        In order; at least one.
    concat_dim : str or None
        None where there is one file.
    starts : tuple of int
        Where each file begins along it, and its size; () without it.
    """

    files: tuple[LabelledFile, ...]
    concat_dim: str | None = None
    starts: tuple[int, ...] = ()

    @classmethod
    def of(cls, files: Sequence[LabelledFile], concat_dim: str | None) -> Collection:
        """Join files.

        Raises
        ------
        DataError
            If there are several without `concat_dim`, or one lacks that dimension.
        """
        if concat_dim is None:
            if len(files) > 1:
                dims = ", ".join(safe_text(str(dim)) for dim in files[0].dataset.sizes)
                raise DataError(
                    f"data.path names {len(files)} files of labelled arrays; expected the "
                    f"dimension along which they are joined in data.concat_dim (one of {dims})"
                )
            return cls(tuple(files))
        sizes = [_size_along(file, concat_dim) for file in files]
        return cls(tuple(files), concat_dim, (0, *itertools.accumulate(sizes)))

    def with_versions(self, versions: Sequence[str]) -> Collection:
        """The same files, of which it is known what is stored."""
        pairs = zip(self.files, versions, strict=True)
        files = tuple(file.with_chunks(file.chunks, version) for file, version in pairs)
        return replace(self, files=files)

    @property
    def first(self) -> LabelledFile:
        """The file that describes all others."""
        return self.files[0]

    @property
    def sizes(self) -> dict[str, int]:
        """Of each dimension, all files together."""
        sizes = {str(dim): int(size) for dim, size in self.first.dataset.sizes.items()}
        return sizes | ({self.concat_dim: self.starts[-1]} if self.concat_dim else {})

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of a variable, as stored."""
        return tuple(map(str, self.first.dataset.variables[name].dims))

    def names(self) -> list[str]:
        """Of all variables, coordinates included."""
        return [str(name) for name in self.first.dataset.variables]

    def require(self, name: str, key: str) -> None:
        """Refuse a variable that is not there.

        Raises
        ------
        DataError
            Naming it, one like it, and those that are there.
        """
        names = self.names()
        if name not in names:
            raise unknown(str(self.first), f"variable {safe_text(name)!r} ({key})", name, names)

    def check_alike(self, variables: Sequence[str]) -> None:
        """Refuse files that differ in what is read of them, but for `concat_dim`.

        Raises
        ------
        DataError
            Naming both files and the variable, dimension or coordinate.
        """
        for file in self.files[1:]:
            for name in variables:
                self._check_variable(file, name)
                self._check_units(file, "variable", name)
            for name in dict.fromkeys(dim for each in variables for dim in self.dims(each)):
                if name not in self.first.dataset.variables:
                    self._check_has_none(file, name)
                elif name != self.concat_dim:
                    self._check_coordinate(file, name)
                elif name not in file.dataset.variables:
                    raise DataError(
                        f"{file} has no coordinate {safe_text(name)!r}, which {self.first} has"
                    )

    def check_repeated(self, name: str, place: Mapping[str, Interval]) -> None:
        """Refuse files whose values of a variable without `concat_dim` differ.

        Values are compared a bounded number at a time, as they are decoded.

        Raises
        ------
        DataError
            Naming both files and the variable.
        """
        dims = self.dims(name)
        if self.concat_dim is None or self.concat_dim in dims:
            return
        box = tuple(place[dim] for dim in dims)
        for piece in cut(box, _COMPARED):
            local = {dim: slice(*ends) for dim, ends in zip(dims, piece, strict=True)}
            own = self._decoded(self.first, name, local)
            for file in self.files[1:]:
                if not _is_equal(own, self._decoded(file, name, local)):
                    raise DataError(
                        f"{file}: the values of variable {safe_text(name)} differ from those in "
                        f"{self.first}: it has no dimension {self.concat_dim}, along which files "
                        "are joined, and its values are repeated along it. Leave it out of "
                        "data.variables, or give it that dimension"
                    )

    def check_coordinates(self, names: Sequence[str]) -> None:
        """Refuse files whose coordinates differ, those along `concat_dim` left out.

        Raises
        ------
        DataError
            Naming both files and the coordinate.
        """
        for file in self.files[1:]:
            for name in names:
                if self.concat_dim not in self.dims(name):
                    self._check_coordinate(file, name)

    def file_at(self, dim: str, index: int) -> LabelledFile | None:
        """The file that holds a place along `concat_dim`; None of other dimensions."""
        if dim != self.concat_dim:
            return None
        return self.files[overlapping(self.starts, index, index + 1)[0]]

    def _check_variable(self, file: LabelledFile, name: str) -> None:
        found = file.dataset.variables.get(name)
        own = self.first.dataset.variables[name]
        if found is None:
            raise DataError(f"{file} has no variable {safe_text(name)!r}, which {self.first} has")
        if found.dims != own.dims:
            raise DataError(
                f"{file}: variable {safe_text(name)} has the dimensions {found.dims}; expected "
                f"{own.dims} as in {self.first}"
            )
        for dim in own.dims:
            if dim != self.concat_dim and found.sizes[dim] != own.sizes[dim]:
                raise DataError(
                    f"{file}: dimension {safe_text(str(dim))} of variable {safe_text(name)} has "
                    f"{found.sizes[dim]:,} places; expected {own.sizes[dim]:,} as in {self.first}: "
                    f"files joined along data.concat_dim ({self.concat_dim}) differ in it alone"
                )

    def _check_units(self, file: LabelledFile, what: str, name: str) -> None:
        """Refuse another unit; a file without one says nothing against it."""
        both = (self.first, file)
        own, found = (each.dataset.variables[name].attrs.get("units") for each in both)
        if isinstance(own, str) and isinstance(found, str) and own.strip() != found.strip():
            raise DataError(
                f"{file}: {what} {safe_text(name)} has units = {safe_text(found)}; expected "
                f"{safe_text(own)} as in {self.first}: values of joined files are taken as they "
                "are. Convert the files to one unit"
            )

    def _check_has_none(self, file: LabelledFile, name: str) -> None:
        if name in file.dataset.variables:
            raise DataError(
                f"{file} has a coordinate {safe_text(name)}, which {self.first} has not: whether "
                "both have the same places cannot be told. Write it to each file, or to none"
            )

    def _check_coordinate(self, file: LabelledFile, name: str) -> None:
        """Values as they are decoded: one place may be packed in different ways."""
        if name in file.dataset.variables:
            self._check_units(file, "coordinate", name)
            if _is_equal(*(self._decoded(each, name, {}) for each in (self.first, file))):
                return
        raise DataError(
            f"{file}: coordinate {safe_text(name)} differs from that of {self.first}; files joined "
            f"along data.concat_dim ({self.concat_dim}) differ in it alone. Select the same "
            f"places in each, or give files of one grid"
        )

    @staticmethod
    def _decoded(file: LabelledFile, name: str, place: Mapping[str, slice]) -> NDArray[Any]:
        variable = file.dataset.variables[name]
        dims = tuple(map(str, variable.dims))
        return np.asarray(decoded(name, dims, file.stored(name, place), variable.attrs))

    def files_at(self, name: str, place: Mapping[str, Interval]) -> Iterator[tuple[int, Interval]]:
        """The files that hold a variable at a place, each with its interval along `concat_dim`."""
        dim = self.concat_dim
        if dim is None or dim not in self.dims(name):
            yield 0, (0, 0)
            return
        start, stop = place.get(dim, (0, self.starts[-1]))
        for number in overlapping(self.starts, start, stop):
            first = self.starts[number]
            end = min(stop, self.starts[number + 1])
            yield number, (max(start, first) - first, end - first)

    def stored(self, name: str, place: Mapping[str, Interval]) -> list[Segment]:
        """Stored values of a variable at [start, stop) along some dimensions, file by file."""
        segments = []
        for number, along in self.files_at(name, place):
            file = self.files[number]
            local = {dim: slice(*interval) for dim, interval in place.items()}
            if self.concat_dim is not None and self.concat_dim in self.dims(name):
                local[self.concat_dim] = slice(*along)
            attributes = file.dataset.variables[name].attrs
            segments.append(Segment(str(file), file.stored(name, local), attributes))
        return segments

    def values(self, name: str, place: Mapping[str, Interval]) -> NDArray[Any]:
        """Values of a variable as xarray decodes them, dates left as numbers."""
        dims = self.dims(name)
        parts = [decoded(name, dims, s.values, s.attributes) for s in self.stored(name, place)]
        axis = dims.index(self.concat_dim) if self.concat_dim in dims else 0
        return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis))


def _is_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    is_number = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return np.array_equal(one, other, equal_nan=is_number)


def unknown(where: str, what: str, name: str, known: Sequence[str]) -> DataError:
    """There is no such name; a similar one is suggested."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {safe_text(close[0])!r}?" if close else ""
    return DataError(f"{where} has no {what}.{hint} It has {listed(map(safe_text, known), _SHOWN)}")


def _size_along(file: LabelledFile, dim: str) -> int:
    sizes = {str(name): int(size) for name, size in file.dataset.sizes.items()}
    if dim not in sizes:
        raise unknown(str(file), f"dimension {safe_text(dim)!r} (data.concat_dim)", dim, [*sizes])
    return sizes[dim]
