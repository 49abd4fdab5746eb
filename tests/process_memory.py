"""Peak memory of a command with all its descendants."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Peak:
    """Largest sums seen over the whole process tree, in bytes, and how the command ended."""

    resident: int
    returncode: int
    stderr: str


def peak_of(arguments: Sequence[str], folder: Path, every_s: float = 0.02) -> Peak:
    """Run `python -m dgmm ...` and sample the resident memory of its tree until it ends."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    with (folder / "stderr.txt").open("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "dgmm", *arguments], stderr=stderr, cwd=folder, env=environment
        )
        root, largest = psutil.Process(process.pid), 0
        while process.poll() is None:
            largest = max(largest, _resident(root))
            time.sleep(every_s)
        stderr.seek(0)
        return Peak(largest, process.returncode, stderr.read())


def _resident(root: psutil.Process) -> int:
    """Proportional set size where the system tells it: pages shared by processes count once."""
    total = 0
    for process in (root, *_children(root)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []
