"""`dgmm run`: summary, start, EM, model, scoring pass, anomalies, report."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

from dgmm.config import Job
from dgmm.data.stored_dataset import StoredDataset
from dgmm.events import Listener
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import EmState
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.missing_cost import CostNotAcceptedError
from dgmm.fitting.selection.sweep_result import Sweep
from dgmm.fitting.settings import FitSettings
from dgmm.job.accepted_cost import require_few_models, require_known_cost_accepted
from dgmm.job.adapting import adapted_start, as_adapted, without_em
from dgmm.job.anomalies import list_anomalies
from dgmm.job.classify_job import classify_job
from dgmm.job.comparison import with_comparison
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.earlier_labels import note_earlier_labels
from dgmm.job.fit_inputs import FitInputs
from dgmm.job.fit_record import about_rows, conclusion, note_fit, record_scoring, write_sample
from dgmm.job.fit_settings import fit_settings
from dgmm.job.given_start import given_parameters
from dgmm.job.labelled_start import labelled_start, note_start_classes, require_one_model
from dgmm.job.lifecycle import run_recorded
from dgmm.job.merging import with_clusters
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.monitoring import monitor
from dgmm.job.output_stage import OutputStage
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import note_steps, steps_of, with_repairs, with_rows, with_steps
from dgmm.job.rebuilding import Rescoring, rebuild_outputs, saved_model
from dgmm.job.result import RunResult
from dgmm.job.row_weights import beside_prepared_rows
from dgmm.job.run_resources import RunResources, run_resources
from dgmm.job.stability import note_stability
from dgmm.job.stages import (
    describe_data,
    output_format,
    save_run_model,
)
from dgmm.job.sweep_stage import fit_several, note_sweep
from dgmm.job.user_means import user_means_record
from dgmm.model.mixture_model import MixtureModel
from dgmm.run_record import Preprocess
from dgmm.scoring.scoring_statistics import ScoringStatistics


def run_job(
    job: Job,
    listener: Listener,
    *,
    accept_versions: bool = False,
    rebuild: bool = False,
    accept_cost: bool = False,
) -> RunResult:
    """Fit the mixture that the job asks for and leave everything in its run directory.

    Parameters
    ----------
    job, listener
        What to do, and who hears of it.
    accept_versions
        Resume a run that was begun with other versions of the software, or on another
        processor.
    rebuild
        Write the outputs of a finished run again from its model, where some are missing.
    accept_cost
        Fit also where missing values make passes take more than 50 times as long, and more than
        100 models.

    Raises
    ------
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    if job.task == "classify":
        keys = {"accept_versions": accept_versions, "accept_cost": accept_cost}
        return classify_job(job, listener, rebuild=rebuild, **keys)
    require_one_model(job)
    require_few_models(job, is_accepted=accept_cost)
    work = partial(_run, accept_versions=accept_versions, accept_cost=accept_cost)
    again = _rebuild if rebuild else None
    return run_recorded(
        job, listener, FitInputs.of, work, accept_versions=accept_versions, rebuild=again
    )


def _run(
    job: Job,
    inputs: FitInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
    accept_cost: bool,
) -> RunResult:
    """Everything but the report."""
    if inputs.last is not None:
        directory.record["earlier_run"] = inputs.last.record()
        if inputs.last.warning:
            recording.warning(inputs.last.warning)
    _note_data(job, inputs.dataset, inputs.fingerprint, directory, recording)
    keys = {"accept_versions": accept_versions, "accept_cost": accept_cost}
    work = partial(_fitted_and_scored, job, inputs, directory, recording, **keys)
    return with_repairs(work, directory, recording)


def _fitted_and_scored(
    job: Job,
    inputs: FitInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
    accept_cost: bool,
) -> RunResult:
    """The same, from rows that are intact."""
    dataset, data = inputs.dataset, inputs.fingerprint
    plan = plan_for(job, dataset)
    with run_resources(
        job, directory, recording, plan, data, accept_versions=accept_versions
    ) as work:
        dataset = with_rows(job, dataset, directory, work.executor, recording)
        result = _fitted(job, dataset, inputs, directory, recording, work, accept_cost=accept_cost)
        total, model = _scored(job, dataset, result, directory, recording, work)
        with_comparison(job, result, _compared(job, result), directory, recording, work)
        deliver(job, dataset, model.n_labels, directory, work.executor, recording)
        listed = total.most_anomalous
        list_anomalies(listed, dataset, model, directory, work.executor, recording)
    record_scoring(directory, model, total, recording, result)
    if model.preprocess is not None:
        directory.record["preprocess"] |= cast("Preprocess", user_means_record(model, result))
    _save(directory, model, result, recording)
    write_sample(directory.folder / "sample.npz", result)
    ended = directory.finish(*conclusion(job, directory, result, recording))
    if not work.state.may_go_on:
        directory.forget_state()  # else a larger max_iter resumes from it
    return ended


