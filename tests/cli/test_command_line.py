"""Every command ends with its exit code and, on stderr, one last line that says how."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import fake_job
import numpy as np
import pytest
import zarr

import dgmm
from dgmm.cli.entry_point import run

JOB = """\
data: {path: data/x.zarr}
model: {n_components: 8}
output: {path: runs/photos}
"""


@pytest.fixture(autouse=True)
def job_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "dgmm.job", fake_job.as_module())
    Path("job.yaml").write_text(JOB)


def test_a_run_that_converges_ends_with_0_and_says_so_last(capsys):
    assert run(["run", "job.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "summary: 400,000 rows of 3 features",
        "dashboard at http://127.0.0.1:8787",
        "iteration 12: mean log-likelihood -12.345679, change 1.2e-05, 800,000 rows/s",
        "component 3 of 8 was reseeded",
        "warning: feature \\x1b[31mred is constant",
        "done: converged after 41 iterations: mean log-likelihood -12.3 (runs/photos)",
    ]


def test_a_quiet_run_says_warnings_and_the_end(capsys):
    assert run(["run", "--quiet", "job.yaml"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "done"]


ENDS = {
    "invalid": (65, "failed: chunk c/3 is cut short (runs/invalid)"),
    "collapsed": (65, "failed: every start failed (runs/collapsed)"),
    "other-job": (73, "failed: runs/other-job holds another job (runs/other-job)"),
    "not-converged": (10, "failed: not converged (runs/not-converged)"),
    "interrupted": (75, "stopped: Ctrl-C received; run the same command again to continue"),
    "terminated": (75, "stopped: SIGTERM received; run the same command again to continue"),
    "broken": (70, "failed: internal error: ZeroDivisionError: division by zero; set DGMM_TRACE"),
    "endless-input": (70, "failed: internal error: EOFError: end of file"),
    "exit": (70, "failed: internal error: SystemExit: 3"),
}


@pytest.mark.parametrize(("name", "expected"), ENDS.items(), ids=ENDS)
def test_every_end_has_its_code_and_its_last_line(name, expected, capsys):
    code, line = expected
    assert run(["run", "job.yaml", "--set", f"output.path=runs/{name}"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(line)
    assert err.splitlines()[-1].endswith(f"(runs/{name})")
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["plan job.yaml", "validate job.yaml", "report ."])
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")]
)
def test_a_command_that_runs_nothing_is_stopped_without_advice(
    command, number, name, capsys, monkeypatch
):
    import dgmm.config

    def stopped(*_arguments, **_options):
        os.kill(os.getpid(), number)

    module = types.ModuleType("dgmm.report")
    module.__dict__["write_report"] = stopped
    monkeypatch.setitem(sys.modules, "dgmm.report", module)
    monkeypatch.setattr(sys.modules["dgmm.job"], "plan_job", stopped)
    if command.startswith("validate"):
        monkeypatch.setattr(dgmm.config, "load_job", stopped)
    Path("run.json").write_text("{}")
    assert run(command.split()) == 75
    assert capsys.readouterr().err == f"stopped: {name} received\n"


def test_particulars_stand_above_the_last_line(capsys):
    run(["run", "job.yaml", "--set", "output.path=runs/invalid"])
    assert capsys.readouterr().err.splitlines()[-3:-1] == ["row 12: 3 bytes", "row 13: 4 bytes"]


def test_the_last_line_says_that_the_traceback_of_a_bug_lies_in_the_run_directory(capsys):
    assert run(["run", "job.yaml", "--set", "output.path=runs/broken-later"]) == 70
    assert "the traceback is in error.txt there (runs/broken-later)" in capsys.readouterr().err


def test_a_bug_leaves_the_directory_of_an_earlier_run_untouched(capsys):
    directory = Path("runs/broken")
    directory.mkdir(parents=True)
    (directory / "run.json").write_text("{}")
    os.utime(directory / "run.json", (1e9, 1e9))
    assert run(["run", "job.yaml", "--set", "output.path=runs/broken"]) == 70
    assert [path.name for path in directory.iterdir()] == ["run.json"]
    assert "set DGMM_TRACEBACK=1" in capsys.readouterr().err


def test_a_traceback_is_shown_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("DGMM_TRACEBACK", "1")
    run(["run", "job.yaml", "--set", "output.path=runs/broken"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_predict_applies_a_model(capsys):
    Path("job.yaml").write_text(JOB.replace("n_components: 8", "path: runs/m/model"))
    assert run(["predict", "job.yaml"]) == 0
    assert capsys.readouterr().err == "done: labelled by runs/m/model (runs/photos)\n"


def test_run_refuses_a_job_to_predict_and_the_other_way_round(capsys):
    assert run(["predict", "job.yaml"]) == 78
    assert "job.yaml:2:8: model.path: missing" in capsys.readouterr().err
    Path("job.yaml").write_text(JOB.replace("n_components: 8", "path: runs/m/model"))
    assert run(["run", "job.yaml"]) == 78
    assert "use `dgmm predict`" in capsys.readouterr().err


def test_plan_prints_its_table_and_refuses_what_does_not_fit(capsys):
    assert run(["plan", "job.yaml"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("tiles  4 MiB\n", "done: the job fits\n")
    assert run(["plan", "job.yaml", "--set", "model.n_components=999"]) == 78
    out, err = capsys.readouterr()
    assert out == "tiles  4 MiB\n"
    assert err.startswith("failed: the job does not fit")


def test_validate_says_that_a_file_is_valid(capsys):
    assert run(["validate", "job.yaml"]) == 0
    assert capsys.readouterr() == ("job.yaml: valid\n", "")


def test_validate_resolved_prints_a_job_that_is_valid_again(capsys):
    from dgmm.config import load_job

    assert run(["validate", "job.yaml", "--resolved", "--set", "seed=3"]) == 0
    Path("resolved.yaml").write_text(capsys.readouterr().out)
    assert load_job("resolved.yaml") == load_job("job.yaml", ["seed=3"])


def test_validate_names_every_fault_and_the_file_last(capsys):
    Path("job.yaml").write_text(JOB.replace("8", "0") + "seed: 012\nmodle: 1\n")
    assert run(["validate", "job.yaml"]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[:13] for line in err.splitlines()] == [
        "job.yaml:2:23",
        "job.yaml:4:7:",
        "job.yaml:5:1:",
        "failed: job.y",
    ]
    assert err.splitlines()[-1] == "failed: job.yaml is not a valid job: 3 errors"


def test_an_absent_job_file_is_an_input_not_found(capsys):
    assert run(["run", "absent.yaml"]) == 66
    assert capsys.readouterr().err.startswith("failed: cannot read the job file absent.yaml")


WRONG_WORDS = {
    "no command": [],
    "no such command": ["fit", "job.yaml"],
    "no such option": ["run", "job.yaml", "--fast"],
    "no job": ["run"],
    "two jobs": ["run", "job.yaml", "job.yaml"],
    "option without value": ["run", "job.yaml", "--set"],
    "override without value": ["run", "job.yaml", "--set", "model.n_components"],
    "override of no key": ["run", "job.yaml", "--set", "model.q=1"],
}


@pytest.mark.parametrize("arguments", WRONG_WORDS.values(), ids=WRONG_WORDS)
def test_wrong_words_end_with_2(arguments, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("failed: ")


def test_help_and_version_end_with_0(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("run", "validate", "plan", "predict", "ingest", "report", "schema"):
        assert f"\n  {command} " in text
        assert run([command, "--help"]) == 0
        assert "..." not in capsys.readouterr().out.replace("[OPTIONS]...", "")
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"dgmm, version {dgmm.__version__}\n"


def test_help_names_every_exit_code(capsys):
    from dgmm.exit_codes import ExitCode

    run(["--help"])
    text = capsys.readouterr().out
    assert [code for code in ExitCode if f" {code.value} " not in text] == []


def test_schema_prints_the_schema_of_job_files(capsys):
    from dgmm.config import json_schema

    assert run(["schema"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json_schema()
    assert err == ""


def test_report_wants_a_run_directory(capsys):
    assert run(["report", "runs/absent"]) == 66
    assert "is not a run directory" in capsys.readouterr().err


def test_report_says_where_the_page_is(capsys, monkeypatch):
    module = types.ModuleType("dgmm.report")
    module.__dict__["write_report"] = lambda directory: directory / "report.html"
    monkeypatch.setitem(sys.modules, "dgmm.report", module)
    Path("runs").mkdir()
    Path("runs/run.json").write_text("{}")
    assert run(["report", "runs"]) == 0
    assert capsys.readouterr().err == "done: wrote runs/report.html (runs)\n"


def test_a_path_cannot_write_to_the_terminal(capsys):
    run(["run", "job.yaml", "--set", 'output.path="runs/\\e[2J\\tx"'])
    assert capsys.readouterr().err.endswith("(runs/\\x1b[2J\\tx)\n")


HEAVY = [
    "numpy",
    "scipy",
    "dask",
    "distributed",
    "zarr",
    "pydantic",
    "ruamel",
    "matplotlib",
    "rich",
]


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], ["run"]])
def test_help_loads_nothing_heavy(words):
    program = (
        "import sys\nfrom dgmm.cli.entry_point import run\n"
        f"run({words!r})\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "loaded: []"


def test_the_module_is_the_command_and_returns_its_code():
    process = subprocess.run(
        [sys.executable, "-m", "dgmm", "run", "absent.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 66
    assert process.stderr.startswith("failed: cannot read the job file absent.yaml")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_neither_the_job_nor_its_exit_code(tmp_path, closed):
    rng = np.random.default_rng(0)
    zarr.create_array(str(tmp_path / "x.zarr"), data=rng.normal(size=(800, 2)), chunks=(400, 2))
    (tmp_path / "job.yaml").write_text(
        f"data: {{path: {tmp_path}/x.zarr}}\nmodel: {{n_components: 2}}\n"
        f"cluster: {{kind: threads}}\noutput: {{path: {tmp_path}/run, report: false}}\n"
    )

    def exit_status(words: str) -> int:
        command = ["/bin/sh", "-c", f"exec {sys.executable} -m dgmm {words} {closed}"]
        return subprocess.run(command, check=False, capture_output=True, timeout=120).returncode

    assert exit_status(f"run {tmp_path}/job.yaml") == 0
    assert exit_status("--help") == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "done"
    # Nothing that was printed went into a file that took the number of a closed stream.
    for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines():
        json.loads(line)
