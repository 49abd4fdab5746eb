"""Covariance families, one file each; `FAMILIES` has them by name.

Choose `full` for clusters of any shape (k·d(d+1)/2 numbers), `tied` where all share one shape,
`diag` where features are independent inside a cluster or d is large, `spherical` for round clusters
in features that share a unit: it is the soft sister of k-means. `tied_diag` and `tied_spherical`
have one such covariance for all components: fewer numbers still, and passes as cheap as those of
`tied`. Another package adds a family with `register_family`, or as an entry point of the group
`dgmm.families` that is a `Family`.
"""

from dgmm.errors import DataError
from dgmm.mixture.covariance.diag import Diag
from dgmm.mixture.covariance.family import Family, Moments, SharedFamily
from dgmm.mixture.covariance.full import Full
from dgmm.mixture.covariance.marginals import Conditional, Marginals
from dgmm.mixture.covariance.spherical import Spherical
from dgmm.mixture.covariance.tied import Tied
from dgmm.mixture.covariance.tied_diag import TiedDiag
from dgmm.mixture.covariance.tied_spherical import TiedSpherical
from dgmm.mixture.covariance.uncorrelated import UncorrelatedFamily
from dgmm.registry import Registry

FAMILIES: Registry[Family] = Registry(
    "covariance_type",
    "dgmm.families",
    {
        family.name: family
        for family in (Full(), Tied(), Diag(), Spherical(), TiedDiag(), TiedSpherical())
    },
    Family,
)

__all__ = [
    "FAMILIES",
    "Conditional",
    "Diag",
    "Family",
    "Full",
    "Marginals",
    "Moments",
    "SharedFamily",
    "Spherical",
    "Tied",
    "TiedDiag",
    "TiedSpherical",
    "UncorrelatedFamily",
    "family_named",
    "register_family",
]


def family_named(name: str) -> Family:
    """Return the family of that name.

    Raises
    ------
    DataError
        If there is none.
    """
    return FAMILIES.named(name)


def register_family(family: Family) -> None:
    """Make a family available under its name in this process.

    Raises
    ------
    DataError
        If another family has that name.
    """
    if FAMILIES.get(family.name, family) != family:
        raise DataError(f"there is a covariance family {family.name!r} already; rename yours")
    FAMILIES[family.name] = family
