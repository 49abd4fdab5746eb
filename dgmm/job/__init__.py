"""The story of one job, stage by stage: `run_job` fits, `predict_job` applies, `plan_job` reckons.

`directory` owns what a run leaves on disk; `fitting` and `predicting` tell the two stories.
"""

from dgmm.job.directory import RunResult
from dgmm.job.fitting import run_job
from dgmm.job.plan import plan_job
from dgmm.job.predicting import predict_job

__all__ = ["RunResult", "plan_job", "predict_job", "run_job"]
