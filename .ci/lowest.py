"""Prints the oldest versions that pyproject.toml allows, as constraints for pip.

`python .ci/lowest.py > .ci/lowest.txt`; a test fails where that file is stale. The linters are left
out: pyproject.toml admits a single minor version of each.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,]+\])?>=(?P<lowest>[\w.]+)")


def lowest() -> list[str]:
    """One `name==version` for each requirement that dgmm states, in alphabetical order."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    stated = [*project["dependencies"]]
    stated += [line for extra, lines in extras.items() if extra != "lint" for line in lines]
    found = {REQUIREMENT.fullmatch(line) for line in stated if not line.startswith("dgmm[")}
    if None in found:
        raise SystemExit("every requirement of pyproject.toml needs one lower bound: name>=version")
    versions: dict[str, str] = {}
    for name, version in (match.groups() for match in found if match):
        versions[name] = max(versions.get(name, "0"), version, key=_numbers)
    return [f"{name}=={versions[name]}" for name in sorted(versions)]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    heading = "# Written by .ci/lowest.py: the oldest versions that pyproject.toml allows."
    sys.stdout.write("\n".join([heading, *lowest(), ""]))
