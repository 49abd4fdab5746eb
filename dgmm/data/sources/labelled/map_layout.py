"""What a map of rows takes over from its source: dimensions, coordinates, attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dgmm.data.sources.labelled.coordinates import (
    coordinate_names,
    copy_variables,
    named_in,
    related_names,
)
from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.storage.folders import Folder

_OWN = "coordinates"


@dataclass(frozen=True, slots=True)
class MapLayout:
    """The frame of a map.

    Attributes
    ----------
    source : LabelledSource
    dims : tuple of str
        The dimensions of the rows in the order in which the source stores them.
    coordinates, related : tuple of str
        Variables that are copied: coordinates over no other dimension than those of the rows, and
        their bounds and grid mappings.
    attributes : dict
        Of each map: `coordinates` and `grid_mapping` as the first variable has them.
    group_attributes : dict
        `coordinates`: those that no map names.
    """

    source: LabelledSource
    dims: tuple[str, ...]
    coordinates: tuple[str, ...]
    related: tuple[str, ...]
    attributes: dict[str, Any]
    group_attributes: dict[str, Any]

    @classmethod
    def of(cls, source: LabelledSource) -> MapLayout:
        """The layout of a source's maps."""
        collection, rows = source.collection, source.grid.dims
        widest = max(source.variables, key=lambda v: len(v.sample_dims))
        stored = [dim for dim in widest.dims if dim in rows]
        dims = (*stored, *(dim for dim in rows if dim not in stored))
        names = coordinate_names(collection, rows)
        related = related_names(collection, names, widest.name, rows)
        own = collection.first.dataset.variables[widest.name].attrs
        auxiliary = [name for name in names if name not in rows]
        named = [name for name in named_in(own) if name in auxiliary]
        others = [name for name in auxiliary if name not in named]
        attributes = {_OWN: " ".join(named)} if named else {}
        if isinstance(own.get("grid_mapping"), str):
            attributes["grid_mapping"] = own["grid_mapping"]
        group = {_OWN: " ".join(others)} if others else {}
        return cls(source, dims, tuple(names), tuple(related), attributes, group)

    def copy_variables(self, path: str, attributes: dict[str, Any], zarr_format: int) -> None:
        """Copy coordinates, bounds and grid mappings into the group at a path, durably."""
        names = (*self.coordinates, *self.related)
        source = self.source
        copy_variables(source.collection, names, source.taken, attributes, path, zarr_format)
        with Folder(path, follow=True) as group:
            for name in names:
                _sync(group, name)


def _sync(above: Folder, name: str) -> None:
    """Bring a folder in another one with all that is in it to disk."""
    with above.folder(name) as folder:
        inner = folder.folders()
        for each in inner:
            _sync(folder, each)
        for file in set(folder.names()).difference(inner):
            (folder / file).sync()
        folder.sync()
