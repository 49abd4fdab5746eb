"""Columns in the order of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.feature_coordinates import matching_coordinates
from dgmm.data.feature_names import are_positions
from dgmm.data.feature_units import refuse_other_units, units_of
from dgmm.data.forwarding_dataset import ForwardingDataset, StoredRows, read_in_grid
from dgmm.data.row_block import RowBlock
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.terminal_text import listed

#: Names in a message.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SelectedFeatures(ForwardingDataset):
    """A data set whose columns are taken in another order."""

    columns: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Columns taken."""
        return len(self.columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In the order taken."""
        return tuple(self.rows.feature_names[i] for i in self.columns)

    @property
    def grid(self) -> BlockGrid:
        """Blocks of the columns taken."""
        return BlockGrid(self.n_samples, self.n_features)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their columns in order."""
        for block in read_in_grid(self.rows, self.grid, blocks):
            yield replace(block, values=np.ascontiguousarray(block.values[:, self.columns]))

    def fingerprint(self) -> dict[str, Any]:
        """Of what is stored, and of the order."""
        return self.rows.fingerprint() | {"columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class SelectedStoredFeatures(StoredRows, SelectedFeatures):
    """A stored data set whose columns are taken in another order."""

    rows: StoredDataset


def selected(dataset: Dataset, columns: tuple[int, ...]) -> SelectedFeatures:
    """Columns of a data set, stored or not."""
    if isinstance(dataset, StoredDataset):
        return SelectedStoredFeatures(dataset, columns)
    return SelectedFeatures(dataset, columns)


def in_model_order(
    dataset: Dataset,
    names: tuple[str, ...],
    units: Mapping[str, str] | None = None,
    *,
    may_have_more: bool = False,
) -> tuple[Dataset, str | None]:
    """The data set with its columns as the model has them, and a warning if they were moved.

    Columns are found by name. Where the data or the model have no names of their own (x0, x1, … in
    this order, and the other side has none of these) they are taken by position; so are those of an
    array without names that has as many columns as the model, whatever the model's are called.

    Parameters
    ----------
    dataset
        Rows with the features that the user has.
    names
        Of the model's features.
    units
        Units of the model's features, as far as they are known, by name.
    may_have_more
        Whether features that the model has not are left out; else they are an error.

    Raises
    ------
    DataError
        If the number of features differs, names are missing or unknown, or units differ; or if
        one side has no names, and the other has some of x0, x1, … among its own.
    """
    own = dataset.feature_names
    if own == names or _is_bare(dataset, names) or _is_unnamed(own, names):
        columns = tuple(range(len(names)))
    else:
        columns = _columns(own, names, may_have_more=may_have_more)
    _compare_units(dataset, names, columns, units or {})
    if columns == tuple(range(len(own))):
        return dataset, None
    n, d = len(own), len(columns)
    note = "the data's features were put in the model's order"
    if are_positions(own):  # names, or none: which of them is not known
        note += ", taking x0, x1, … for names that the data have"
    if d < n:
        note = f"of the data's {n:,} features the model's {d:,} are taken, by name"
    return selected(dataset, columns), note


def position_note(own: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    """The warning that features, where none had to be moved, were taken by position.

    The estimator gives none: rows are often a frame in one call and an array in the next.
    """
    if own == names or not (are_positions(own) or are_positions(names)):
        return None
    whose = "data's" if are_positions(own) else "model's"
    return f"features are taken by position: the {whose} have no names"


def _is_bare(dataset: Dataset, names: tuple[str, ...]) -> bool:
    """Whether the rows are an array without names, of as many columns as the model has features.

    A marginal of a model without names has some of x0, x1, … in another order: these are no names
    that such an array could have.
    """
    has_names: bool = getattr(dataset, "has_names", True)  # stored rows may be called x0, x1, …
    return not has_names and dataset.n_features == len(names)


def _is_unnamed(own: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether features go by position: one side has no names, and the other none like x0.

    Raises
    ------
    DataError
        If one side has no names and not as many features as the other; or if some of the names
        agree, so that the features called x0, x1, … may be in other places.
    """
    if not are_positions(own) and not are_positions(names):
        return False
    shared = set(own) & set(names)
    if len(own) != len(names) and (are_positions(own) or not shared):
        raise DataError(_unnamed_number(own, names))
    if not shared:
        return True
    if shared == set(names):  # columns that are really called x0, x1, …
        return False
    raise DataError(
        f"the data have the features {listed(own, _SHOWN)}, the model {listed(names, _SHOWN)}: "
        f"{listed(sorted(shared), _SHOWN)} on both sides, the others on one, so that they cannot "
        "be taken by position. Call the data's features by the model's names"
    )


def _unnamed_number(own: tuple[str, ...], names: tuple[str, ...]) -> str:
    """Why features without names are refused, with those that are there, and the remedy."""
    found = (("data", own), ("model", names))
    bare = [whose for whose, side in found if are_positions(side)]
    named = [
        f"; the {whose}'s are {listed(side, _SHOWN)}"
        for whose, side in found
        if not are_positions(side)
    ]
    return (
        f"{_other_number(own, names)}. Those of the {' and the '.join(bare)} have no names and "
        f"are taken by position{''.join(named)}. Give the model's features alone, in its "
        "order: of a table, name its columns in data.columns"
    )


def _columns(
    own: tuple[str, ...], names: tuple[str, ...], *, may_have_more: bool
) -> tuple[int, ...]:
    """Which column of the data each feature of the model is."""
    places = {name: i for i, name in enumerate(own)} | matching_coordinates(own, names)
    missing = sorted(name for name in names if name not in places)
    unknown = sorted(set(own) - {own[places[name]] for name in names if name in places})
    if len(own) != len(names) and unknown and not may_have_more:
        raise DataError(f"{_other_number(own, names)}: {_differing(missing, unknown)}")
    if missing:
        instead = f"; they have {listed(unknown)} instead" if unknown else ""
        raise DataError(
            f"the data lack the model's features {listed(missing)}{instead}. Features are found by "
            "the names that the fit had: rename them, or take a part of the data that has them"
        )
    return tuple(places[name] for name in names)


def _compare_units(
    dataset: Dataset, names: tuple[str, ...], columns: tuple[int, ...], units: Mapping[str, str]
) -> None:
    own, found = dataset.feature_names, units_of(dataset)
    mine = [(own[i], found.get(own[i])) for i in columns]
    refuse_other_units(mine, [(name, units.get(name)) for name in names])


def _other_number(own: tuple[str, ...], names: tuple[str, ...]) -> str:
    return f"the data have {len(own)} features, the model has {len(names)}"


def _differing(missing: list[str], unknown: list[str]) -> str:
    """Which features the data have too many, and which they lack."""
    parts = [
        f"{what} {listed(found)}"
        for what, found in (("the model has no", unknown), ("the data lack", missing))
        if found
    ]
    return f"{'; '.join(parts)}. Give the model's features alone"
