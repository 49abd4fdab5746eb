"""Record the digests of this environment: `cd tests && python -m golden.record`.

recorded.json holds one entry for each environment; that of this one is replaced or added. Run it
where a change of numbers is meant, or for an environment that has no entry, once with and once
without what a shell exports for BLAS (OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE). The digests of the
input are written too, and must not change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from golden.bits_environment import environment
from golden.whole_jobs import (
    BACKENDS,
    CLUSTERS,
    FAMILIES,
    digest,
    n_rows,
    rows,
    run_job,
    stored_digests,
    write_rows,
)

RECORDED = Path(__file__).parent / "recorded.json"


def recorded() -> dict[str, Any]:
    """What the file holds: `inputs`, by family and backend, and `environments` with `digests`."""
    held: dict[str, Any] = {"inputs": {}, "environments": []}
    if RECORDED.exists():
        held = json.loads(RECORDED.read_text(encoding="utf-8"))
    return held


def main() -> None:
    """Run each job once, on threads, and write the file."""
    held, digests = recorded(), {}
    with tempfile.TemporaryDirectory() as name:
        for family, dtype in FAMILIES.items():
            for backend in BACKENDS:
                X, data = rows(n_rows(family, backend), dtype), Path(name) / f"{family}.zarr"
                held["inputs"][f"{family} {backend}"] = digest(X)
                write_rows(data, X)
                run = run_job(
                    *(Path(name) / f"{family}-{backend}", data, family, backend),
                    CLUSTERS["threads"],
                )
                digests[f"{family} {backend}"] = stored_digests(run)
    others = [e for e in held["environments"] if e["environment"] != environment()]
    held["environments"] = [*others, {"environment": environment(), "digests": digests}]
    RECORDED.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{RECORDED}: {len(held['environments'])} environments\n")


if __name__ == "__main__":
    main()