def _compared(job: Job, result: Fit) -> FitSettings:
    """Of the model that was fitted, or chosen, what other methods are compared with."""
    model = result.model
    k, family = model.n_components, model.covariance_type
    settings = replace(fit_settings(job)[0], freeze=())  # some may be lost: numbers are others
    return replace(settings, n_components=k, covariance_type=family)


def _fitted(
    job: Job,
    dataset: StoredDataset,
    inputs: FitInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
    *,
    accept_cost: bool,
) -> Fit:
    """The fit of prepared rows, recorded, with its model saved."""
    steps, state = steps_of(dataset), work.state
    note_steps(steps, directory, recording)
    rows = beside_prepared_rows(job, dataset, directory).with_cache(work.plan.cache_budget)
    recording.rewind(_reached(state.em_state()))
    monitor(job, rows, inputs.monitored, inputs.last, directory, recording, work)
    settings = [
        replace(one, accept_cost=accept_cost)
        for one in fit_settings(job, has_start=inputs.start is not None)
    ]
    several: Sweep | None = None
    try:
        require_known_cost_accepted(job, dataset, work.executor, is_accepted=accept_cost)
        if len(settings) == 1:
            start = adapted_start(job, rows, inputs, directory, recording, work)
            given, own = given_parameters(start), without_em(settings[0], inputs)
            if job.initialisation.method == "labels":
                given = labelled_start(job, dataset, rows, own, directory, work.executor)
            result = fit(rows, work.executor, own, recording, given, progress=state)
            if job.initialisation.method == "labels":
                note_start_classes(directory, result)
        else:
            complete = partial(with_steps, dataset=dataset)
            result, several = fit_several(job, rows, settings, directory, recording, work, complete)
    except CostNotAcceptedError as error:
        directory.record["missing"] = error.cost.record()  # `plan` reads it
        raise
    result = replace(result, model=with_steps(result.model, dataset))
    result = as_adapted(result, inputs)
    result = with_clusters(job, result, directory, recording)
    note_earlier_labels(job, rows, result, inputs.monitored, directory, recording)
    note_fit(directory, result)
    if several is not None:
        note_sweep(directory, several)
    fitted = settings[0] if several is None else several.chosen.settings
    note_stability(job, result, fitted, several, directory, recording, work)
    _save(directory, result.model, result, recording)
    return result


def _scored(
    job: Job,
    dataset: StoredDataset,
    result: Fit,
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
) -> tuple[ScoringStatistics, MixtureModel]:
    """The scoring pass, which writes the row outputs, and the model with its anomaly threshold."""
    recording.stage("scoring", "labels, posteriors and log densities of every row")
    written = output_format(job, dataset)
    stage = OutputStage(
        *(job, directory, result.dataset, work.executor, result.model, work.state, written),
        backend=result.backend,
        warn=recording.warning,
    )
    found = stage.write(job.anomaly_rule)
    recording.end_stage()
    return found


def _rebuild(
    job: Job, inputs: FitInputs, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    dataset, model = inputs.dataset, saved_model(directory)
    again = Rescoring(dataset, model, job.anomaly_rule, inputs.fingerprint)
    return rebuild_outputs(job, again, directory, recording)


def _reached(state: EmState | None) -> dict[CandidateId, int]:
    """The iterations that an earlier attempt has made for good, by candidate."""
    return {} if state is None else {c.id: c.n_iter for c in state.candidates}


def _note_data(
    job: Job,
    dataset: StoredDataset,
    fingerprint: dict[str, Any],
    directory: RunDirectory,
    listener: RecordingListener,
) -> None:
    directory.record["data"] = describe_data(job, dataset) | {"fingerprint": fingerprint}
    directory.record["rows"]["total"] = dataset.n_samples
    for text in dataset.warnings:
        listener.warning(text)
    directory.write()


def _save(
    directory: RunDirectory, model: MixtureModel, result: Fit, listener: RecordingListener
) -> None:
    save_run_model(
        model,
        directory,
        listener,
        mean_log_likelihood=directory.record["mean_log_likelihood"],
        outcome=directory.record["outcome"],
        **about_rows(result),
    )
