"""The driver that `disk` measures, a process of its own: its tree is dgmm's alone.

`python -m benchmarks.disk_driver JOB.yaml` opens the job's data and cluster as `dgmm run` does,
keeps the rows that `dgmm plan` allows, and reports them in one line of JSON. Then, for every line
on its standard input (`full` or `diag`), it makes one EM pass over all rows and answers its
seconds.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from dgmm.config import load_job
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.open_cluster import open_executor
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.job.planning import plan_for
from dgmm.job.stages import cluster_settings, open_data
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import ProductKernel
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.map_reduce import map_reduce

N_FEATURES = 16
#: Components of each family that is measured.
COMPONENTS = {"full": 32, "diag": 4}


def units() -> Standardisation:
    """Rows are of about this size already."""
    sample = np.random.default_rng(1).normal(size=(1000, N_FEATURES)).astype(np.float32)
    return Standardisation.from_sample(sample, common_scale=False)


def kernel(covariance_type: str) -> ProductKernel:
    """Some parameters; which ones does not matter to time. In float64, as EM ends."""
    k, family = COMPONENTS[covariance_type], family_named(covariance_type)
    means = np.random.default_rng(0).normal(size=(k, N_FEATURES))
    one = {"full": np.eye(N_FEATURES), "diag": np.ones(N_FEATURES)}[covariance_type]
    return ProductKernel.of(Parameters.of(family, np.full(k, 1 / k), means, np.stack([one] * k)))


def main(job_file: str) -> None:
    """Answer until standard input ends."""
    job = load_job(job_file)
    dataset = open_data(job)
    plan = plan_for(job, dataset)
    plan.check(plan.memory_limit)
    dataset = dataset.with_cache(plan.cache_budget)
    with open_executor(cluster_settings(job, plan)) as executor:
        _say(
            {"kept": plan.cached_rows.n_bytes, "task": plan.task_bytes, "planned": plan.total_bytes}
        )
        for line in sys.stdin:
            leaves = EStepTask(
                dataset,
                (EStepRequest(kernel(line.strip()), units()),),
                "numba",
                MissingPolicy.NONE_MISSING,
            )
            begun = time.perf_counter()
            total = map_reduce(executor, leaves, dataset.grid.n_blocks)
            seconds = time.perf_counter() - begun
            if total.n_read != dataset.n_samples:
                raise RuntimeError(f"read {total.n_read} rows of {dataset.n_samples}")
            _say({"seconds": seconds})


def _say(answer: dict[str, float]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
