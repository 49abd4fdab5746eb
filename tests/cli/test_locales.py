"""Names with letters beyond ASCII, in locales that know them and in those that do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from dgmm.cli.utf8_mode import restart_in_utf8_mode

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="UTF-8 in every locale"),
]

#: Python's own remedies for a locale of ASCII, switched off.
ASCII = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LOCALES = {
    "C": {"LC_ALL": "C"} | ASCII,
    "POSIX": {"LC_ALL": "POSIX"} | ASCII,
    "C, with Python's remedies": {"LC_ALL": "C"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
}
JOB = """
data: {path: größe.zarr, array: höhe}
model: {n_components: 2, max_iter: 2}
cluster: {kind: threads, n_workers: 1}
output: {path: résultats/été, report: false}
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(6).normal(size=(90, 2))
    zarr.open_group("größe.zarr", mode="w").create_array("höhe", data=X, chunks=(30, 2))
    Path("jöb.yaml").write_text(JOB, encoding="utf-8")


def ended(locale: dict[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    call = [sys.executable, *words]
    return subprocess.run(call, capture_output=True, timeout=100, env=own | locale, check=False)


@pytest.mark.parametrize("locale", LOCALES.values(), ids=LOCALES)
def test_names_beyond_ascii_are_those_that_were_written(locale: dict[str, str]) -> None:
    done = ended(locale, "-m", "dgmm", "run", "jöb.yaml", "--set", "model.max_iter=3")
    assert done.returncode == 0, done.stderr
    assert b"(r\xc3\xa9sultats/\xc3\xa9t\xc3\xa9)" in done.stderr.splitlines()[-1]
    assert Path("résultats/été/run.json").is_file()
    assert sorted(path.name for path in Path().iterdir()) == ["größe.zarr", "jöb.yaml", "résultats"]
    plan = ended(locale, "-m", "dgmm", "plan", "jöb.yaml", "--set", "output.path=straße/α")
    assert plan.returncode == 0, plan.stderr


OWN_SCRIPT = "import sys; from dgmm.cli import main; main(sys.argv[1:])"


def test_a_script_in_an_ascii_locale_is_told_the_remedy() -> None:
    words = ("-c", OWN_SCRIPT, "plan", "jöb.yaml")
    refused = ended(LOCALES["C"], *words)
    assert refused.returncode == 78, refused.stderr
    for key in (b"data.path", b"data.array", b"output.path"):
        assert any(key in line and b"PYTHONUTF8=1" in line for line in refused.stderr.splitlines())
    word = ended(LOCALES["POSIX"], *words, "--set", "output.path=ñ")
    assert word.returncode == 2
    assert b"the byte 0xc3 is no ascii, in which words are read here: set PYTHONUTF8=1" in (
        word.stderr
    )
    assert ended(LOCALES["C"] | {"PYTHONUTF8": "1"}, *words).returncode == 0


@pytest.mark.parametrize("options", [["-X", "utf8=0"], ["-E"]], ids=" ".join)
def test_options_of_python_do_not_keep_it_from_utf_8(options: list[str]) -> None:
    done = ended(LOCALES["POSIX"], *options, "-m", "dgmm", "validate", "jöb.yaml")
    assert (done.returncode, done.stdout) == (0, b"j\xc3\xb6b.yaml: valid\n"), done.stderr


def test_a_process_that_stays_in_ascii_is_not_restarted_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[list[str]] = []
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/dgmm", "plan"])
    monkeypatch.setattr(os, "execve", lambda _, words, __: tried.append(words))
    for before in (["/usr/bin/dgmm", "plan"], ["-X", "utf8", "/usr/bin/dgmm", "plan"]):
        monkeypatch.setattr(sys, "orig_argv", [sys.executable, *before])
        restart_in_utf8_mode()
    assert tried == [[sys.executable, "-X", "utf8", "/usr/bin/dgmm", "plan"]]
    monkeypatch.setattr(sys, "argv", ["somebodys_script.py"])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "somebodys_script.py"])
    restart_in_utf8_mode()
    assert len(tried) == 1


def test_a_word_that_is_no_utf_8_is_named_by_its_byte() -> None:
    call = [sys.executable, "-m", "dgmm", "plan", "jöb.yaml", "--set", b"output.path=f\xfcr"]
    refused = subprocess.run(
        call, capture_output=True, timeout=60, env=os.environ | LOCALES["UTF-8"], check=False
    )
    assert refused.returncode == 2
    assert b"the byte 0xfc is no utf-8, in which words are read here; write UTF-8" in refused.stderr


def test_in_a_latin_1_locale_names_have_its_bytes_and_other_letters_are_refused(
    tmp_path: Path,
) -> None:
    make = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / "de_DE.ISO-8859-1")]
    try:
        subprocess.run(make, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs localedef and its sources")
    latin = {"LC_ALL": "de_DE.ISO-8859-1", "LOCPATH": str(tmp_path)}
    Path("größe.zarr").rename(os.fsdecode(b"gr\xf6\xdfe.zarr"))
    folder = Path(os.fsdecode(b"gr\xf6\xdfe.zarr"))
    (folder / "höhe").rename(folder / os.fsdecode(b"h\xf6he"))
    done = ended(latin, "-m", "dgmm", "run", "jöb.yaml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert Path(os.fsdecode(b"r\xe9sultats/\xe9t\xe9/run.json")).is_file()
    Path("jöb.yaml").write_text(JOB.replace("été", "Ω"), encoding="utf-8")
    refused = ended(latin, "-m", "dgmm", "plan", "jöb.yaml")
    assert refused.returncode == 78
    assert b"encoded as iso8859-1 in this locale, which has no '\\u03a9'" in refused.stderr
