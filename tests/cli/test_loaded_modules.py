"""What a small job loads: no library that it does not need, which would be most of its time."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr

#: Of clusters, of compiled passes, of tables and labelled arrays, of other packages' methods.
NEEDLESS = (
    *("dask", "distributed", "tornado", "numba", "llvmlite", "scipy"),
    *("pandas", "polars", "pyarrow", "xarray", "anndata", "h5py", "sklearn", "matplotlib", "rich"),
)
PROGRAM = """
import json, linecache, sys
from pydantic import BaseModel
asked, made = [], BaseModel.model_json_schema.__func__
def counted(section, *arguments, **more):
    asked.append(section.__name__)
    return made(section, *arguments, **more)
BaseModel.model_json_schema = classmethod(counted)
from dgmm.cli.entry_point import run
assert run(["run", "--quiet", "job.yaml", "--set", "model.tol=1e-3"]) == 0
loaded = sorted({name.partition(".")[0] for name in sys.modules})
read = [name for name in linecache.cache if "dgmm" in name]
print(json.dumps({"loaded": loaded, "sources": read, "schemas": asked}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a small job with a report and a key from the command line loads, reads and makes."""
    tmp_path = tmp_path_factory.mktemp("job")
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
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_a_small_job_with_a_report_loads_no_library_that_it_does_not_need(
    seen: dict[str, list[str]],
) -> None:
    assert "zarr" in seen["loaded"]
    assert not set(NEEDLESS) & set(seen["loaded"])


def test_a_sound_job_makes_no_json_schema_and_parses_no_sources(seen: dict[str, list[str]]) -> None:
    assert seen["sources"] == []
    assert seen["schemas"] == []
