"""Row arrays of a run, read from front to back: each chunk is decoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.output_array import OutputArray


class RowArrays:
    """Arrays of one value a row; `read` is asked for consecutive rows.

    Parameters
    ----------
    path : str
        Path of outputs.zarr.
    names : sequence of str
        Arrays in it; those with more than one value a row are left out.
    """

    def __init__(self, path: str, names: Sequence[str]) -> None:
        arrays = {name: OutputArray(path, name) for name in names}
        self._arrays = {name: array for name, array in arrays.items() if len(array.shape) == 1}
        self._chunks: dict[str, dict[int, NDArray[Any]]] = {name: {} for name in self._arrays}

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """Type of each array, in their order."""
        return {name: array.dtype for name, array in self._arrays.items()}

    def read(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows [start, stop) of each array; chunks before them are forgotten.

        Raises
        ------
        OutputFailedError
            If a chunk is missing or damaged.
        """
        return {name: self._rows(name, start, stop) for name in self._arrays}

    def _rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        array, held = self._arrays[name], self._chunks[name]
        size = array.chunk_rows
        wanted = range(start // size, -(-stop // size))
        for chunk in [chunk for chunk in held if chunk not in wanted]:
            del held[chunk]
        for chunk in wanted:
            if chunk not in held:
                held[chunk] = array.read(chunk * size, min((chunk + 1) * size, array.shape[0]))
        if not wanted:
            return np.empty(0, array.dtype)
        rows = np.concatenate([held[chunk] for chunk in wanted])
        return rows[start - wanted.start * size : stop - wanted.start * size]
