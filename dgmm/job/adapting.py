"""A job that adapts an earlier model in place of a fit."""

from __future__ import annotations

from dataclasses import replace

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.fitting.drift.adaptation import Adaptation
from dgmm.fitting.fit import Fit
from dgmm.fitting.settings import FitSettings
from dgmm.job.directory import RunDirectory
from dgmm.job.fit_inputs import FitInputs
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.monitoring import earlier_statistics
from dgmm.job.run_resources import RunResources
from dgmm.model.mixture_model import MixtureModel
from dgmm.outcome import Outcome


def adapted_start(
    job: Job,
    rows: Dataset,
    inputs: FitInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
) -> MixtureModel | None:
    """The model that the job starts from: adapted to the rows where it asks for that."""
    earlier = inputs.adapted
    if job.adapt.relevance is None or earlier is None:
        return inputs.start
    recording.stage("adapt", f"{earlier.path} to {rows.n_samples:,} rows")
    found = earlier_statistics(job, rows, earlier, "initialisation.model", recording, work)
    adaptation = Adaptation.of(
        *(earlier.model, found, job.adapt.relevance, job.adapt.parameters),
        counts_are_rows=job.data.weights.kind == "counts",
    )
    directory.record["adaptation"] = {
        "path": earlier.path,
        "relevance": job.adapt.relevance,
        "parameters": list(job.adapt.parameters),
        "shares": adaptation.shares.tolist(),
    }
    recording.end_stage()
    return adaptation.model


def without_em(settings: FitSettings, inputs: FitInputs) -> FitSettings:
    """The settings of a fit that keeps an adapted start as it is."""
    return settings if inputs.adapted is None else replace(settings, max_iter=0)


def as_adapted(result: Fit, inputs: FitInputs) -> Fit:
    """The fit with the outcome that it has where its start was adapted."""
    if inputs.adapted is None:
        return result
    candidates = tuple(replace(c, outcome=Outcome.ADAPTED) for c in result.candidates)
    return replace(
        result, candidates=candidates, chosen=replace(result.chosen, outcome=Outcome.ADAPTED)
    )
