"""Which peers there are, and the environment each one gets.

An environment is made once, under benchmarks/.peers, and is whole when its stamp is there. A peer
that cannot be installed, or whose Java is missing, is named with the reason; the others go on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import FORCED, N_THREADS

FOLDER = Path(__file__).resolve().parent.parent / ".peers"
_LONGEST_INSTALLATION = 900  # seconds


class MissingPeerError(Exception):
    """A peer cannot be measured here; the text says why."""


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """A peer: its name, what pip installs, and the file that runs in its environment.

    Attributes
    ----------
    differs : str
        Why it need not arrive at our likelihood; empty where it must.
    """

    name: str
    script: str
    requirements: tuple[str, ...]
    needs_java: bool = False
    differs: str = ""


PEERS = {
    spec.name: spec
    for spec in (
        PeerSpec("scikit-learn", "with_scikit_learn.py", ("scikit-learn==1.9.*",)),
        PeerSpec("oneDAL", "with_onedal.py", ("scikit-learn-intelex==2026.2.*",)),
        PeerSpec(
            "Spark",
            "with_spark.py",
            ("pyspark==4.3.*", "numpy", "pandas<3", "pyarrow", "setuptools"),
            needs_java=True,
            differs="Spark adds 2e-16 to every density, so that rows far from all components "
            "belong to all of them, and begins at a start of its own: from 32 features on its "
            "components are all alike after one iteration, where both sides begin",
        ),
        PeerSpec("gmmx", "with_gmmx.py", ("gmmx==0.7",)),
        PeerSpec(
            "bob.learn.em",
            "with_bob.py",
            ("bob.learn.em==3.3.*", "scikit-learn<1.6", "threadpoolctl"),
        ),
    )
}


def interpreter(spec: PeerSpec, folder: Path = FOLDER) -> Path:
    """The Python of the peer's environment, which is made where it is not there yet.

    Raises
    ------
    MissingPeerError
        If it cannot be made.
    """
    if spec.needs_java and shutil.which("java") is None:
        raise MissingPeerError(f"{spec.name} needs Java, and there is none on PATH")
    place = folder / spec.name
    python = place / "bin" / "python"
    stamp = place / ".ready"
    wanted = " ".join(spec.requirements)
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        print(f"making the environment of {spec.name}", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        _run(spec, [sys.executable, "-m", "venv", str(place)])
        _run(spec, [str(python), "-m", "pip", "install", "--quiet", *spec.requirements])
        stamp.write_text(wanted, "utf-8")
    return python


def variables() -> dict[str, str]:
    """Environment variables for a peer: two threads everywhere, no kernel forced."""
    kept = {name: value for name, value in os.environ.items() if name not in FORCED}
    kept.pop("PYTHONPATH", None)
    two = str(N_THREADS)
    return kept | {
        "OPENBLAS_NUM_THREADS": two,
        "OMP_NUM_THREADS": two,
        "MKL_NUM_THREADS": two,
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "1",
    }


def _run(spec: PeerSpec, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_LONGEST_INSTALLATION
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingPeerError(f"{spec.name} could not be installed: {error}") from error
    if done.returncode != 0:
        raise MissingPeerError(f"{spec.name} could not be installed: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    """What a program said last, without the folders of this machine."""
    last = (text.strip().splitlines() or ["no message"])[-1]
    return re.sub(r"(?<![\w:/])(?:/[^\s/'\"]+)+/", "", last)[:300]
