from __future__ import annotations

from pathlib import Path

import pytest

from dgmm.report.run_data import RunRecord
from dgmm.report.tables import component_log_table


@pytest.mark.parametrize("key", ["kind", "event"])
def test_the_kind_of_an_event_is_read_under_its_name_of_today_and_of_earlier_runs(
    tmp_path: Path, key: str
) -> None:
    entry = {"iteration": 4, "restart": 0, "component": 2, key: "reseeded", "message": "emptied"}
    table = component_log_table(RunRecord(tmp_path, {"component_log": [entry]}))
    assert table is not None
    assert list(table.rows) == [("4", "0", "2", "reseeded", "emptied")]
