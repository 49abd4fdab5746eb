"""Whatever a job file or an array holds, a command ends with a documented exit code.

`fuzz.py` beside this file draws from the same strategies, as many examples as one has time for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attempts import attempt
from hypothesis import HealthCheck, Phase, given, settings
from random_arrays import ArrayCase, array_cases
from random_jobs import JobFile, broken_files, overrides, tree_files
from sandbox import Sandbox, Tried, try_array

# The same examples every time, here and in CI; what chance brings is the fuzz script's business.
reproducibly = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory) -> Iterator[Sandbox]:
    return Sandbox(tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("arrays") / "case"


def check(tried: Tried) -> None:
    assert not tried.faults, "\n".join(
        [" ".join(tried.attempt.command), *tried.faults, tried.attempt.stderr, tried.trace]
    )


@settings(reproducibly, max_examples=90)
@given(job=tree_files())
def test_a_job_of_whatever_values_ends_as_documented(sandbox, job: JobFile):
    for tried in sandbox.try_job(job):
        check(tried)


@settings(reproducibly, max_examples=50)
@given(job=broken_files())
def test_a_job_file_of_broken_text_ends_as_documented(sandbox, job: JobFile):
    for tried in sandbox.try_job(job, thoroughly=True):
        check(tried)


@settings(reproducibly, max_examples=30)
@given(override=overrides())
def test_an_override_of_whatever_words_ends_as_documented(sandbox, override: str):
    content = b"{data: {path: rows.zarr}, model: {n_components: 2}, output: {path: run}}"
    for tried in sandbox.try_job(JobFile(content, (override,))):
        check(tried)


@settings(reproducibly, max_examples=40)
@given(case=array_cases())
def test_an_array_of_whatever_values_and_damage_ends_as_documented_or_in_a_sound_model(
    folder, case: ArrayCase
):
    for tried in try_array(case, folder):
        check(tried)


def test_an_attempt_sees_internal_errors_tracebacks_and_strays(tmp_path, monkeypatch):
    """The judge is shown offences before it is trusted to find none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGMM_TRACEBACK", "1")

    def stray(*_: object, **__: object) -> None:
        Path("stray.txt").write_text("x")
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("dgmm.config.load_job", stray)
    faults = attempt("validate", "job.yaml").faults(tmp_path / "run")
    assert faults == ["exit code 70", "traceback", f"wrote {os.path.realpath('stray.txt')}"]
