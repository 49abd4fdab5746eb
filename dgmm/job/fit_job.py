"""`dgmm run`: summary, start, EM, model, scoring pass, anomalies, report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from dgmm.config import Job
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.summary.counted_weights import CountedWeights
from dgmm.errors import ExitCode
from dgmm.events import Listener
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import EmState
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.missing_cost import CostNotAcceptedError
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.fit_settings import fit_settings
from dgmm.job.given_start import given_model, given_parameters
from dgmm.job.lifecycle import run_recorded
from dgmm.job.metrics_and_events import RecordingListener, rows_record
from dgmm.job.output_stage import OutputStage
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import note_steps, steps_of, with_rows
from dgmm.job.rebuilding import Rescoring, rebuild_outputs, saved_model
from dgmm.job.result import RunResult, exit_code_of
from dgmm.job.row_weights import beside_prepared_rows
from dgmm.job.run_resources import run_resources
from dgmm.job.stages import (
    describe_data,
    open_data,
    output_format,
    save_run_model,
    warn_of_underflow,
)
from dgmm.mixture.criteria import criteria
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest
from dgmm.outcome import Outcome
from dgmm.scoring.overlap import MOST_COMPONENTS, overlap
from dgmm.scoring.row_scores import ScoringStatistics
from dgmm.storage.array_files import write_arrays
from dgmm.storage.folders import Entry

#: Rows saved for the report's pair plot, within this many numbers.
_SAMPLE_ROWS, _SAMPLE_NUMBERS = 20_000, 2_000_000

#: Repeated values that run.json names.
_MOST_VALUES = 1000


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
        Fit also where missing values make passes take more than 50 times as long.

    Raises
    ------
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    work = partial(_run, accept_versions=accept_versions, accept_cost=accept_cost)
    again = _rebuild if rebuild else None
    return run_recorded(
        job, listener, FitInputs.of, work, accept_versions=accept_versions, rebuild=again
    )


@dataclass(frozen=True, slots=True, eq=False)
class FitInputs:
    """The data, the model that the job starts from if it names one, and what tells them apart."""

    dataset: StoredDataset
    start: MixtureModel | None
    fingerprint: dict[str, Any]

    @classmethod
    def of(cls, job: Job) -> Self:
        """Opened; of the data nothing but metadata is read."""
        dataset, start = open_data(job), given_model(job)
        own = {} if start is None else {"start": model_digest(start)}
        return cls(dataset, start, dataset.fingerprint() | own)


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
    dataset, start, data = inputs.dataset, inputs.start, inputs.fingerprint
    _note_data(job, dataset, data, directory, recording)
    plan = plan_for(job, dataset)
    with run_resources(
        job, directory, recording, plan, data, accept_versions=accept_versions
    ) as work:
        state, executor, plan = work
        dataset = with_rows(job, dataset, directory, executor, recording)
        steps = steps_of(dataset)
        note_steps(steps, directory, recording)
        rows = beside_prepared_rows(job, dataset, directory).with_cache(plan.cache_budget)
        recording.rewind(_reached(state.em_state()))
        settings = replace(fit_settings(job), accept_cost=accept_cost)
        try:
            result = fit(
                rows, executor, settings, recording, given_parameters(start), progress=state
            )
        except CostNotAcceptedError as error:
            directory.record["missing"] = error.cost.record()  # `plan` reads it
            raise
        result = replace(result, model=replace(result.model, preprocess=steps))
        _note_fit(directory, result)
        _save(directory, result.model, result, recording)
        recording.stage("scoring", "labels, posteriors and log densities of every row")
        written = output_format(job, dataset)
        output_stage = OutputStage(
            *(job, directory, result.dataset, executor, result.model, state, written),
            backend=result.backend,
            warn=recording.warning,
        )
        total, model = output_stage.write(quantile=job.output.anomaly_quantile)
        recording.end_stage()
        deliver(job, dataset, model.n_components, directory, executor, recording)
    _record_scoring(directory, model, total, recording, result.weights)
    if steps is not None:
        directory.record["preprocess"]["means"] = model.user_means.tolist()
    _save(directory, model, result, recording)
    _write_sample(directory.folder / "sample.npz", result)
    ended = directory.finish(*_conclusion(job, directory, result, recording))
    if not state.may_go_on:
        directory.forget_state()  # else a larger max_iter resumes from it
    return ended


def _rebuild(
    job: Job, inputs: FitInputs, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    dataset, model = inputs.dataset, saved_model(directory)
    quantile = job.output.anomaly_quantile
    again = Rescoring(dataset, model, quantile, inputs.fingerprint)
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


def _note_fit(directory: RunDirectory, result: Fit) -> None:
    chosen = result.chosen
    outcome = chosen.outcome or Outcome.MAX_ITER_REACHED
    restarts = [
        {
            "restart": c.restart,
            "start": c.start,
            "outcome": c.outcome.name if c.outcome else None,
            "message": c.outcome.value if c.outcome else "",
            "n_iter": c.n_iter,
            "mean_log_likelihood": c.mean_log_likelihood,
            "selected": c.restart == chosen.restart,
        }
        for c in result.candidates
    ]
    restarts += [
        {"restart": restart, "outcome": "FAILED_START", "message": reason, "selected": False}
        for restart, reason in result.failed_starts.items()
    ]
    if (cost := result.missing_cost) is not None:
        directory.record["missing"] = cost.record()
    directory.record |= {
        "outcome": outcome.name,
        "n_iter": chosen.n_iter,
        "backend": result.backend,
        "rows": rows_record(result.summary),
        "restarts": restarts,
        "repeated_values": [
            asdict(v) | {"feature": result.model.feature_names[v.feature]}
            for v in result.repeated_values[:_MOST_VALUES]
        ],
        "starts": [asdict(trial) for trial in result.trials],
        "component_log": [asdict(e) for e in result.events],
    }
    if result.weights is not None:
        directory.record["weights"] = result.weights.record()
    directory.write()


def _save(
    directory: RunDirectory, model: MixtureModel, result: Fit, listener: RecordingListener
) -> None:
    save_run_model(
        model,
        directory,
        listener,
        n_rows=result.summary.n_kept,
        mean_log_likelihood=directory.record["mean_log_likelihood"],
        outcome=directory.record["outcome"],
        **({} if result.weights is None else {"row_weights": result.weights.record()}),
    )


def _record_scoring(
    directory: RunDirectory,
    model: MixtureModel,
    total: ScoringStatistics,
    listener: RecordingListener,
    weights: CountedWeights | None,
) -> None:
    """Likelihood, entropy and criteria of the parameters that are saved."""
    warn_of_underflow(total, listener)
    n = total.weight
    n_rows = n if weights is None else weights.rows_of(n)
    share = n_rows / (n or 1)
    values = criteria(
        share * total.log_likelihood, share * total.entropy, model.n_parameters, n_rows or 1
    )
    directory.record |= {
        "log_likelihood": total.log_likelihood,
        "mean_log_likelihood": total.log_likelihood / n if n else None,
        "entropy": total.entropy,
        "n_parameters": model.n_parameters,
        "criteria": asdict(values) if n else None,
        "label_counts": total.label_counts.tolist(),
        "rows_underflowed": total.n_underflowed,
    }


def _write_sample(path: Entry, result: Fit) -> None:
    """A fixed part of the sample, and the overlap of components on all of it, for the report."""
    standardisation = result.model.standardisation
    rows = result.sample
    wanted = max(min(_SAMPLE_ROWS, _SAMPLE_NUMBERS // rows.shape[1]), 1)
    places = np.linspace(0, len(rows) - 1, min(wanted, len(rows))).astype(np.intp)
    arrays = {"rows": rows[places].astype(np.float64)}
    if result.model.n_components <= MOST_COMPONENTS:
        standardised = standardisation.apply(rows, np.float64).T
        arrays["overlap"] = overlap(result.model.parameters, standardised)
    write_arrays(path, **arrays)


def _conclusion(
    job: Job, directory: RunDirectory, result: Fit, listener: RecordingListener
) -> tuple[str, str, ExitCode]:
    """Outcome, message and exit code."""
    outcome = result.chosen.outcome or Outcome.MAX_ITER_REACHED
    iterations = f"{result.chosen.n_iter} iteration{'s' * (result.chosen.n_iter != 1)}"
    mean = directory.record["mean_log_likelihood"]
    likelihood = "no row has a density" if mean is None else f"mean log-likelihood {mean:.6g}"
    code = exit_code_of(outcome.name, job)
    if outcome is Outcome.CONVERGED:
        return outcome.name, f"converged after {iterations}: {likelihood}", code
    if not outcome.has_converged and job.on_not_converged == "warn":
        listener.warning(f"{outcome.name}: {outcome.value}")
    return outcome.name, f"{outcome.name} after {iterations}: {likelihood}; {outcome.value}", code
