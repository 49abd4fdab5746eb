"""A step of `preprocess` as a job asks for it, and which columns it takes of rows with names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dgmm.errors import JobFileError
from dgmm.terminal_text import listed

#: What combines columns; every other kind changes each value alone.
COMPONENTS = "pca"
#: Name of how far rows lie from their reconstruction by the components.
RESIDUAL = "residual"
_RESIDUAL = re.compile(rf"{RESIDUAL}(?:_([1-9][0-9]{{0,5}}))?")
#: Kinds whose numbers are measured on the rows.
MEASURED = ("clip", "standardise", COMPONENTS)


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns that are transformed together, and what the results are called."""

    columns: tuple[int, ...]
    names: tuple[str, ...]

    def first(self, n: int) -> ColumnGroup:
        """With the first `n` results alone."""
        return replace(self, names=self.names[:n])


@dataclass(frozen=True, slots=True)
class AskedStep:
    """One item of the list.

    Parameters
    ----------
    kind : str
        `asinh`, `log`, `clip`, `standardise` or `pca`.
    options : mapping
        Its numbers: `scale`, `offset`, `quantiles`, `n` or `variance`, `whiten`.
    columns : tuple of str, optional
        Features that it takes; None is all.
    variables : tuple of str, optional
        One group of columns for each: the features `SR[…]` of `SR`.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None
    variables: tuple[str, ...] | None = None

    def record(self) -> dict[str, Any]:
        """As JSON, for fingerprints."""
        taken = {"columns": self.columns, "variables": self.variables}
        given = {name: list(names) for name, names in taken.items() if names is not None}
        return {self.kind: {**self.options, **given}}

    @property
    def is_open(self) -> bool:
        """Whether how many features it gives is known only once it is fitted."""
        return self.kind == COMPONENTS and "n" not in self.options

    def with_one_component(self) -> AskedStep:
        """The fewest features that it may give, where that is open."""
        if not self.is_open:
            return self
        options = {key: value for key, value in self.options.items() if key != "variance"}
        return replace(self, options={**options, "n": 1})

    def groups(self, names: Sequence[str]) -> tuple[ColumnGroup, ...]:
        """The columns that it takes of rows whose features have these names.

        Where the number of components is open, as many are named as there can be.

        Raises
        ------
        JobFileError
            If a name is none of them, or there are fewer columns than components.
        """
        if self.kind != COMPONENTS:
            columns = self._columns(names)
            return (ColumnGroup(columns, tuple(names[i] for i in columns)),)
        if self.variables is None:
            return (self._components(self._columns(names), ""),)
        found = [(v, self._of_variable(v, names)) for v in self.variables]
        taken = [i for _, columns in found for i in columns]
        if len({*taken}) < len(taken):
            raise JobFileError("preprocess: two of pca.variables have features in common")
        return tuple(self._components(columns, f"{v}_") for v, columns in found)

    def output_names(
        self, names: Sequence[str], kept: Sequence[int] | None = None
    ) -> tuple[str, ...]:
        """What features are called behind this step.

        Components stand where the first of their columns was. `kept` is how many each group has
        once that is known.
        """
        groups = self.groups(names)
        if kept is not None:
            groups = tuple(g.first(n) for g, n in zip(groups, kept, strict=True))
        found: list[str] = []
        for i, name in enumerate(names):
            own = next((group for group in groups if i in group.columns), None)
            if own is None or self.kind != COMPONENTS:
                found.append(name)
            elif i == own.columns[0]:
                found += own.names
        if repeated := sorted({name for name in found if found.count(name) > 1}):
            raise JobFileError(
                f"preprocess: {self.kind} would give several features the name "
                f"{', '.join(repeated)}. Name pca.variables, or take all columns in one step"
            )
        return tuple(found)

    def _columns(self, names: Sequence[str]) -> tuple[int, ...]:
        if self.columns is None:
            return tuple(range(len(names)))
        if unknown := [name for name in self.columns if name not in names]:
            raise self._unknown("columns", unknown, names)
        return tuple(sorted(names.index(name) for name in self.columns))

    def _of_variable(self, variable: str, names: Sequence[str]) -> tuple[int, ...]:
        found = [i for i, n in enumerate(names) if n == variable or n.startswith(f"{variable}[")]
        if not found:
            raise self._unknown("variables", [variable], names)
        return tuple(found)

    def _components(self, columns: tuple[int, ...], prefix: str) -> ColumnGroup:
        n = int(self.options.get("n", len(columns)))
        if n > len(columns):
            of = f" of {prefix.removesuffix('_')}" if prefix else ""
            raise JobFileError(
                f"preprocess: pca.n is {n}, and the columns{of} are {len(columns)}: lower pca.n"
            )
        return ColumnGroup(columns, tuple(f"{prefix}pc{i}" for i in range(1, n + 1)))

    def _unknown(self, key: str, unknown: Sequence[str], names: Sequence[str]) -> JobFileError:
        return JobFileError(
            f"preprocess: {self.kind}.{key} names {listed(unknown, 6)}, and the features there are "
            f"{listed(names, 10)}"
        )


def residual_place(name: str) -> int | None:
    """Which of the residuals a name of `residual_names` means, from 0; None for any other name."""
    found = _RESIDUAL.fullmatch(name)
    return None if found is None else int(found[1] or 1) - 1


def residual_names(kinds: Iterable[str]) -> tuple[str, ...]:
    """What the residuals of steps of these kinds are called: one for each `pca`.

    Examples
    --------
    >>> residual_names(["log", "pca"]), residual_names(["pca", "pca"])
    (('residual',), ('residual_1', 'residual_2'))
    """
    n = sum(kind == COMPONENTS for kind in kinds)
    return (RESIDUAL,) if n == 1 else tuple(f"{RESIDUAL}_{i}" for i in range(1, n + 1))


def names_behind(asked: Sequence[AskedStep], names: Sequence[str]) -> tuple[str, ...]:
    """What features are called behind all steps.

    Raises
    ------
    JobFileError
        If a step does not fit the names that it meets.
    """
    found = tuple(names)
    for step in asked:
        found = step.output_names(found)
    return found
