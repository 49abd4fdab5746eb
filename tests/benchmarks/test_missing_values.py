"""What `dgmm plan` says of missing values, against what the benchmark measured."""

from __future__ import annotations

import json

import pytest

from benchmarks.missing_values import CASES, planned
from benchmarks.results import FOLDER

MEASURED = {
    (line["part"], line["what"]): line["value"]
    for line in json.loads((FOLDER / "missing.json").read_text(encoding="utf-8"))["measurements"]
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family}, {case}")
def test_each_pass_takes_within_twice_of_what_plan_says(case):
    assert 0.5 <= MEASURED[case.family, str(case)] / planned(case) <= 2.0
