"""`comparison`: k-means and every covariance family on the job's own rows, for run.json."""

from __future__ import annotations

import math
import time

import numpy as np

from dgmm.comparison_record import ComparedMethod, ComparisonRecord
from dgmm.config import Job
from dgmm.fitting.comparison.centres import Centres
from dgmm.fitting.comparison.comparing import Comparison, Method, compare
from dgmm.fitting.comparison.label_agreement import adjusted_rand_index, moved_share
from dgmm.fitting.fit import Fit
from dgmm.fitting.settings import FitSettings
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.run_resources import RunResources
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.row_scores import select_scoring_backend

#: Tables of labels grow with the square of their number.
MOST_COMPONENTS = 128


def with_comparison(
    job: Job,
    result: Fit,
    settings: FitSettings,
    directory: RunDirectory,
    listener: RecordingListener,
    work: RunResources,
) -> None:
    """Record the comparison where the job asks for one."""
    k = result.model.n_components
    if not job.comparison:
        return
    if not 1 < k <= MOST_COMPONENTS:
        listener.warning(
            f"the mixture has {k} components: comparison takes 2 to {MOST_COMPONENTS}, and is left "
            "out"
        )
        return
    listener.stage("comparison", f"k-means and mixtures of {k} components")
    begun = time.monotonic()

    def backend_of(method: Method) -> str:
        if not isinstance(model := method.fitted, MixtureModel):
            return method.backend
        return work.state.once(
            f"comparison-backend-{method.name.replace(' ', '-')}",
            lambda: select_scoring_backend(
                job.compute.backend, model, result.dataset, work.executor
            ),
        )

    found = compare(
        *(result.dataset, work.executor, result.summary, settings),
        fold_rows=job.selection.fold_rows,
        backend_of=backend_of,
        of_pass=work.state.of_pass,
    )
    seconds = time.monotonic() - begun
    directory.record["comparison"] = record_of(found, k, result.model.n_features, seconds)
    for name, why in found.failed.items():
        listener.warning(f"{name} could not be fitted to the sample for the comparison: {why}")
    listener.end_stage()


def record_of(
    found: Comparison, n_components: int, n_features: int, seconds: float
) -> ComparisonRecord:
    """The comparison as run.json has it."""
    sums, methods = found.sums, found.methods
    tables = {
        (a, b): sums.table(a, b) for a in range(len(methods)) for b in range(len(methods)) if a != b
    }
    both = range(len(methods))
    return {
        "n_components": n_components,
        "rows": sums.n_read - sums.n_dropped,
        "held_out_rows": sums.n_held_out,
        "fitted_rows": found.n_fitted,
        "seconds": seconds,
        "methods": [
            _method(found, place, n_components, n_features) for place in range(len(methods))
        ],
        "adjusted_rand_index": [
            [1.0 if a == b else adjusted_rand_index(tables[a, b]) for b in both] for a in both
        ],
        "moved": [[0.0 if a == b else moved_share(tables[a, b]) for b in both] for a in both],
        "failed": found.failed,
    }


def _method(found: Comparison, place: int, k: int, d: int) -> ComparedMethod:
    method, sums = found.methods[place], found.sums
    record: ComparedMethod = {
        "name": method.name,
        "passes": method.passes,
        "seconds_per_row": method.seconds_per_row
        if math.isfinite(method.seconds_per_row)
        else None,
        "n_parameters": k * d,
        "agreement_of_halves": method.agreement,
        "mean_log_likelihood": None,
        "held_out": None,
        "below_best": None,
        "standard_error": None,
        "bic_per_row": None,
    }
    if isinstance(method.fitted, Centres):
        return record
    n = sums.n_read - sums.n_dropped
    p = method.fitted.n_parameters
    mean, n_held = float(sums.log_likelihood[place]) / max(n, 1), sums.n_held_out
    held_out = float(sums.held_out[place]) / n_held if n_held else math.nan
    below, error = _below_best(found, place)
    record |= {
        "n_parameters": p,
        "mean_log_likelihood": _finite(mean),
        "held_out": _finite(held_out),
        "below_best": _finite(below) if n_held else None,
        "standard_error": error,
        "bic_per_row": _finite(p * math.log(max(n, 1)) / max(n, 1) - 2.0 * mean),
    }
    return record


def _below_best(found: Comparison, place: int) -> tuple[float, float | None]:
    """By how much held-out likelihood is below the highest, with the paired standard error."""
    sums, n = found.sums, found.sums.n_held_out
    best = int(np.argmax(sums.held_out))
    mean = float(sums.held_out[best] - sums.held_out[place]) / max(n, 1)
    variance = float(sums.squares[best, place]) / max(n, 1) - mean**2
    is_known = n > 1 and math.isfinite(variance)
    return mean, math.sqrt(max(variance, 0.0) / (n - 1)) if is_known else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
