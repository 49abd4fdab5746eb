"""Run directories that an earlier version of dgmm left, put elsewhere as if they were made there.

old_job/ holds a job and its data, old_finished/ the run that it made, and old_run/ the same run
killed with SIGKILL when 11 iterations of EM had been kept. Their files are those that dgmm 0.1.0
wrote on 2026-11-29, without lock files and with `/data/rows.zarr` for the place of the data. That
place is part of a job's identity, and the times of the chunks are part of the data's: `placed`
writes the new place where the old one stood, and sets the times. It does not import dgmm: what
later versions write does not matter here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = "/data/rows.zarr"
#: All files of the data were last written then.
_WRITTEN_NS = 1_700_000_000 * 10**9
#: Behind a checkpoint's archive: its SHA-256, then these bytes.
_SEAL = b"dgmmseal"


def placed(name: str, folder: Path) -> Path:
    """Copy the job, its data and one of the run directories to a folder, as `run/`; its path."""
    shutil.copytree(HERE / "old_job", folder, dirs_exist_ok=True)
    shutil.copytree(HERE / name, folder / "run")
    for path in (folder / "rows.zarr").rglob("*"):
        os.utime(path, ns=(_WRITTEN_NS, _WRITTEN_NS))
    move(folder / "run", os.path.realpath(folder / "rows.zarr"))
    return folder / "run"


def move(run: Path, data: str) -> None:
    """Say in a run directory that its data lie there."""
    path = run / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    before = _state_digest(record)
    record["job_identity"]["data"]["path"] = data
    record["job_fingerprint"] = _digest(record["job_identity"])
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for state in run.glob("checkpoint/*.checkpoint"):
        _readdress(state, before, _state_digest(record))


def _state_digest(record: dict[str, Any]) -> str:
    """What the checkpoints of a run are known by."""
    own = json.loads(json.dumps(record["job_identity"]))
    del own["outputs"]["zarr_format"]
    return _digest({"job": own, "data": record["data"]["fingerprint"]})


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _readdress(state: Path, before: str, after: str) -> None:
    """Write another digest of as many characters where the old one stands, and seal it again."""
    sealed, held = io.BytesIO(), zipfile.ZipFile(state)
    with held, zipfile.ZipFile(sealed, "w") as archive:
        for member in held.infolist():
            content = held.read(member)
            if member.filename == "tree.npy":
                assert content.count(before.encode()) == 1
                content = content.replace(before.encode(), after.encode())
            archive.writestr(member, content)
    data = sealed.getvalue()
    state.write_bytes(data + hashlib.sha256(data).digest() + _SEAL)
