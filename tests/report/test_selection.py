"""The note below the table of several models: edges of the range, and why models were refitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgmm.report.run_data import RunRecord
from dgmm.report.selection import selection_table


def note(**selection: Any) -> str:
    one = {"n_components": 5, "covariance_type": "full"}
    facts = {"selection": {"models": [one], "chosen": one, "lowest_bic": one, **selection}}
    table = selection_table(RunRecord(Path("run"), facts))
    assert table is not None
    return table.note


def test_both_edges_of_the_range_are_shown() -> None:
    said = note(chosen_is_smallest=True, lowest_bic_at_edge=True)
    assert "Chosen: full 5 (the smallest that was asked for: fewer might do)" in said
    assert "BIC alone chooses full 5 (at the edge of the range: more might be better)" in said


def test_models_that_were_fitted_again_are_shown_with_the_reason() -> None:
    seven = {"n_components": 7, "covariance_type": "full"}
    said = note(refitted=[seven | {"reason": "not sound"}], fallen=[seven])
    assert "Fitted again from a split of a smaller model: full 7 (not sound)." in said
    assert "Less likely than a smaller model of the same family: full 7." in said


def test_a_model_that_lost_components_is_shown_with_what_is_left() -> None:
    models = [
        {"n_components": 8, "covariance_type": "full", "fitted_components": 6},
        {"n_components": 5, "covariance_type": "full", "fitted_components": 5},
    ]
    table = selection_table(RunRecord(Path("run"), {"selection": {"models": models}}))
    assert table is not None
    assert [row[0] for row in table.rows] == ["full 8, 6 left", "full 5"]
