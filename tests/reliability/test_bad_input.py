"""Each of the 104 numbered cases of bad input, through the command line, to its exit code."""

from __future__ import annotations

import shutil
from pathlib import Path

import bad_chunks
import bad_job_files
import bad_models
import bad_stores
import bad_values
import pytest
from bad_input import EARLIER, JOB, Case, Desk, tree, two_clusters
from clusters import write_zarr

from dgmm.cli.entry_point import run

CASES = sorted(
    [
        *bad_job_files.CASES,
        *bad_stores.CASES,
        *bad_chunks.CASES,
        *bad_values.CASES,
        *bad_models.CASES,
    ],
    key=lambda case: case.number,
)

#: Cases of what is not built yet: refused by name until then.
WAITS_FOR = {
    57: "checking data against a manifest (data.verify)",
    64: "object storage (403 of a bucket)",
    65: "object storage",
    66: "object storage",
    102: "choosing a model among several",
}
#: Cases whose end is not the catalogue's, or that cannot be had in a test as it words them: why.
DIFFERS = {
    44: "the warning's threshold of 1 GiB is lowered, so that no chunk of a GiB has to be written",
    45: "the warning's threshold of 100,000 chunks is lowered: no million files have to be written",
    65: "no store is asked: every URL is refused by name until object storage is built",
    66: "a path without a scheme is a local path, and ends with 66 where nothing is there",
    67: "a loop of links leads nowhere, so it ends with 66; every other unusual path works",
    68: "the system refuses to let a file grow (RLIMIT_FSIZE), as it would at a quota",
    91: "17,825,792 rows stand for 10⁹: more than the 16,777,216 that float32 can count",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that was finished before anything went wrong."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        write_zarr(Path("rows.zarr"), two_clusters())
        Path("job.yaml").write_text(JOB.replace("runs/new", str(EARLIER)))
        assert run(["run", "job.yaml"]) == 0
    return folder / "runs"


@pytest.fixture
def desk(tmp_path, monkeypatch, capsys, finished):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "runs")
    capsys.readouterr()
    return Desk(capsys, monkeypatch)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_ends_as_the_catalogue_says_and_harms_nothing(case: Case, desk: Desk):
    earlier = tree(EARLIER)
    case.steps(desk)
    assert desk.exit_codes == case.exit_codes
    assert earlier == tree(EARLIER)


def test_no_case_is_left_out():
    assert [case.number for case in CASES] == list(range(1, 105))


def test_the_page_lists_every_case_with_its_exit_codes():
    page = Path(__file__).parents[2] / "docs" / "reliability-bad-input.md"
    rows = [line.split("|")[1:-1] for line in page.read_text().splitlines() if line[:3] != "| -"]
    told = {int(r[0]): [c.strip() for c in r] for r in rows if r and r[0].strip().isdigit()}
    assert sorted(told) == list(range(1, 105))
    for case in CASES:
        assert told[case.number][1] == case.words
        codes = {int(code) for code in told[case.number][2].split(", ")}
        assert codes == case.exit_codes, case
        assert told[case.number][4] == WAITS_FOR.get(case.number, ""), case
    assert all(f"- **{number}**: {why}\n" in page.read_text() for number, why in DIFFERS.items())
