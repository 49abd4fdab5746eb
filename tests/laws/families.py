"""The families that the laws are stated about: those of dgmm, and two that only tests define."""

from __future__ import annotations

from own_squares import OWN_SQUARES
from tied_diag import TIED_DIAG

from dgmm.mixture.covariance import FAMILIES, Family

#: Families whose quadratic part compiled code knows.
COMPILED_FAMILIES: dict[str, Family] = {**FAMILIES, TIED_DIAG.name: TIED_DIAG}
ALL_FAMILIES: dict[str, Family] = {**COMPILED_FAMILIES, OWN_SQUARES.name: OWN_SQUARES}
