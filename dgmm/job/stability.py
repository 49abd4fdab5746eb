"""Whether the components of the fitted model are found again in halves of the sample."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.execution.threads import in_this_process
from dgmm.fitting.fit import Fit
from dgmm.fitting.selection.stability import SPLITS, STABLE, Stability, stability
from dgmm.fitting.settings import FitSettings
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.run_resources import RunResources
from dgmm.model.model_files import model_digest


def note_stability(
    job: Job,
    result: Fit,
    settings: FitSettings,
    directory: RunDirectory,
    listener: RecordingListener,
    work: RunResources,
) -> None:
    """Record it where the job asks for it; components that are not stable are warned of."""
    if not job.selection.stability:
        return
    n = 2 * SPLITS
    listener.stage("stability", f"{n} fits to halves of {len(result.sample):,} sampled rows")

    def found() -> Stability:
        sample, weights = result.sample, result.summary.sample_weights
        kind = "importance" if result.weights is None else result.weights.kind
        with in_this_process(work.executor) as here:
            return stability(result.model, sample, weights, settings, here, kind=kind)

    one = work.state.once(f"stability-{model_digest(result.model)[:16]}", found)
    directory.record["stability"] = {
        "splits": SPLITS,
        "threshold": STABLE,
        "sample_rows": one.n_rows,
        "is_stable": one.is_stable,
        "worst_component": one.worst,
        "jaccard": one.means.tolist(),
        "by_split": one.jaccard.tolist(),
        "failed": list(one.failed),
    }
    (listener.note if one.is_stable else listener.warning)(f"stability: {one.describe()}")
    directory.write()
