"""Which chunks of the arrays that are read exist, and where absent ones are no doubt.

Nothing in a Zarr store tells a chunk that was left out, because it holds the fill value alone, from
one that was lost. Coordinates are 0 in a whole chunk more often than other values, so two cases are
taken without `absent_chunks: fill`: a chunk of one value that the even steps of a dimension's
coordinate lead to, and coordinates that are only copied to maps, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.sources.labelled.chunk_store import AbsentChunksError, count_absent, list_files
from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.coordinates import coordinate_names, related_names
from dgmm.data.sources.labelled.opening import LabelledFile, decoded
from dgmm.data.zarr.chunk_files import ChunkFiles

#: What a variable is for: places along a dimension, copies in maps, or values of features.
Role = Literal["places", "copied", "values"]
#: Share of a step by which the steps of an even coordinate differ at most.
_UNEVEN = 1e-3


def with_chunks(collection: Collection, source: DataSource) -> tuple[Collection, tuple[str, ...]]:
    """The same files, of whose chunks it is known which exist, and warnings of those that do not.

    Raises
    ------
    DataError
        If chunks are absent, the job does not fill them, and they may have held other values.
    """
    roles, is_filled = _roles(collection, source), source.absent_chunks == "fill"
    files, warnings = [], []
    for file in collection.files:
        known = file.dataset.variables if file.is_zarr else ()
        chunks: dict[str, ChunkFiles] = {}
        for name, role in roles.items():
            if name in known:
                chunks[name], warning = _listed(file, name, role, is_filled=is_filled)
                warnings += [warning] if warning is not None else []
        files.append(file.with_chunks(chunks))
    return Collection(tuple(files), collection.concat_dim, collection.starts), tuple(warnings)


def _listed(
    file: LabelledFile, name: str, role: Role, *, is_filled: bool
) -> tuple[ChunkFiles, str | None]:
    """Chunks of one variable, and a warning of absent ones."""
    try:
        found, _ = list_files(file.root, name, fill=is_filled)
    except AbsentChunksError as error:
        filled, _ = list_files(file.root, name, fill=True)
        if role == "copied":
            return filled, (
                f"{error.found}. {name} is copied to maps as it is, with the fill value there: "
                "zarr stores no chunk that holds nothing else"
            )
        if role != "places" or not _is_even(file, name, filled):
            raise
        return filled, None
    if not is_filled:
        return found, None
    n_absent, n_chunks = count_absent(file.root, name, found)
    if not n_absent:
        return found, None
    return found, (
        f"{file.root}/{name}: {n_absent:,} of {n_chunks:,} chunks do not exist and are read as "
        "fill values"
    )


def _is_even(file: LabelledFile, name: str, chunks: ChunkFiles) -> bool:
    """Whether a coordinate has even steps, those to its one absent value included."""
    opened = file.with_chunks({name: chunks})
    variable = opened.dataset.variables[name]
    dims = tuple(map(str, variable.dims))
    if dims != (name,) or chunks.n_absent != 1 or chunks.counts != variable.shape:
        return False
    values = np.asarray(decoded(name, dims, opened.stored(name, {}), variable.attrs))
    if values.dtype.kind not in "biuf" or len(values) < 4:
        return False
    steps = np.diff(values.astype(np.float64))
    return bool(steps[0] and (np.abs(steps - steps[0]) <= _UNEVEN * abs(steps[0])).all())


def _roles(collection: Collection, source: DataSource) -> Mapping[str, Role]:
    """What is read: coordinates, which select and name places, before the others.

    Coordinates and grid mappings of one value are left out: xarray writes no chunk of a 0 (the fill
    value), as in a first time step, and one place cannot be lost by selecting.
    """
    weights = source.weight_column or source.weight_cosine
    wanted = [name for name in (*source.variables, weights) if name in collection.names()]
    dims = dict.fromkeys(dim for name in wanted for dim in collection.dims(name))
    places = [dim for dim in dims if dim in collection.names()]
    copied = coordinate_names(collection, source.sample_dims)
    related = related_names(collection, copied, source.variables[0], source.sample_dims)
    roles: dict[str, Role] = dict.fromkeys(places, "places")
    roles = {**dict.fromkeys([*places, *copied, *related], "copied"), **roles}
    sizes = collection.sizes
    several = {n: r for n, r in roles.items() if any(sizes[d] > 1 for d in collection.dims(n))}
    return several | dict.fromkeys(wanted, "values")
