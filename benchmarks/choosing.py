"""What jobs of several models choose: components, clusters, and how well these are the true ones.

Each data set is a job as a user would write it: `n_components` a list, everything else by default,
`output.clusters` on. Beside what the rule chooses stands what plain BIC would, the adjusted Rand
index of labels and of merged clusters with the truth, and the time of the whole job.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.choice_data import ChoiceData, data_sets
from benchmarks.measuring import N_THREADS
from benchmarks.results import Results
from dgmm.config import Job
from dgmm.events import SilentListener
from dgmm.job import run_job

_ROWS_OF_A_CHUNK = 65_536
#: Heavy tails from so many rows on: the same choice, of at most so many components, where BIC has
#: at least so many.
_MANY_ROWS, _MOST, _LEAST_OF_BIC = 300_000, 12, 16
_LEAST_INDEX = 0.98


def run(results: Results) -> None:
    """Every data set."""
    large = list[int]()
    for data in data_sets(is_trial=results.is_trial):
        k = _choose(data, results)
        if data.name.startswith("4 heavy") and data.n >= _MANY_ROWS:
            large.append(k)
    if len(large) > 1:
        results.measured(
            "4 heavy-tailed", "largest less smallest choice from 300,000 rows on",
            max(large) - min(large), "components", goal=0.0, at_least=False,
        )  # fmt: skip


def _choose(data: ChoiceData, results: Results) -> int:
    X, truth = data.rows()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.perf_counter()
        record, outputs = _job(Path(folder), X, data.sizes)
        seconds = time.perf_counter() - begun
    selection, merging = record["selection"], record["merging"]
    k, of_bic = selection["chosen"]["n_components"], selection["lowest_bic"]["n_components"]
    n_clusters = merging["n_clusters"]
    part = data.name.split(",", 1)[0]
    note = f"plain BIC {of_bic}; {n_clusters} clusters once merged; {seconds:.1f} s"
    detail: dict[str, Any] = {"bic": of_bic, "clusters": n_clusters, "seconds": seconds}
    goal, at_least = _goal_of_size(data)
    results.measured(
        part, f"{data.name}: components chosen", k, "", goal=goal, at_least=at_least, note=note,
        detail=detail,
    )  # fmt: skip
    if part == "6 separated":
        results.measured(
            part, f"{data.name}: as many components as there are", float(k == data.n_clusters), "",
            goal=1.0,
        )  # fmt: skip
    if part.startswith("4 heavy") and data.n >= _MANY_ROWS:
        results.measured(part, f"{data.name}: plain BIC's", of_bic, "", goal=_LEAST_OF_BIC)
    if part in {"4 heavy-tailed", "4 curved", "uniform"}:
        is_wanted = float(n_clusters == data.n_clusters)
        results.measured(
            part, f"{data.name}: as many clusters as there are", is_wanted, "", goal=1.0,
        )  # fmt: skip
    if truth is not None and len(np.unique(truth)) > 1:
        _compare(data, truth, outputs, results)
    return int(k)


def _goal_of_size(data: ChoiceData) -> tuple[float | None, bool]:
    """What the number of components is to be, and whether at least that."""
    if data.name.startswith("one Gaussian"):
        return 1.0, False
    if data.name.startswith("4 heavy") and data.n >= _MANY_ROWS:
        return float(_MOST), False
    return None, True


def _compare(
    data: ChoiceData, truth: NDArray[np.intp], outputs: dict[str, NDArray[Any]], results: Results
) -> None:
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415 - takes a second to import

    part = data.name.split(",", 1)[0]
    is_merged = part in {"4 heavy-tailed", "4 curved"}
    for name in ("labels", "clusters"):
        index = adjusted_rand_score(truth, outputs[name])
        goal = _LEAST_INDEX if is_merged and name == "clusters" else None
        what = f"{data.name}: adjusted Rand index of {name}"
        results.measured(part, what, index, "", goal=goal)


def _job(
    folder: Path, X: NDArray[np.float64], sizes: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """run.json and the outputs of a job over rows X."""
    array = zarr.create_array(
        store=str(folder / "rows.zarr"),
        shape=X.shape,
        dtype=X.dtype,
        chunks=(min(len(X), _ROWS_OF_A_CHUNK), X.shape[1]),
    )
    array[...] = X
    job = Job.model_validate(
        {
            "data": {"path": str(folder / "rows.zarr")},
            "model": {"n_components": list(sizes)},
            "cluster": {"kind": "threads", "n_workers": N_THREADS},
            "output": {"path": str(folder / "run"), "report": False, "clusters": True},
            "on_not_converged": "ignore",
        }
    )
    run_job(job, SilentListener())
    record = json.loads((folder / "run" / "run.json").read_text("utf-8"))
    group = zarr.open_group(str(folder / "run" / "outputs.zarr"), mode="r")
    return record, {name: np.asarray(array[...]) for name, array in group.arrays()}
