"""One job, stage by stage: `run_job` fits, `predict_job` applies, `plan_job` plans memory.

`story` is what every job has in common, `fitting` and `predicting` are the two kinds of work, and
`directory` owns what a run leaves on disk.
"""

from dgmm.job.fitting import run_job
from dgmm.job.plan import plan_job
from dgmm.job.predicting import predict_job
from dgmm.job.result import RunResult

__all__ = ["RunResult", "plan_job", "predict_job", "run_job"]
