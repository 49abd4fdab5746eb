"""A step with its numbers: applied to rows, undone, described as JSON and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.transforms.asked_step import COMPONENTS
from dgmm.data.transforms.elementwise import Asinh, Clip, Elementwise, Log, Standardise
from dgmm.data.transforms.location import Location, of_sums, through
from dgmm.data.transforms.principal_components import PrincipalComponents
from dgmm.errors import DataError

Floats = NDArray[np.float64]
_ELEMENTWISE: Mapping[str, type[Any]] = {
    "asinh": Asinh,
    "log": Log,
    "clip": Clip,
    "standardise": Standardise,
}
#: Numbers that divide.
_POSITIVE = ("scale", "deviation")


class FittedStep(Protocol):
    """A transformation of rows whose features have names."""

    @property
    def kind(self) -> str:
        """As the job calls it."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the transformed features."""

    @property
    def unitless(self) -> tuple[str, ...]:
        """Features behind it that have lost their units, as far as they had that name before."""

    def apply(self, rows: Floats) -> Floats:
        """Rows (b, d) transformed; NaN where a value is missing, or outside the domain."""

    def apply_with_residual(self, rows: Floats) -> tuple[Floats, Floats | None]:
        """Rows transformed, and their distances (b,) from what `inverse` gives back of them.

        None of steps that change each value alone.
        """

    def inverse(self, rows: Floats) -> Floats:
        """Rows that these, transformed, came from; the nearest ones where several did."""

    def locations(self, behind: Sequence[Location]) -> tuple[Location, ...]:
        """What `inverse` makes of numbers that are such behind the step, feature by feature."""

    def record(self) -> dict[str, Any]:
        """As JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class ElementwiseStep:
    """Each value of some columns alone.

    Parameters
    ----------
    kind : str
    names : tuple of str
        Of all features, before the step and behind it.
    columns : tuple of int
        Those that it takes.
    transform : Elementwise
    """

    kind: str
    names: tuple[str, ...]
    columns: tuple[int, ...]
    transform: Elementwise

    @property
    def output_names(self) -> tuple[str, ...]:
        """Those before the step."""
        return self.names

    @property
    def unitless(self) -> tuple[str, ...]:
        """Its columns; none of clipping."""
        return tuple(self.names[i] for i in self.columns) if self.transform.has_inverse else ()

    def apply_with_residual(self, rows: Floats) -> tuple[Floats, Floats | None]:
        """Rows as `apply` gives them; None."""
        return self.apply(rows), None

    def apply(self, rows: Floats) -> Floats:
        """Rows with these columns transformed."""
        return self._with(rows, self.transform.apply)

    def inverse(self, rows: Floats) -> Floats:
        """Rows with these columns as they were."""
        return self._with(rows, self.transform.inverse)

    def locations(self, behind: Sequence[Location]) -> tuple[Location, ...]:
        """Of its columns those that the transformation leaves."""
        found = list(behind)
        for i in self.columns:
            found[i] = through(found[i], self.transform)
        return tuple(found)

    def _with(self, rows: Floats, change: Any) -> Floats:
        changed = np.array(rows, dtype=np.float64)
        columns = list(self.columns)
        changed[:, columns] = change(changed[:, columns])
        return changed

    def record(self) -> dict[str, Any]:
        """Kind, columns and numbers."""
        columns = [self.names[i] for i in self.columns]
        return {"step": self.kind, "columns": columns, **_numbers(self.transform)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any], names: tuple[str, ...]) -> Self:
        """What `record` described, of rows with these names."""
        kind, columns = record["step"], _columns(record["columns"], names)
        sizes = dict.fromkeys(("low", "high", "mean", "deviation"), columns)
        transform = _read(_ELEMENTWISE[kind], record, sizes)
        return cls(kind, names, columns, transform)


@dataclass(frozen=True, slots=True, eq=False)
class ComponentsStep:
    """Principal components of groups of columns, in place of these.

    Parameters
    ----------
    names, output_names : tuple of str
        Of all features, before the step and behind it.
    groups : tuple of (columns, components)
    """

    names: tuple[str, ...]
    output_names: tuple[str, ...]
    groups: tuple[tuple[tuple[int, ...], PrincipalComponents], ...]

    @property
    def kind(self) -> str:
        """As the job calls it."""
        return COMPONENTS

    @property
    def unitless(self) -> tuple[str, ...]:
        """None: components have names of their own."""
        return ()

    def apply(self, rows: Floats) -> Floats:
        """Scores in place of the first column of each group."""
        return self._with_scores(
            rows, [found.apply(rows[:, list(columns)]) for columns, found in self.groups]
        )

    def apply_with_residual(self, rows: Floats) -> tuple[Floats, Floats | None]:
        """The same, and how far rows lie from their reconstruction, over all groups (b,)."""
        pairs = [
            found.apply_with_residual(rows[:, list(columns)]) for columns, found in self.groups
        ]
        distance = pairs[0][1]
        for _, own in pairs[1:]:
            distance = np.hypot(distance, own)
        return self._with_scores(rows, [scores for scores, _ in pairs]), distance

    def _with_scores(self, rows: Floats, scores: Sequence[Floats]) -> Floats:
        firsts = {group[0]: own for (group, _), own in zip(self.groups, scores, strict=True)}
        taken = {i for columns, _ in self.groups for i in columns}
        pieces = []
        for i in range(len(self.names)):
            if i in firsts:
                pieces.append(firsts[i])
            elif i not in taken:
                pieces.append(rows[:, i : i + 1])
        return np.concatenate(pieces, axis=1)

    def inverse(self, rows: Floats) -> Floats:
        """The rows nearest to those that have these scores."""
        firsts = {columns[0]: (list(columns), found) for columns, found in self.groups}
        taken = {i for columns, _ in self.groups for i in columns}
        found_rows, at = np.empty((len(rows), len(self.names))), 0
        for i in range(len(self.names)):
            if i in firsts:
                columns, found = firsts[i]
                m = len(found.axes)
                found_rows[:, columns] = found.inverse(rows[:, at : at + m])
                at += m
            elif i not in taken:
                found_rows[:, i] = rows[:, at]
                at += 1
        return found_rows

    def locations(self, behind: Sequence[Location]) -> tuple[Location, ...]:
        """Of the columns of a group what sums of its components are, all of them or fewer."""
        rest, found = iter(behind), [Location.MEAN] * len(self.names)
        firsts = {columns[0]: (columns, len(group.axes)) for columns, group in self.groups}
        taken = {i for columns, _ in self.groups for i in columns}
        for i in range(len(self.names)):
            if i in firsts:
                columns, m = firsts[i]
                own = of_sums([next(rest) for _ in range(m)], is_projected=m < len(columns))
                for column in columns:
                    found[column] = own
            elif i not in taken:
                found[i] = next(rest)
        return tuple(found)

    def record(self) -> dict[str, Any]:
        """Kind, names, and columns and numbers of each group."""
        groups = [
            {"columns": [self.names[i] for i in columns], **_numbers(found)}
            for columns, found in self.groups
        ]
        return {"step": self.kind, "names": list(self.output_names), "groups": groups}

    @classmethod
    def of_record(cls, record: Mapping[str, Any], names: tuple[str, ...]) -> Self:
        """What `record` described, of rows with these names."""
        groups = []
        for group in record["groups"]:
            columns = _columns(group["columns"], names)
            m = range(len(group["axes"]))
            sizes = {"mean": columns, "axes": m, "variance": m}
            found = _read(PrincipalComponents, group, sizes)
            if found.axes.shape != (len(m), len(columns)):
                raise ValueError("axes are not of these columns")
            groups.append((columns, found))
        kept = len(names) - sum(len(columns) for columns, _ in groups)
        n_out = kept + sum(len(found.axes) for _, found in groups)
        if len(record["names"]) != n_out:
            raise ValueError(f"{len(record['names'])} names of {n_out} features")
        return cls(names, tuple(map(str, record["names"])), tuple(groups))


def step_of(record: Mapping[str, Any], names: tuple[str, ...]) -> FittedStep:
    """The step that a record describes, of rows whose features have these names.

    Raises
    ------
    DataError
        If it describes none.
    """
    try:
        kind = record["step"]
        member = ComponentsStep if kind == COMPONENTS else ElementwiseStep
        found: FittedStep = member.of_record(record, names)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"no step of preprocess is described: {type(error).__name__}: {error}"
        ) from error
    return found


def _numbers(transform: Any) -> dict[str, Any]:
    """The fields of a transformation, arrays as lists."""
    values = {field.name: getattr(transform, field.name) for field in fields(transform)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _read(member: type[Any], record: Mapping[str, Any], sizes: Mapping[str, Sequence[int]]) -> Any:
    """A transformation from its record, each number checked."""
    values: dict[str, Any] = {}
    for field in fields(member):
        value = record[field.name]
        if isinstance(value, bool):
            values[field.name] = value
            continue
        array = np.array(value, dtype=np.float64)
        if not array.size or not np.isfinite(array).all():
            raise ValueError(f"{field.name} is no finite number")
        if array.ndim and len(array) != len(sizes[field.name]):
            raise ValueError(f"{field.name} has {len(array)} numbers")
        if field.name in _POSITIVE and not (array > 0).all():
            raise ValueError(f"{field.name} is not positive")
        values[field.name] = array if array.ndim else float(array)
    return member(**values)


def _columns(given: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    return tuple(names.index(name) for name in given)
