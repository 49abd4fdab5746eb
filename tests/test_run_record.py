"""run.json: what a run writes is what the schema says; former versions are read, newer refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from golden.old_runs import HERE

from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.job import predict_job, run_job
from dgmm.run_record import REQUIRED, SCHEMA_VERSION, json_schema, read

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def faults(value: Any, schema: dict[str, Any], place: str = "$") -> list[str]:
    """Where a value is not what a schema says; of the words that `json_schema` uses."""
    if "anyOf" in schema:
        each = [faults(value, other, place) for other in schema["anyOf"]]
        return [] if [] in each else [f"{place}: none of {len(each)} fits"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{place}: {value!r}"]
    kind = schema.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (kind != "boolean" and value is True)):
        return [f"{place}: {value!r} is no {kind}"]
    if kind == "array":
        pairs = enumerate(value)
        return [f for i, v in pairs for f in faults(v, schema["items"], f"{place}[{i}]")]
    return _faults_of_object(value, schema, place) if kind == "object" else []


def _faults_of_object(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    found = [f"{place}.{key} is absent" for key in schema.get("required", ()) if key not in value]
    known, others = schema.get("properties", {}), schema["additionalProperties"]
    for key, item in value.items():
        if key not in known and others is False:
            found.append(f"{place}.{key} is unknown")
        else:
            found += faults(item, known.get(key, others), f"{place}.{key}")
    return found


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of a fit, of a prediction with its model, and of a fit that failed."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_zarr(folder / "rows.zarr", gaussian_clusters(2000, 3, 2)[0])
    write_zarr(folder / "weights.zarr", np.ones((2000, 1)))
    output = {"anomaly_quantile": 0.02, "responsibilities": True}
    model = {"n_components": 2, "n_init": 2}
    weights = {"array": "weights.zarr", "kind": "counts"}
    copied = {"path": str(data), "prepare": "always", "weights": weights}
    run_job(job(data, folder / "fit", model=model, output=output, data=copied), SilentListener())
    predict = job(data, folder / "predict", model={"path": str(folder / "fit" / "model")})
    predict_job(predict, SilentListener())
    with pytest.raises(DataError):
        run_job(job(folder / "absent.zarr", folder / "failed"), SilentListener())
    names = ("fit", "predict", "failed")
    return [json.loads((folder / name / "run.json").read_text("utf-8")) for name in names]


def test_what_runs_write_is_what_the_schema_says(records: list[dict[str, Any]]) -> None:
    schema = json_schema()
    assert [faults(record, schema) for record in records] == [[], [], []]
    assert {record["schema_version"] for record in records} == {SCHEMA_VERSION}
    assert all(read(record) == record for record in records)
    # What is delivered in the form of a source is tested with tables (tests/delivery), what missing
    # values cost, and what is recorded of several models, priors, noise, a comparison and a kind of
    # cluster that is left open, with such jobs (tests/job).
    others = {"delivered", "missing", "preprocess", "selection", "inference", "stability"}
    others |= {"drift", "earlier_run", "adaptation", "noise", "classification", "comparison"}
    others |= {"start_classes", "frozen", "shrinkage", "cluster"}
    assert set(records[0]) == set(schema["properties"]) - others


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"status": "gone"}, "$.status: 'gone'"),
        ({"rows": {"total": 1, "read": "x", "dropped": 0}}, "$.rows.read: 'x' is no integer"),
        ({"arithmetic": "numpy"}, "$.arithmetic is unknown"),
        ({"warnings": [1]}, "$.warnings[0]: 1 is no string"),
        ({"outputs": {"labels": {}}}, "$.outputs.labels.bytes is absent"),
    ],
)
def test_the_schema_finds_what_does_not_fit(
    records: list[dict[str, Any]], change: dict[str, Any], fault: str
) -> None:
    assert fault in faults(records[0] | change, json_schema())


def test_the_keys_that_every_record_has_are_required(records: list[dict[str, Any]]) -> None:
    for key in REQUIRED:
        left = {name: value for name, value in records[2].items() if name != key}
        assert faults(left, json_schema()) == [f"$.{key} is absent"]
    assert set(records[2]) == set(REQUIRED)


@pytest.mark.parametrize("name", ["old_finished", "old_run"])
def test_records_of_version_1_are_read_in_todays_keys(name: str) -> None:
    old = json.loads((HERE / name / "run.json").read_text("utf-8"))
    today = read(old)
    assert faults(today, json_schema()) == []
    assert ("arithmetic" in today, "last walk" in today["timings"]) == (False, False)
    if name == "old_finished":
        assert today["backend"] == old["arithmetic"] == "numpy"
        assert today["timings"]["scoring"] == old["timings"]["last walk"]


def test_stages_and_events_of_version_1_have_todays_names() -> None:
    events = [{"event": "held", "component": 1}, {"event": "dropped"}, {"kind": "reseeded"}]
    timings = {"em": 1.0, "last walk": 2.0, "scoring": 3.0}
    today = read({"schema_version": 1, "component_log": events, "timings": timings})
    assert today["component_log"] == [
        {"kind": "variance_floored", "component": 1},
        {"kind": "dropped"},
        {"kind": "reseeded"},
    ]
    assert today["timings"] == {"em": 1.0, "scoring": 5.0}


@pytest.mark.parametrize(
    ("found", "words"),
    [({"schema_version": 3}, "schema_version is 3, this dgmm reads up to 2"), ([], "found a list")],
)
def test_what_is_no_record_or_of_a_newer_version_is_refused(found: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(found)


def test_a_newer_record_keeps_its_directory(tmp_path: Path) -> None:
    data = write_zarr(tmp_path / "rows.zarr", gaussian_clusters(500, 2, 2)[0])
    wanted = job(data, tmp_path / "run")
    (tmp_path / "run").mkdir()
    newer = json.dumps({"schema_version": SCHEMA_VERSION + 1})
    (tmp_path / "run" / "run.json").write_text(newer)
    with pytest.raises(Exception, match="update dgmm") as refused:
        run_job(wanted, SilentListener())
    assert refused.value.exit_code == 73
    assert (tmp_path / "run" / "run.json").read_text() == newer
