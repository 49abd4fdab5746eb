"""One job, stage by stage: `run_job` fits, `predict_job` applies, `plan_job` plans memory.

`ingest_job` does the first stage alone, which prepares the rows of a source.

`lifecycle` is what every job has in common, `fit_job` and `predicting` are the two kinds of work,
and `directory` owns what a run leaves on disk.
"""

from dgmm.job.fit_job import run_job
from dgmm.job.ingesting import ingest_job, ingest_to
from dgmm.job.plan_table import plan_table
from dgmm.job.planning import plan_job
from dgmm.job.predicting import predict_job
from dgmm.job.result import RunResult

__all__ = [
    "RunResult",
    "ingest_job",
    "ingest_to",
    "plan_job",
    "plan_table",
    "predict_job",
    "run_job",
]
