"""The methods that a comparison has: k-means, four families, and the job's own mixture."""

from __future__ import annotations

#: The families that every user asks about; the job's own is added where it is another, and where
#: it has noise.
FAMILIES = ("full", "tied", "diag", "spherical")
K_MEANS = "k-means"
#: What the name of the job's own family ends in where it is fitted with noise.
WITH_NOISE = " with noise"


def method_names(family: str, *, noise: bool) -> tuple[str, ...]:
    """Mixtures first, for a job that fits this family, with noise or without.

    Examples
    --------
    >>> method_names("tied_diag", noise=False)
    ('full', 'tied', 'diag', 'spherical', 'tied_diag', 'k-means')
    >>> method_names("diag", noise=True)
    ('full', 'tied', 'diag', 'spherical', 'diag with noise', 'k-means')
    """
    own = (family, *[family + WITH_NOISE] * noise)
    return (*dict.fromkeys((*FAMILIES, *own)), K_MEANS)
