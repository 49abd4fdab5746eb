"""The note below the table of several models: edges of the range, and why models were refitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgmm.outcome import Outcome
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import selection_table
from dgmm.report.tables import restart_table, starts_table


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


def test_starts_that_were_not_selected_are_folded_and_none_is_left_out() -> None:
    starts = [
        {"n_components": k, "covariance_type": "full", "restart": 0, "number": i,
         "selected": i == k % 3, "mean_log_likelihood": -float(i)}
        for k in range(2, 14)
        for i in range(16)
    ]  # fmt: skip
    table = starts_table(RunRecord(Path("run"), {"starts": starts}))
    assert table is not None
    assert len(table.rows) == len(table.record["rows"]) == 192
    assert len(table.open_rows) == 12
    assert all("selected" in row[1] for row in table.open_rows)
    assert len(table.folded_rows) == 180
    few = starts_table(RunRecord(Path("run"), {"starts": starts[:10]}))
    assert few is not None
    assert (len(few.open_rows), len(few.folded_rows)) == (10, 0)


def test_restarts_say_what_is_beyond_their_converging() -> None:
    usual, other = Outcome.CONVERGED.value, "2 components were re-seeded"
    restarts = [{"restart": i, "outcome": "CONVERGED", "message": text}
                for i, text in enumerate((usual, other))]  # fmt: skip
    table = restart_table(RunRecord(Path("run"), {"restarts": restarts}))
    assert table is not None
    assert [row[-1] for row in table.rows] == ["—", other]
