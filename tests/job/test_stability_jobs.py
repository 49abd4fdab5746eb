"""Jobs that look for their components in halves of the sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clusters import gaussian_clusters, job, write_zarr
from test_run_record import faults

from dgmm.events import SilentListener
from dgmm.fitting.selection import stability as halves
from dgmm.job import run_job
from dgmm.job.earlier_identities import in_former_names, in_todays_names
from dgmm.job.identity import identity
from dgmm.report import write_report
from dgmm.run_record import json_schema


def test_a_job_of_one_model_records_and_warns_of_components_that_are_not_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_zarr(tmp_path / "rows.zarr", gaussian_clusters(450)[0])
    own = {"initialisation": {"n_sample_starts": 1}, "on_not_converged": "ignore"}

    def asked(k: int) -> object:
        return job(data, tmp_path / f"run-{k}", model={"n_components": k},
                   selection={"stability": True}, **own)  # fmt: skip

    for k in (3, 5):
        run_job(asked(k), SilentListener())  # type: ignore[arg-type]
    three, five = (json.loads((tmp_path / f"run-{k}" / "run.json").read_text()) for k in (3, 5))
    assert faults(three, json_schema()) == []
    assert three["stability"]["is_stable"]
    assert not [text for text in three["warnings"] if text.startswith("stability")]
    found = five["stability"]
    assert len(found["jaccard"]) == 5
    assert found["jaccard"][found["worst_component"]] == min(found["jaccard"]) < 0.75
    assert any("components are not found again in other rows" in w for w in five["warnings"])
    page = write_report(tmp_path / "run-5").read_text(encoding="utf-8")
    assert "Stability of components" in page
    assert "Not all are stable" in page
    monkeypatch.setattr(halves, "fit", None)  # nothing is fitted again
    assert run_job(asked(5), SilentListener()).was_finished  # type: ignore[arg-type]


def test_it_is_part_of_what_a_job_is_and_jobs_of_earlier_versions_stay_what_they_were(
    tmp_path: Path,
) -> None:
    plain, own = (job(tmp_path, tmp_path / "r", selection={"stability": s}) for s in (False, True))
    assert "selection" not in identity(plain)
    assert identity(own)["selection"]["stability"] is True
    for one in (plain, own):
        assert in_todays_names(in_former_names(identity(one))) == identity(one)
