"""Jobs on tables, from files to files: every id comes back once, in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from new_york_flights import new_york_flights
from test_run_record import faults

from dgmm.cli.entry_point import run
from dgmm.run_record import json_schema

TESTS = Path(__file__).resolve().parent.parent
FEATURES = ["dep_delay", "arr_delay", "air_time", "distance"]


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """The 336,776 flights from New York in 2013, by month, with ids that begin with zeros."""
    every = new_york_flights()[[*FEATURES, "carrier", "month"]].sort_values("month", kind="stable")
    return every.assign(flight_id=[f"{i:08d}" for i in range(len(every))])


@pytest.fixture(scope="module")
def table(flights, tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data") / "flights"
    for month, rows in flights.groupby("month"):
        file = folder / f"month={month}" / "part-0.parquet"
        file.parent.mkdir(parents=True)
        rows.drop(columns="month").to_parquet(file, index=False)
    return folder


def job_file(folder: Path, data: dict[str, Any], n_workers: int = 1) -> Path:
    tree = {
        "data": {"missing": "drop"} | data,
        "model": {"n_components": 3, "max_iter": 2},
        "initialisation": {"method": "random_from_data", "sample_rows": 5000, "n_sample_starts": 2},
        "cluster": {"kind": "threads", "n_workers": n_workers},
        "output": {"path": str(folder / "run"), "anomaly_quantile": 0.001, "report": False},
        "on_not_converged": "ignore",
    }
    folder.mkdir(exist_ok=True)
    job = folder / "job.yaml"
    job.write_text(json.dumps(tree), encoding="utf-8")
    return job


def files(job: Path) -> dict[str, bytes]:
    rows = job.parent / "run" / "rows"
    return {path.name: path.read_bytes() for path in sorted(rows.iterdir())}


@pytest.mark.timeout(180)
def test_a_killed_job_ends_with_the_files_of_another_and_every_id_once(flights, table, tmp_path):
    data = {"path": str(table), "columns": FEATURES, "id": ["flight_id"], "describe": ["carrier"]}
    one = job_file(tmp_path / "one", data)
    assert run(["run", "--quiet", str(one)]) == 0
    three = job_file(tmp_path / "three", data, n_workers=3)
    command = [sys.executable, str(TESTS / "killed_run.py"), "between files of the table", "5"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert subprocess.run([*command, str(three)], **silent, check=False).returncode == -9
    assert 0 < len(list((tmp_path / "three/run/rows").glob("part-*"))) < 12
    assert run(["run", "--quiet", str(three)]) == 0
    assert files(one) == files(three)
    assert list(files(one)) == [f"part-{i:05d}.parquet" for i in range(12)]

    found = pd.read_parquet(tmp_path / "one/run/rows")
    assert found["flight_id"].tolist() == flights["flight_id"].tolist()
    joined = flights.merge(found, on="flight_id", how="outer", indicator=True, validate="1:1")
    assert len(joined) == 336_776
    assert set(joined["_merge"]) == {"both"}
    incomplete = joined[FEATURES].isna().any(axis=1)
    assert ((joined["label"] == -1) == incomplete).all()
    assert (joined["log_density"].isna() == incomplete).all()
    # The thousandth part of lowest density, as many as the record says.
    record = json.loads((tmp_path / "one/run/run.json").read_text("utf-8"))
    assert int((joined["anomaly"] == 1).sum()) == record["anomaly"]["n_anomalies"] > 300
    assert faults(record, json_schema()) == []
    described = record["delivered"]["table"]["described"]["carrier"]
    counts = dict(zip(described["values"], map(sum, described["counts"]), strict=True))
    assert counts == flights["carrier"].value_counts().to_dict()


def test_text_beside_numbers_of_a_csv_file_comes_back_and_a_gap_is_named(tmp_path, capsys):
    lines = [f"{i:04d},{i % 3 - 1},{' ' if i == 488 else i * 31 % 97},p{i % 2}" for i in range(600)]
    file = tmp_path / "churn.csv"
    file.write_text("\n".join(["customerid,tenure,total,plan", *lines]), encoding="utf-8")
    data = {"path": str(file), "id": ["customerid"], "describe": ["plan"]}
    assert run(["run", "--quiet", str(job_file(tmp_path / "refused", data))]) == 65
    said = capsys.readouterr().err
    assert "total (string: ' ' among 599 numbers)" in said
    named = job_file(tmp_path / "named", data | {"csv": {"null_values": [" "]}})
    assert run(["run", "--quiet", str(named)]) == 0
    found = pd.read_parquet(tmp_path / "named/run/rows/part-00000.parquet")
    assert found["customerid"].tolist() == [f"{i:04d}" for i in range(600)]
    assert found.columns.tolist()[1:] == [
        *("plan", "label", "max_posterior", "log_density", "anomaly"),
    ]
    assert found.index[found["label"] == -1].tolist() == [488]


def test_predict_gives_a_table_too(tmp_path):
    frame = pd.DataFrame({"x": [i * 37 % 101 for i in range(500)], "id": range(500)})
    (tmp_path / "t").mkdir()
    frame.to_parquet(tmp_path / "t/0.parquet")
    data = {"path": str(tmp_path / "t"), "id": ["id"]}
    fitted = job_file(tmp_path / "fit", data)
    assert run(["run", "--quiet", str(fitted)]) == 0
    tree = json.loads(fitted.read_text())
    tree["model"] = {"path": str(tmp_path / "fit/run/model")}
    tree["output"] = {"path": str(tmp_path / "predicted"), "report": False}
    predict = tmp_path / "predict.yaml"
    predict.write_text(json.dumps({k: v for k, v in tree.items() if k != "initialisation"}))
    assert run(["predict", "--quiet", str(predict)]) == 0
    first = pd.read_parquet(tmp_path / "fit/run/rows")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predicted/rows"), first)


@pytest.mark.parametrize(("wanted", "is_there"), [("auto", True), (False, False)])
def test_the_table_is_written_unless_the_job_says_no(tmp_path, wanted, is_there):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(200)))
    job = job_file(tmp_path / "job", {"path": str(tmp_path / "t.csv")})
    assert run(["run", "--quiet", "--set", f"output.table={json.dumps(wanted)}", str(job)]) == 0
    assert (tmp_path / "job/run/rows/part-00000.parquet").exists() is is_there
