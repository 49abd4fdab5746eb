"""What a fit leaves in its run directory beside the model: its part of run.json, and the sample."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

import numpy as np

from dgmm.classification_record import ShrinkageRecord
from dgmm.config import Job
from dgmm.exit_codes import ExitCode
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.fit import Fit
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener, rows_record
from dgmm.job.result import alarm_message, exit_code_of
from dgmm.job.stages import warn_of_underflow
from dgmm.mixture.criteria import criteria
from dgmm.model.mixture_model import MixtureModel
from dgmm.noise_record import NoiseRecord
from dgmm.outcome import Outcome
from dgmm.scoring.overlap import MOST_COMPONENTS, overlap
from dgmm.scoring.scoring_statistics import ScoringStatistics
from dgmm.storage.array_files import write_arrays
from dgmm.storage.folders import Entry

#: Rows saved for the report's pair plot, within this many numbers.
_SAMPLE_ROWS, _SAMPLE_NUMBERS = 20_000, 2_000_000

#: Repeated values that run.json names.
_MOST_VALUES = 1000


def restart_record(candidate: FitCandidate, *, selected: bool) -> dict[str, Any]:
    """How EM ended from one start."""
    outcome = candidate.outcome
    return {
        "restart": candidate.restart,
        "start": candidate.start,
        "outcome": outcome.name if outcome else None,
        "message": outcome.value if outcome else "",
        "n_iter": candidate.n_iter,
        "mean_log_likelihood": candidate.mean_log_likelihood,
        "selected": selected,
    }


def note_fit(directory: RunDirectory, result: Fit) -> None:
    """How EM went from each start, and on which rows."""
    chosen = result.chosen
    outcome = chosen.outcome or Outcome.MAX_ITER_REACHED
    restarts = [restart_record(c, selected=c.restart == chosen.restart) for c in result.candidates]
    restarts += [
        {"restart": restart, "outcome": "FAILED_START", "message": reason, "selected": False}
        for restart, reason in result.failed_starts.items()
    ]
    if result.inference.is_bounded:
        directory.record["inference"] = {
            "name": result.inference.name,
            "objective": chosen.objective,
            "prior": result.inference.prior_record(result.model.standardisation),
        }
    if (noise := result.model.noise) is not None:
        directory.record["noise"] = cast("NoiseRecord", noise.record())
    if result.shrinkage is not None:
        directory.record["shrinkage"] = cast("ShrinkageRecord", result.shrinkage.record())
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
    if result.frozen:
        directory.record["frozen"] = list(result.frozen)
    if result.weights is not None:
        directory.record["weights"] = result.weights.record()
    directory.write()


def about_rows(result: Fit) -> dict[str, Any]:
    """What model.json says, for people, of the rows that a model was fitted to."""
    weights = result.weights
    own = {} if weights is None else {"row_weights": weights.record()}
    return {"n_rows": result.summary.n_kept} | own


def record_scoring(
    directory: RunDirectory,
    model: MixtureModel,
    total: ScoringStatistics,
    listener: RecordingListener,
    result: Fit,
) -> None:
    """Likelihood, entropy and criteria of the parameters that are saved."""
    weights, n_free = result.weights, model.n_parameters - result.n_frozen_parameters
    warn_of_underflow(total, listener)
    n = total.weight
    n_rows = n if weights is None else weights.rows_of(n)
    share = n_rows / (n or 1)
    values = criteria(share * total.log_likelihood, share * total.entropy, n_free, n_rows or 1)
    directory.record |= {
        "log_likelihood": total.log_likelihood,
        "mean_log_likelihood": total.log_likelihood / n if n else None,
        "entropy": total.entropy,
        "n_parameters": n_free,
        "criteria": asdict(values) if n else None,
        "label_counts": total.label_counts.tolist(),
        "rows_underflowed": total.n_underflowed,
    }
    if total.cluster_entropy is not None and n:
        directory.record["merging"]["entropy"] = total.cluster_entropy / n


def write_sample(path: Entry, result: Fit) -> None:
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


def conclusion(
    job: Job, directory: RunDirectory, result: Fit, listener: RecordingListener
) -> tuple[str, str, ExitCode]:
    """Outcome, message and exit code."""
    outcome = result.chosen.outcome or Outcome.MAX_ITER_REACHED
    iterations = f"{result.chosen.n_iter} iteration{'s' * (result.chosen.n_iter != 1)}"
    mean = directory.record["mean_log_likelihood"]
    likelihood = "no row has a density" if mean is None else f"mean log-likelihood {mean:.6g}"
    code = exit_code_of(directory.record | {"outcome": outcome.name}, job)
    drift = alarm_message(directory.record.get("drift"))
    if outcome is Outcome.CONVERGED:
        return outcome.name, f"converged after {iterations}: {likelihood}{drift}", code
    if not outcome.has_converged and job.on_not_converged == "warn":
        listener.warning(f"{outcome.name}: {outcome.value}")
    text = f"{outcome.name} after {iterations}: {likelihood}; {outcome.value}{drift}"
    return outcome.name, text, code
