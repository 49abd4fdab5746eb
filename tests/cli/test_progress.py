"""What a job shows while it runs, on a terminal, in a file, and where nobody reads it any more."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_job
import pytest

from dgmm.cli.progress import iteration_words, live_display, progress
from dgmm.cli.signals import stopped_by_signals
from dgmm.cli.streams import UnbreakableStream, print_line
from dgmm.errors import StoppedError
from dgmm.runtime import stop_flag as stopping

JOB = "data: {path: data/x.zarr}\nmodel: {n_components: 8}\noutput: {path: runs/photos}\n"
PROGRAM = [sys.executable, fake_job.__file__]


@pytest.fixture(autouse=True)
def job_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(JOB)


WORDS = {
    "restarts": (
        {},
        2,
        "restart 0, iteration 12: mean log-likelihood -12.345679, change 1.2e-05, ",
    ),
    "first": ({"change": None}, 1, "iteration 12: mean log-likelihood -12.345679, 800,000 rows/s"),
    "several starts": (
        {"start": "sd 5 refined"},
        2,
        "change 1.2e-05, 800,000 rows/s (from sd 5 refined)",
    ),
    "no change known": ({"change": float("nan")}, 1, "-12.345679, 800,000 rows/s"),
    "infinite change": ({"change": float("inf")}, 1, "change inf, 800,000 rows/s"),
    "a prior": (
        {"objective": -39.5, "mean_log_likelihood": -8.03, "change": 31.0},
        1,
        "iteration 12: objective -39.500000, change 31, mean log-likelihood -8.030000, 800,000",
    ),
    "no time": ({"seconds": 0.0}, 1, "change 1.2e-05, rate unknown"),
}


@pytest.mark.parametrize(("record", "n_init", "words"), WORDS.values(), ids=WORDS)
def test_an_iteration_is_one_line(record, n_init, words):
    assert words in iteration_words(fake_job.ITERATION | record, n_init)


def happened(component: int, kind: str) -> dict[str, object]:
    return {"component": component, "kind": kind, "message": f"component {component}: {kind}"}


@pytest.mark.parametrize("terminal", [False, True])
def test_of_many_components_alike_the_first_few_have_lines(terminal, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(UnbreakableStream, "isatty", lambda _: terminal)
    with progress() as listener:
        for component in range(5):
            listener.component(happened(component, "regularised"))
        listener.component(happened(7, "dropped"))
        for component in range(4):
            listener.component(happened(component, "reseeded"))
        for _ in range(4):  # one component, which is re-seeded again and again
            listener.iteration(fake_job.ITERATION)
            listener.component(happened(9, "reseeded"))
        listener.stage("report", "report.html")
        for component in range(1005):
            listener.component(happened(component, "regularised"))
    shown = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", capsys.readouterr().err)
    told = [
        line
        for line in re.split(r"[\r\n]+", shown)
        if line.strip() and not re.search("ETA|iteration", line)
    ]
    assert told == [
        *(f"component {i}: regularised" for i in range(3)),
        "... and 2 components more (events.jsonl has all)",
        "component 7: dropped",
        *(f"component {i}: reseeded" for i in range(3)),
        "... and 1 component more (events.jsonl has all)",
        *4 * ["component 9: reseeded"],
        "report: report.html",
        *(f"component {i}: regularised" for i in range(3)),
        "... and 1,002 components more (events.jsonl has all)",
    ]


def on_a_terminal(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run with stderr on a terminal; the exit code and all that appeared there."""
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env=os.environ | {"COLUMNS": "120", "TERM": "xterm"} | environment,
    )
    os.close(terminal)
    shown = b""
    while chunk := _read(master):
        shown += chunk
    os.close(master)
    return process.wait(timeout=60), shown.decode()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux ends a terminal that way
        return b""


def test_a_terminal_sees_a_live_line_and_the_end_last():
    code, shown = on_a_terminal("run", "job.yaml")
    assert code == 0
    assert "\x1b[" in shown
    assert "ETA unknown" in shown
    assert "iteration 12: mean log-likelihood -12.345679" in shown
    assert "warning: feature \\x1b[31mred is constant" in shown
    last = shown.rstrip().splitlines()[-1]
    assert last.endswith(
        "done: converged after 41 iterations: mean log-likelihood -12.3 (runs/photos)"
    )


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines():
    code, shown = on_a_terminal("run", "job.yaml", TERM="dumb")
    assert code == 0
    assert "\x1b" not in shown
    assert "800,000 rows/s" in shown


def test_an_error_leaves_the_terminal_in_order():
    code, shown = on_a_terminal("run", "job.yaml", "--set", "output.path=runs/invalid")
    assert code == 65
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # cursor hidden, cursor shown


class BrokenPipe(io.StringIO):
    encoding = "ascii"

    def write(self, _text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_stream_without_a_reader_drops_its_text():
    stream = UnbreakableStream(BrokenPipe())
    assert stream.write("text") == 4
    stream.flush()
    assert not stream.isatty()
    closed = io.StringIO()
    closed.close()
    print_line("text", closed)


def test_a_live_display_survives_its_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", BrokenPipe())
    with live_display() as display:
        display.add_task("words", total=None)
        display.refresh()


def test_characters_that_a_stream_lacks_are_spelled_out():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_line("3×3 “rows”", stream)
    assert raw.getvalue() == b"3\\xd73 \\u201crows\\u201d\n"


@pytest.mark.parametrize("command", ["run job.yaml", "schema", "validate job.yaml --resolved"])
def test_a_reader_that_goes_away_changes_no_exit_code(command):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [*PROGRAM, *command.split()], stdout=writer, stderr=writer, check=False, timeout=60
    )
    os.close(writer)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP"), (signal.SIGINT, "Ctrl-C")],
)
def test_a_signal_ends_a_run_with_75(number, name):
    # Under nohup this process, and so the run, would ignore SIGHUP.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [*PROGRAM, "run", "job.yaml", "--set", "output.path=runs/waits"],
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(number, before)
    with process:
        try:
            deadline = time.monotonic() + 60
            while not Path("started").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 75
    assert err.splitlines()[-1] == (
        f"stopped: {name} received; run the same command again to continue (runs/waits)"
    )


def test_a_second_signal_is_left_to_kill_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_signals():
        with pytest.raises(StoppedError, match="SIGTERM received"):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert stopping.requested.is_set()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not stopping.requested.is_set(), "whoever fits next in this process would be stopped"


def test_a_run_that_was_asked_to_outlive_its_terminal_does():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
