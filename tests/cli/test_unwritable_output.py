"""Help and version on streams that cannot be written to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dgmm.cli.entry_point import run

ASKED = ["--help", "-h", "--version", "run --help", "predict -h", "report --help", "schema -h"]


class Full:
    """A stream on a full device, as Python has it: some fail when written to, some when flushed."""

    encoding = "utf-8"

    def __init__(self, is_buffered: bool) -> None:
        self.is_buffered = is_buffered

    def write(self, text: str) -> int:
        if not self.is_buffered:
            raise OSError(28, "No space left on device")
        return len(text)

    def flush(self) -> None:
        raise OSError(28, "No space left on device")

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise ValueError("it has none")


@pytest.mark.parametrize("is_buffered", [True, False])
@pytest.mark.parametrize("words", ASKED)
def test_what_click_prints_ends_with_0_on_a_full_stream(
    words: str, is_buffered: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdout", Full(is_buffered))
    assert run(words.split()) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", ASKED)
def test_what_click_prints_is_on_stdout(words: str, capsys: pytest.CaptureFixture) -> None:
    assert run(words.split()) == 0
    out, err = capsys.readouterr()
    assert out.startswith("dgmm, version " if words == "--version" else "Usage: dgmm ")
    assert err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_help_into_a_full_device_ends_with_0() -> None:
    with Path("/dev/full").open("w") as full:
        call = [sys.executable, "-m", "dgmm", "validate", "--help"]
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
