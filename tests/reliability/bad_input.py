"""The desk at which bad input is handed in: a folder, a job file, the command line, its answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, write_zarr
from numpy.typing import NDArray

from dgmm.cli.entry_point import run

#: The job that cases spoil; K = 2 on `rows.zarr`, with nothing started but this process's thread.
JOB = """\
data: {path: rows.zarr}
model: {n_components: 2}
cluster: {kind: threads, n_workers: 1}
output: {path: runs/new, report: false}
"""
#: Stands for a password wherever one is given; no message may hold it.
SECRET = "hunter2-s3cr3t"  # noqa: S105 - it is none
EARLIER = Path("runs/earlier")


def two_clusters(n: int = 120, d: int = 2) -> NDArray[np.float64]:
    """Rows (n, d) of two clusters of unit variance far apart."""
    return gaussian_clusters(n, d, 2)[0]


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but locks, which tell of their last holder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "lock")
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@dataclass(slots=True)
class Desk:
    """Runs commands in the current folder and looks at what they say.

    Attributes
    ----------
    capsys, monkeypatch
        pytest's.
    exit_codes
        Of all commands so far.
    """

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    exit_codes: set[int] = field(default_factory=set)

    def write_rows(
        self, X: NDArray[Any] | None = None, path: str = "rows.zarr", **options: Any
    ) -> Path:
        """Store rows, the two clusters by default."""
        return write_zarr(Path(path), two_clusters() if X is None else X, **options)

    def command(self, exit_code: int, *words: str, say: tuple[str, ...]) -> str:
        """Run one command and check how it ends; its output, both streams."""
        __tracebackhide__ = True
        found = run(say)
        out, err = self.capsys.readouterr()
        told = out + err
        assert found == exit_code, told
        self.exit_codes.add(found)
        for word in words:
            assert word in told, told
        assert "Traceback" not in told
        assert "internal error" not in told
        assert SECRET not in told
        assert all(c.isprintable() or c == "\n" for c in told)
        ends = {0: "done: ", 99: "done: ", 75: "stopped: "}
        assert err.splitlines()[-1].startswith(ends.get(exit_code, "failed: "))
        return told

    def file(
        self, exit_code: int, text: str | bytes, *words: str, options: tuple[str, ...] = ()
    ) -> str:
        """Run a job file of this text."""
        data = text if isinstance(text, bytes) else text.encode()
        Path("job.yaml").write_bytes(data)
        return self.command(exit_code, *words, say=("run", "job.yaml", *options))

    def job(
        self,
        exit_code: int,
        *words: str,
        name: str = "new",
        command: str = "run",
        options: tuple[str, ...] = (),
        **sections: Any,
    ) -> Path:
        """Run the job with these keys beside the usual ones; its run directory."""
        directory = Path("runs", name)
        whole: dict[str, Any] = {
            "data": {"path": "rows.zarr"},
            "model": {"n_components": 2} if command == "run" else {"path": str(EARLIER)},
            "cluster": {"kind": "threads", "n_workers": 1},
            "output": {"path": str(directory), "report": False},
        }
        for key, value in sections.items():
            whole[key] = {**whole.get(key, {}), **value} if isinstance(value, Mapping) else value
        # JSON is YAML, but for 1e+308, which no job file here holds.
        text = "".join(f"{json.dumps(k)}: {json.dumps(v)}\n" for k, v in whole.items())
        Path("job.yaml").write_text(text)
        self.command(exit_code, *words, say=(command, "job.yaml", *options))
        return directory

    def fits(self, X: NDArray[Any] | None = None, *words: str, **sections: Any) -> Path:
        """Store rows (where any are given) and fit them to the end; the run directory."""
        path = f"{sections.get('name', 'new')}.zarr"
        if X is not None:
            self.write_rows(X, path)
            sections["data"] = {"path": path} | sections.get("data", {})
        return self.job(0, *words, **sections)


def record(directory: Path) -> Any:
    """What run.json says."""
    return json.loads((directory / "run.json").read_text())


def bits(directory: Path) -> tuple[str, dict[str, str]]:
    """Checksums of a run's model and of all that it wrote of the rows."""
    model = json.loads((directory / "model" / "model.json").read_text())
    return model["sha256"], {n: o["sha256"] for n, o in record(directory)["outputs"].items()}


def output(directory: Path, name: str) -> NDArray[Any]:
    """An output array."""
    return np.asarray(zarr.open_array(str(directory / "outputs.zarr" / name), mode="r")[...])


def parts_in_two(directory: Path, n: int = 120, d: int = 2) -> bool:
    """Whether the two clusters were found, row by row."""
    truth, labels = gaussian_clusters(n, d, 2)[1], output(directory, "labels")
    return bool((labels == truth).all() or (labels == 1 - truth).all())


def edit(path: Path | str, **values: Any) -> None:
    """Change keys of a JSON file."""
    path = Path(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | values))


@dataclass(frozen=True, slots=True)
class Case:
    """One numbered line of the catalogue of bad input.

    Attributes
    ----------
    number, words
        Its place, and what is bad.
    exit_codes
        Of all commands of its steps.
    steps
        What happens at the desk.
    """

    number: int
    words: str
    exit_codes: frozenset[int]
    steps: Callable[[Desk], None]

    def __str__(self) -> str:
        """`013 n_components out of range`."""
        return f"{self.number:03d} {self.words}"


class Cases(list[Case]):
    """The cases of one module, in the order of their numbers."""

    def case(
        self, number: int, words: str, *exit_codes: int
    ) -> Callable[[Callable[[Desk], None]], Callable[[Desk], None]]:
        """Add the function below as a case's steps."""

        def added(steps: Callable[[Desk], None]) -> Callable[[Desk], None]:
            self.append(Case(number, words, frozenset(exit_codes), steps))
            return steps

        return added
