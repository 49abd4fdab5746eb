"""Where tasks run: threads of this process, or a Dask cluster. The only package that imports Dask.

`open_executor(ClusterSettings(...))` gives the executor that a job asks for. `ThreadExecutor` alone
serves a script: importing it loads nothing of Dask. `local_cluster` and `existing_cluster`, in
`dgmm.execution.dask_cluster`, give Dask's. `map_reduce` gives
bit-identical results on any of them.
"""

from dgmm.execution.opening import ClusterSettings, open_executor

__all__ = ["ClusterSettings", "open_executor"]
