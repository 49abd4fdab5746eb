"""What a small job loads: no library that it does not need, which would be most of its time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import zarr

#: Of clusters, of compiled passes, of tables and labelled arrays, of other packages' methods.
NEEDLESS = (
    *("dask", "distributed", "tornado", "numba", "llvmlite", "scipy"),
    *("pandas", "polars", "pyarrow", "xarray", "anndata", "h5py", "sklearn", "matplotlib", "rich"),
)
PROGRAM = """
import sys
from dgmm.cli.entry_point import run
assert run(["run", "--quiet", "job.yaml"]) == 0
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_small_job_with_a_report_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 4)) + 8.0 * (np.arange(1000) % 2)[:, None]
    zarr.create_array(str(tmp_path / "rows.zarr"), data=rows)
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.zarr}\nmodel: {n_components: 2}\noutput: {path: run}\n"
    )
    call = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        call, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    loaded = done.stdout.split()
    assert "zarr" in loaded
    assert not set(NEEDLESS) & set(loaded)
