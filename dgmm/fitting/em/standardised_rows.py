"""Rows of a block in the units that kernels compute in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.mixture.backends import Backend
from dgmm.mixture.kernels import Workspace


@dataclass(frozen=True, slots=True, eq=False)
class StandardisedRows:
    """Rows of a block as columns in standardised units, made one tile at a time."""

    rows: NDArray[Any]
    standardisation: Standardisation
    affine: tuple[NDArray[Any], NDArray[Any]] | None
    backend: Backend

    @classmethod
    def of(
        cls,
        rows: NDArray[Any],
        standardisation: Standardisation,
        dtype: np.dtype[Any],
        workspace: Workspace,
    ) -> Self:
        """For tiles of a dtype."""
        key = "affine", id(standardisation), rows.dtype, dtype
        # Kept with what it is of, whose identity no other then has.
        affine, _ = workspace.kept(
            key, lambda: (standardisation.affine(rows.dtype, dtype), standardisation)
        )
        return cls(rows, standardisation, affine, workspace.backend)

    def some(self, rows: NDArray[Any], features: NDArray[np.intp] | None) -> StandardisedRows:
        """Other rows in the same units: of some features (m, len(features)), or of all."""
        units, affine = self.standardisation, self.affine
        if features is not None and affine is not None:  # all that rows are standardised by then
            affine = affine[0][features], affine[1][features]
        elif features is not None:
            units = units.of_features(features)
        return type(self)(rows, units, affine, self.backend)

    def part(self, rows: slice) -> StandardisedRows:
        """Consecutive rows, of which nothing is copied."""
        return self.some(self.rows[rows], None)

    def take(self, rows: NDArray[np.intp], workspace: Workspace) -> StandardisedRows:
        """Some rows (m,), copied one behind the other."""
        # Memory that is asked for anew takes as long again to be written to.
        buffer = workspace.array("some rows", self.rows.shape, self.rows.dtype)
        own = np.take(self.rows, rows, axis=0, out=buffer[: len(rows)], mode="clip")
        return self.some(own, None)

    @property
    def shape(self) -> tuple[int, int]:
        """(d, n)."""
        n, d = self.rows.shape
        return d, n

    def stored(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
        """Rows, factor and offset; None where standardising is more than that."""
        return None if self.affine is None else (self.rows, *self.affine)

    def write(self, rows: slice, out: NDArray[Any]) -> None:
        """Standardise some rows into out (d, b).

        Nothing is clipped here: preparation has refused rows whose squares overflow.
        """
        if self.affine is None:
            np.copyto(out, self.standardisation.apply(self.rows[rows], out.dtype))
        else:
            self.backend.standardise(self.rows[rows], *self.affine, out)
