"""Units that data state are compared with a model's; what is not stated agrees with all."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.feature_units import is_same_unit, units_of
from dgmm.data.selected_features import in_model_order
from dgmm.errors import DataError

SAME = [
    "m s**-1 = m/s",
    "W m-2 = W/m^2",
    "kg/m3 = kg m**-3",
    "degC = °C",
    " g/kg = g kg-1",
    "K = K",
    "degree_north = degrees_north",
    "degrees_E = degree_east",
    "degree = degrees",
    "day = days",
    "hour = h",
    "hr = hours",
    "second = s",
    "kg m-2 s-1 = kg/m²/seconds",
    "W/m² = W m-2",
    "m s⁻¹ = m/s",
    "\N{MICRO SIGN}m = \N{GREEK SMALL LETTER MU}m",
    "psu = PSU",
    "1e-3 = g/kg",
    "g kg**-1 = 0.001",
    "watts = watt",
]
OTHER = ["degC = K", "m = mm", "m/s = m s", "g kg-1 = 1", "days since 2000 = days since 2001"]
OTHER += ["degrees_north = degrees_east", "m = min", "ms = m", "psu = 1e-3", "h = d", "10² = 102"]
OTHER += ["degree = degree_Celsius", "das = da", "g = kg"]


@pytest.mark.parametrize(("text", "is_same"), [(t, t in SAME) for t in SAME + OTHER])
def test_spellings_of_one_unit_are_one_and_others_are_not(text, is_same):
    one, other = text.split(" = ")
    assert is_same_unit(one, other) is is_same_unit(other, one) is is_same


def rows(units: object, names: tuple[str, ...] = ("t", "s")) -> ArrayDataset:
    return ArrayDataset(np.ones((3, len(names))), names, units=units)


def test_an_attribute_is_of_all_features_or_of_those_that_it_names():
    assert units_of(rows("K")) == {"t": "K", "s": "K"}
    assert units_of(rows({"s": "g/kg", "other": "m", "t": " "})) == {"s": "g/kg"}
    assert units_of(rows(None)) == units_of(rows(["K"])) == {}


def test_data_in_other_units_are_refused_with_feature_and_both_units():
    said = r"other units .*: t is in degC, and in the model in K\. Convert the values .* attribute"
    with pytest.raises(DataError, match=said):
        in_model_order(rows({"t": "degC", "s": "psu"}), ("s", "t"), {"t": "K", "s": "psu"})


@pytest.mark.parametrize(
    ("mine", "models"), [(None, {"t": "K"}), ({"t": "K"}, {}), ({"t": "K"}, {"t": "kelvin"})]
)
def test_a_unit_that_one_side_does_not_state_is_no_error(mine, models):
    assert in_model_order(rows(mine), ("t", "s"), models)[1] is None


def test_units_go_with_their_features_where_these_are_taken_by_position():
    with pytest.raises(DataError, match=r"x0 is in degC, and in the model in K\. "):
        in_model_order(rows({"x0": "degC"}, ("x0", "x1")), ("t", "s"), {"t": "K"})
