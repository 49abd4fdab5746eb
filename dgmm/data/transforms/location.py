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
    #: Its median: an increasing transformation takes the median, which is a Gaussian's mean, to
    #: the median.
    MEDIAN = "median"
    #: Neither: a sum of medians is no median of the sum.
    IMAGE = "image of the mean"
    #: No inverse exists.
    NONE = "quantiles"


def through(behind: Location, step: Elementwise) -> Location:
    """What the inverse of a transformation of single values makes of a number."""
    if not step.has_inverse:
        return Location.NONE
    return Location.MEDIAN if behind is Location.MEAN and not step.is_affine else behind


def of_sums(behind: Sequence[Location]) -> Location:
    """What sums of such numbers are."""
    kinds = {*behind}
    if Location.NONE in kinds:
        return Location.NONE
    return Location.MEAN if kinds == {Location.MEAN} else Location.IMAGE
