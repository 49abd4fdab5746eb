"""Diagonal covariances by a family that does not say which form its quadratic part has."""

from __future__ import annotations

from dataclasses import dataclass

from dgmm.mixture.covariance import FAMILIES, Family

_DIAG = type(FAMILIES["diag"])


@dataclass(frozen=True)
class OwnSquares(_DIAG):  # type: ignore[misc, valid-type]
    """`diag` as another package may write it: `fill_quadratic` alone knows its quadratic part."""

    name = "own_squares"
    form = Family.form


OWN_SQUARES = OwnSquares()
