from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgmm.report.run_data import RunRecord
from dgmm.report.tables import component_log_table


@pytest.mark.parametrize("key", ["kind", "event"])
def test_the_kind_of_an_event_is_read_under_its_name_of_today_and_of_earlier_runs(
    tmp_path: Path, key: str
) -> None:
    version = 2 if key == "kind" else 1
    entry = {"iteration": 4, "restart": 0, "component": 2, key: "reseeded", "message": "emptied"}
    found = {"schema_version": version, "component_log": [entry]}
    (tmp_path / "run.json").write_text(json.dumps(found), encoding="utf-8")
    table = component_log_table(RunRecord.open(tmp_path))
    assert table is not None
    assert list(table.rows) == [("4", "0", "2", "reseeded", "emptied")]
