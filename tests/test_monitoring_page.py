"""docs/monitoring.md: its jobs are valid, its exit codes exist, its thresholds are the defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dgmm.config import load_job
from dgmm.config.earlier_model import MonitorSettings
from dgmm.errors import ExitCode
from dgmm.fitting.drift import measure
from dgmm.fitting.drift.alarms import STANDARD_ERRORS, Thresholds

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "monitoring.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", [block for block in BLOCKS if "apiVersion" not in block])
def test_each_job_is_valid(text: str, tmp_path: Path) -> None:
    rest = {
        "data": "data: {path: data/x.zarr}\n",
        "model": "model: {n_components: 3}\n",
        "output": "output: {path: runs/x}\n",
    }
    named = re.findall(r"^(\w+):", text, re.MULTILINE)
    missing = "".join(line for key, line in rest.items() if key not in named)
    (tmp_path / "job.yaml").write_text(text + missing, encoding="utf-8")
    job = load_job(tmp_path / "job.yaml", environment={"NIGHT": "2026-01-31"})
    assert job.monitor.against == "last" or job.adapt.relevance == 16


def test_the_cron_job_names_exit_codes_that_exist() -> None:
    (text,) = (block for block in BLOCKS if "apiVersion" in block)
    job = YAML(typ="safe").load(text)["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert {*rule["onExitCodes"]["values"]} <= {code.value for code in ExitCode}
    assert ExitCode.DRIFT in rule["onExitCodes"]["values"]
    assert ExitCode.STOPPED not in rule["onExitCodes"]["values"]


def test_the_page_gives_the_thresholds_in_force() -> None:
    usual, own = Thresholds(), MonitorSettings()
    for key in ("hellinger", "weight", "anomaly_ratio", "significance"):
        assert getattr(usual, key) == getattr(own, key)
        assert f"`{key}` ({getattr(own, key):g})" in PAGE
    assert f"{STANDARD_ERRORS:g} standard errors" in PAGE
    assert f"fewer than {measure.FEWEST_ROWS:g} rows" in PAGE
    assert measure.TIMES_LEAST == 2
