"""The families that the laws are stated about: those of dgmm, and two that only tests define."""

from __future__ import annotations

from own_squares import OWN_SQUARES
from shared_diag import SHARED_DIAG

from dgmm.mixture.covariance import FAMILIES, Family

#: Families whose quadratic part compiled code knows.
COMPILED_FAMILIES: dict[str, Family] = {**FAMILIES, SHARED_DIAG.name: SHARED_DIAG}
ALL_FAMILIES: dict[str, Family] = {**COMPILED_FAMILIES, OWN_SQUARES.name: OWN_SQUARES}
