from __future__ import annotations

import json
import math

import pytest
from ruamel.yaml import YAML

from dgmm.report.axis_units import AxisUnit, drawn_range
from dgmm.report.formatting import duration, number, ordinal, shortened, size, yaml_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (1234567, "1,234,567"),
        (-54.321987, "−54.322"),
        (1234567.891, "1,234,568"),
        (12345.6, "12,346"),
        (0.0, "0"),
        (1e-7, "1×10⁻⁷"),
        (-1.23456789e300, "−1.2346×10³⁰⁰"),
        (9.97e36, "9.97×10³⁶"),
        (math.nan, "—"),
        (-math.inf, "−∞"),
        ("-Infinity", "−∞"),
        (None, "—"),
        (99999.9, "100,000"),
    ],
)
def test_numbers_have_five_significant_digits_and_separators(value: object, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0123, "12.3 ms"), (1.5, "1.5 s"), (59.99, "60 s"), (61.5, "1 min 2 s"), (7325, "2 h 2 min"),
     (None, "—")],
)  # fmt: skip
def test_durations_come_in_the_unit_a_person_would_say(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (2_169_200, "2.17 MB"), (4e17, "400 PB"), (None, "—")],
)
def test_sizes_are_decimal(n_bytes: float | None, shown: str) -> None:
    assert size(n_bytes) == shown


def test_ordinals_follow_the_last_two_digits() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112, 1003)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th", "1,003rd",
    ]  # fmt: skip


def test_long_text_keeps_both_ends_and_loses_control_characters() -> None:
    assert len(shortened("a" * 100_000 + "end", 20)) == 20
    assert shortened("a" * 100_000 + "end", 20).endswith("end")
    assert "\x1b" not in shortened("\x1b[31mred\n\ud800", 20)
    shortened("\ud800", 20).encode()


def test_the_resolved_job_is_yaml_that_reads_back() -> None:
    job = {
        "data": {"path": "data/x.zarr", "array": None, "none": "null", "no": "no"},
        "model": {"tol": 1e-4, "n_components": 8, "covariance_type": "full", "flag": True},
        "texts": ["012", "a: b", "# c", "", "-", "½ <b>", "1e3", "x"],
        "nested": [{"a": [1, 2]}, {"b": {}}, []],
        "012": "- x",
    }
    assert YAML(typ="safe").load(yaml_text(job)) == json.loads(json.dumps(job))


def test_endless_lists_and_strings_are_cut_in_the_job() -> None:
    text = yaml_text({"names": ["n" * 10_000] * 10_000})
    assert len(text) < 50 * 500
    assert "9,950 more" in text


@pytest.mark.parametrize("largest", [1.0, 1e14, 3e300, 1.7e308, 2e-300, 5e-324])
def test_axis_values_are_brought_to_where_they_can_be_drawn(largest: float) -> None:
    import numpy as np

    unit = AxisUnit.of(np.array([0.0, -largest, np.nan, np.inf]))
    drawn = abs(float(unit.apply(np.array([largest]))[0]))
    assert 1e-15 <= drawn < 1e16
    assert bool(unit.label) == (unit.exponent != 0)


def test_an_outlier_does_not_set_the_limits() -> None:
    import numpy as np

    low, high = drawn_range(np.append(np.linspace(0, 1, 5000), 1e12))
    assert -0.1 < low < 0
    assert 1 < high < 1.1
    assert drawn_range(np.array([np.nan])) == (0.0, 1.0)
    assert drawn_range(np.array([5.0]))[0] < 5.0 < drawn_range(np.array([5.0]))[1]
