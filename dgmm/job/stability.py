"""Whether the components of the fitted model are found again in halves of the sample."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.execution.threads import in_this_process
from dgmm.fitting.fit import Fit
from dgmm.fitting.selection.stability import SPLITS, STABLE, Stability, stability
from dgmm.fitting.selection.sweep_result import Sweep, SweptModel
from dgmm.fitting.settings import FitSettings
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.run_resources import RunResources
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest
from dgmm.selection_record import RunnerUpStability, StabilityRecord


def note_stability(
    job: Job,
    result: Fit,
    settings: FitSettings,
    several: Sweep | None,
    directory: RunDirectory,
    listener: RecordingListener,
    work: RunResources,
) -> None:
    """Record it where the job asks for it; components that are not stable are warned of.

    Of several models the runner-up is looked at beside the chosen one, and never warned of.
    """
    if not job.selection.stability:
        return
    runner_up = None if several is None else several.runner_up
    n = 2 * SPLITS * (1 if runner_up is None else 2)
    listener.stage("stability", f"{n} fits to halves of {len(result.sample):,} sampled rows")

    def of(model: MixtureModel, settings: FitSettings) -> Stability:
        def found() -> Stability:
            sample, weights = result.sample, result.summary.sample_weights
            kind = "importance" if result.weights is None else result.weights.kind
            with in_this_process(work.executor) as here:
                return stability(model, sample, weights, settings, here, kind=kind)

        return work.state.once(f"stability-{model_digest(model)[:16]}", found)

    one = of(result.model, settings)
    record: StabilityRecord = {
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
    if runner_up is not None:
        second = of(runner_up.model, runner_up.settings)
        record["runner_up"] = _of_runner_up(runner_up, second)
        name = runner_up.scored.name
        listener.note(f"stability of the runner-up, {name}: {second.describe()}")
    directory.record["stability"] = record
    directory.write()


def _of_runner_up(model: SweptModel, one: Stability) -> RunnerUpStability:
    return {
        "n_components": model.settings.n_components,
        "covariance_type": model.settings.covariance_type,
        "is_stable": one.is_stable,
        "worst_component": one.worst,
        "jaccard": one.means.tolist(),
        "by_split": one.jaccard.tolist(),
        "failed": list(one.failed),
    }
