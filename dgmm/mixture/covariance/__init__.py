"""The four covariance families, one file each, each the whole truth about it.

Choose `full` for clusters of any shape (k·d(d+1)/2 numbers), `tied` where all share one shape,
`diag` where features are independent inside a cluster or d is large, `spherical` for round clusters
in features that share a unit: it is the soft sister of k-means.
"""

from dgmm.errors import DataError
from dgmm.mixture.covariance.diag import Diag
from dgmm.mixture.covariance.family import Family, Moments
from dgmm.mixture.covariance.full import Full
from dgmm.mixture.covariance.spherical import Spherical
from dgmm.mixture.covariance.tied import Tied

FAMILIES: dict[str, Family] = {f.name: f for f in (Full(), Tied(), Diag(), Spherical())}

__all__ = ["FAMILIES", "Diag", "Family", "Full", "Moments", "Spherical", "Tied", "family_named"]


def family_named(name: str) -> Family:
    """Return the family of that name.

    Raises
    ------
    DataError
        If there is none.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        choices = ", ".join(FAMILIES)
        raise DataError(f"covariance_type is {name!r}; expected one of {choices}") from None
