"""The families that the laws are stated about: those of dgmm, and one that only tests define."""

from __future__ import annotations

from tied_diag import TIED_DIAG

from dgmm.mixture.covariance import FAMILIES, Family

ALL_FAMILIES: dict[str, Family] = {**FAMILIES, TIED_DIAG.name: TIED_DIAG}
