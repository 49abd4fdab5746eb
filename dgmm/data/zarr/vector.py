"""Arrays of one dimension, read as rows of one feature: the weights of rows beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dgmm.data.feature_names import safe_text
from dgmm.data.zarr.absent_chunks import find_absent
from dgmm.data.zarr.chunk_listing import list_chunks
from dgmm.data.zarr.chunk_reading import ChunkReader, check_openable
from dgmm.data.zarr.conventions import refuse_encoded
from dgmm.data.zarr.dataset import AbsentPolicy, ZarrDataset
from dgmm.data.zarr.layout import ArrayLayout, layout_of, sharding_of
from dgmm.data.zarr.node import ArrayNode, find_array
from dgmm.errors import DataError


def open_zarr_vector(
    path: str, array: str | None = None, *, absent_chunks: AbsentPolicy = "error"
) -> ZarrDataset:
    """Open an array (n,) as rows (n, 1); chunks may be cut otherwise than those of any other array.

    Parameters
    ----------
    path, array
        Local folder of a group and the name of the array, or the folder of the array alone.
    absent_chunks
        Whether chunks that do not exist are an error or hold the fill value.

    Raises
    ------
    DataError
        If it is no array of one dimension of real numbers, is damaged, lacks chunks, or is encoded.
    DataNotFoundError
        If the path is absent or not readable.
    """
    node = find_array(path, array)
    layout = vector_layout_of(node)
    refuse_encoded(node.folder, node.attributes, layout.dtype.kind)
    check_openable(node, layout)
    listing = list_chunks(Path(node.folder), layout)
    absent = find_absent(Path(node.folder), layout, listing, fill=absent_chunks == "fill")
    reader = ChunkReader(node.folder, node.zarr_format, node.digest, layout, absent)
    name = Path(node.folder).name
    return ZarrDataset(reader, (name,), node.attributes, listing.digest, warnings=())


def vector_layout_of(node: ArrayNode) -> ArrayLayout:
    """The layout of an array of one dimension, or of one column, as rows of one feature.

    Raises
    ------
    DataError
        If the metadata are damaged, or the array has another shape.
    """
    shape = node.metadata.get("shape")
    if isinstance(shape, list) and len(shape) == 2 and shape[1] == 1:
        return layout_of(node)
    if not isinstance(shape, list) or len(shape) != 1:
        raise DataError(
            f"{node.folder}: its shape is {safe_text(str(shape))}; expected one value per row, an "
            "array of one dimension"
        )
    return replace(layout_of(_widened(node)), is_vector=True)


def _widened(node: ArrayNode) -> ArrayNode:
    """The node of a vector as that of an array with one column; the digest stays its own."""
    document = dict(node.metadata)
    document["shape"] = [*document["shape"], 1]
    if node.zarr_format == 2:
        document["chunks"] = _with_column(document.get("chunks"))
        return replace(node, metadata=document)
    grid = dict(document.get("chunk_grid") or {})
    own = dict(grid.get("configuration") or {})
    grid["configuration"] = own | {"chunk_shape": _with_column(own.get("chunk_shape"))}
    document["chunk_grid"] = grid
    codecs = document.get("codecs")
    if isinstance(codecs, list) and (inner := sharding_of(codecs)) is not None:
        widened = {**inner, "chunk_shape": _with_column(inner.get("chunk_shape"))}
        document["codecs"] = [{"name": "sharding_indexed", "configuration": widened}]
    return replace(node, metadata=document)


def _with_column(sizes: Any) -> Any:
    return [*sizes, 1] if isinstance(sizes, list) else sizes
