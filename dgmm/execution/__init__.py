"""Where tasks run: threads of this process, or a Dask cluster. The only package that imports Dask.

`open_executor(ClusterSettings(...))` gives the executor that a job asks for. `ThreadExecutor` alone
serves a script: importing it loads nothing of Dask. `local_cluster` and `existing_cluster`, in
`dgmm.execution.dask_cluster`, give Dask's. `map_reduce` gives
bit-identical results on any of them. Other kinds are added to `CLUSTERS`, or as entry points of the
group `dgmm.clusters`.
"""

from dgmm.execution.open_cluster import CLUSTERS, ClusterKind, ClusterSettings, open_executor

__all__ = ["CLUSTERS", "ClusterKind", "ClusterSettings", "open_executor"]
