"""A run's state on disk, from which the same command resumes, with a bit-identical result."""

from dgmm.checkpoint.run_state import RunState
from dgmm.checkpoint.store import FORMAT, CheckpointStore

__all__ = ["FORMAT", "CheckpointStore", "RunState"]
