"""Units of features, as far as the data state them, compared with those of a model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from dgmm.data.dataset import Dataset
from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError
from dgmm.terminal_text import listed

#: A factor as UDUNITS, GRIB and people write it: `s-1`, `s**-1`, `s^-1`.
_FACTOR = re.compile(r"(?P<unit>[^\W\d]+|%|°[CF]?)\^?(?P<power>[+-]?\d+)?")
_NO_FACTOR = frozenset({"", "1", "dimensionless"})
_SUPERSCRIPT = re.compile("[⁺⁻⁰¹²³⁴-⁹]+")
#: g/kg without a unit, as CF has it for salinity.
_PER_MILLE = frozenset({"1e-3", "1E-3", "0.001", "10^-3"})
#: Spellings that files mix of one unit: of UDUNITS, and of CF for time and degrees.
_SPELLINGS = {
    "celsius": "degC deg_C degree_C °C Celsius degree_Celsius degree_celsius degrees_C "
    "degrees_Celsius degrees_celsius",
    "K": "degK deg_K degree_K degrees_K kelvin Kelvin",
    "degree": "deg °",
    "degree_north": "degree_N degreeN degrees_north degrees_N degreesN",
    "degree_east": "degree_E degreeE degrees_east degrees_E degreesE",
    "m": "meter metre",
    "g": "gram",
    "kg": "kilogram",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "d": "day",
    "%": "percent",
    "psu": "PSU",
}
_SAME = {other: unit for unit, others in _SPELLINGS.items() for other in others.split()}
#: The shortest name that may be a plural: not `ms`, `das`.
_SHORTEST_PLURAL = 4
_SHOWN = 5


def units_of(dataset: Dataset) -> dict[str, str]:
    """Unit of each feature that has one, by name.

    The attribute `units` is one unit for all features, or a unit for each name.
    """
    given, names = dataset.attributes.get("units"), dataset.feature_names
    if isinstance(given, str):
        given = dict.fromkeys(names, given)
    if not isinstance(given, Mapping):
        return {}
    found = ((name, given.get(name)) for name in names)
    return {name: safe_text(u) for name, u in found if isinstance(u, str) and u.strip()}


def refuse_other_units(
    own: Sequence[tuple[str, str | None]], model: Sequence[tuple[str, str | None]]
) -> None:
    """Refuse features whose stated unit is not the model's.

    Parameters
    ----------
    own, model
        Name and unit of each feature of the data and of the model, in the same order; None where
        none is stated, which agrees with every unit.

    Raises
    ------
    DataError
        Naming features and both units.
    """
    faulty = [
        f"{name} is in {unit}, and in the model in {due}"
        for (name, unit), (_, due) in zip(own, model, strict=True)
        if unit is not None and due is not None and not is_same_unit(unit, due)
    ]
    if faulty:
        raise DataError(
            f"the data have other units than those that the model was fitted in: "
            f"{listed(faulty, _SHOWN)}. Convert the values to the model's units and write these to "
            "the attribute units; where both are names of one unit, writing the model's, or "
            "removing the attribute, is enough"
        )


def is_same_unit(one: str, other: str) -> bool:
    """Whether two texts name one unit, as far as spelling goes: nothing is converted.

    Examples
    --------
    >>> is_same_unit("m s**-1", "m/s"), is_same_unit("degC", "degrees_Celsius")
    (True, True)
    >>> is_same_unit("degC", "K"), is_same_unit("mm", "Mm")
    (False, False)
    """
    return _spelled(one) == _spelled(other)


def _spelled(text: str) -> str:
    """Factors in one spelling and order; the text itself where it is no plain product."""
    text = _SUPERSCRIPT.sub(lambda found: f"^{found[0]}", text)
    text = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").replace("**", "^")
    if text.strip() in _PER_MILLE:
        text = "g/kg"
    powers: dict[str, int] = {}
    for i, product in enumerate(text.split("/")):
        for factor in re.split(r"[\s.·*]+", product):
            found = _FACTOR.fullmatch(factor)
            if factor in _NO_FACTOR:
                continue
            if found is None:
                return " ".join(text.split())
            unit = _unit(found["unit"])
            powers[unit] = powers.get(unit, 0) + int(found["power"] or 1) * (-1 if i else 1)
    return " ".join(f"{unit}{power}" for unit, power in sorted(powers.items()) if power) or "1"


def _unit(text: str) -> str:
    """One factor's unit in one spelling; a plural as its singular."""
    if text in _SAME:
        return _SAME[text]
    if len(text) >= _SHORTEST_PLURAL and text.islower() and text.endswith("s"):
        text = text.removesuffix("s")
    return _SAME.get(text, text)
