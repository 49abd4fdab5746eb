"""What a component's mean is once the inverse of steps has taken it to the user's units."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from dgmm.data.transforms.elementwise import Elementwise


class Location(Enum):
    """A number that says where a component lies along one of the user's features.

    Behind all steps a component is Gaussian, and so is each of its features.
    """

    #: The component's mean: behind it nothing but shifts, scales and sums.
    MEAN = "mean"
    #: The mean of its rows' projection on fewer principal components than there are columns: where
    #: the rows lie along the others is not known, and the mean of all rows stands there.
    PROJECTION = "mean of the projection"
    #: Its median: an increasing transformation takes the median, which is a Gaussian's mean, to
    #: the median.
    MEDIAN = "median"
    #: Neither: a sum of medians is no median of the sum, and a projection's is not the component's.
    IMAGE = "image of the mean"
    #: No inverse exists.
    NONE = "quantiles"


#: What increasing transformations that are no straight line make of them.
_CURVED = {Location.MEAN: Location.MEDIAN, Location.PROJECTION: Location.IMAGE}


def through(behind: Location, step: Elementwise) -> Location:
    """What the inverse of a transformation of single values makes of a number."""
    if not step.has_inverse:
        return Location.NONE
    return behind if step.is_affine else _CURVED.get(behind, behind)


def of_sums(behind: Sequence[Location], *, is_projected: bool) -> Location:
    """What sums of such numbers are, which a projection may have left some terms out of."""
    kinds = {*behind}
    if Location.NONE in kinds:
        return Location.NONE
    if not kinds <= {Location.MEAN, Location.PROJECTION}:
        return Location.IMAGE
    is_mean = kinds == {Location.MEAN} and not is_projected
    return Location.MEAN if is_mean else Location.PROJECTION
