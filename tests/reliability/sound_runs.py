"""What every run that ended well has to have left: rows accounted for, a mixture, sound scores."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from random_arrays import ArrayCase

from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model

_EPS = float(np.finfo(np.float64).eps)
_SINGLE = float(np.finfo(np.float32).eps)


def unsound(case: ArrayCase, run: Path) -> list[str]:
    """What is wrong with the run directory of a run that ended well; nothing if it is sound."""
    record = json.loads((run / "run.json").read_text())
    model = load_model(run / "model")
    return [
        *_rows(case, record),
        *_mixture(model, record),
        *_scores(case, run, record, model),
        *_likelihood(case, run, record, model),
    ]


def _rows(case: ArrayCase, record: dict[str, Any]) -> list[str]:
    rows = record["rows"]
    found = []
    if rows["read"] + rows["dropped"] != rows["total"]:
        found.append(f"rows that do not add up: {rows}")
    if rows["total"] != case.n and case.is_whole:
        found.append(f"{case.n} rows, recorded {rows}")
    if case.is_whole:
        dropped = int((~np.isfinite(case.values().astype(np.float64)).all(axis=1)).sum())
        if rows["dropped"] != dropped:
            found.append(f"{dropped} rows to be dropped, recorded {rows}")
    return found


def _mixture(model: MixtureModel, record: dict[str, Any]) -> list[str]:
    found = []
    if abs(model.weights.sum() - 1.0) > model.n_components * 4 * _EPS or (model.weights < 0).any():
        found.append(f"weights {model.weights}")
    p = model.parameters
    with np.errstate(over="ignore"):
        user = {"means": model.means, "covariances": model.covariances}
    for name, values in user.items():
        told = any("standardised" in text or "underflow" in text for text in record["warnings"])
        if not np.isfinite(values).all() and not told:
            found.append(f"{name} in user units are not finite, and no warning says it")
    for k in range(p.n_components):
        covariance = p.family.full_covariance(p.covariances, k, p.n_features)
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            found.append(f"covariance {k} is not positive definite: {covariance}")
    return found


def _scores(  # noqa: C901 - one line of what has to hold after another
    case: ArrayCase, run: Path, record: dict[str, Any], model: MixtureModel
) -> list[str]:
    outputs = zarr.open_group(str(run / "outputs.zarr"), mode="r")
    labels, posterior, log_density = (
        np.asarray(outputs[name][...]) for name in ("labels", "max_posterior", "log_density")
    )
    n, dropped, k = record["rows"]["total"], record["rows"]["dropped"], model.n_components
    found = []
    if labels.shape != (n,) or labels.min() < -1 or labels.max() >= k:
        found.append(f"labels {labels.shape} from {labels.min()} to {labels.max()} of {k}")
    is_dropped = labels == -1
    if is_dropped.sum() != dropped:
        found.append(f"{is_dropped.sum()} labels are -1, {dropped} rows dropped")
    if sum(record["label_counts"]) != n - dropped:
        found.append(f"label_counts {record['label_counts']} of {n - dropped} rows")
    kept = posterior[~is_dropped]
    if not ((kept >= 1 / k - 4 * _SINGLE) & (kept <= 1)).all():
        found.append(f"max_posterior from {kept.min()} to {kept.max()} of {k}")
    scored = log_density[~is_dropped]
    if np.isneginf(scored).sum() != record["rows_underflowed"] or (scored == np.inf).any():
        found.append(f"log_density {scored} and {record['rows_underflowed']} underflowed")
    if np.isnan(scored).any() or not np.isnan(log_density[is_dropped]).all():
        found.append("log_density is NaN where rows are kept, or not where they are dropped")
    if "responsibilities" in outputs:
        R = np.asarray(outputs["responsibilities"][...], np.float64)[~is_dropped]
        if R.size and not np.allclose(R.sum(axis=1), 1.0, atol=2 * k * _SINGLE):
            found.append("responsibilities do not sum to 1")
    if "anomaly" in outputs:
        flags = np.asarray(outputs["anomaly"][...])
        told = record["anomaly"]["n_anomalies"]
        if not set(np.unique(flags[~is_dropped])) <= {0, 1} or int((flags == 1).sum()) != told:
            found.append(f"anomaly flags {np.unique(flags)}, {told} told")
    return found


def _likelihood(
    case: ArrayCase, run: Path, record: dict[str, Any], model: MixtureModel
) -> list[str]:
    """Falls of the likelihood that nothing explains.

    Where a covariance is regularised an M-step may fall by what that costs, and the product itself
    says when it falls by more; so falls are looked for where nothing is added.
    """
    model_section = case.job["model"]
    if model_section["reg_covar"] or model_section["reg_covar_relative"]:
        return []
    anew = {(e["restart"], e["iteration"]) for e in record["component_log"]}
    condition = model.parameters.condition_bound
    found = []
    with (run / "metrics.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["step"] != "tried"]
    for before, after in pairwise(lines):
        if (before["restart"], before["kernel"], before["dtype"]) != (
            after["restart"], after["kernel"], after["dtype"],
        ):  # fmt: skip
            continue  # the comparison starts anew
        restart, iteration = int(after["restart"]), int(after["iteration"])
        if {(restart, iteration), (restart, iteration - 1)} & anew or after["step"] == "rejected":
            continue
        if not before["mean_log_likelihood"] or not after["mean_log_likelihood"]:
            continue
        was, now = float(before["mean_log_likelihood"]), float(after["mean_log_likelihood"])
        eps = _SINGLE if after["dtype"] == "float32" else 1e-12
        allowed = 100 * eps * max(1.0, abs(was)) + 64 * _EPS * condition
        if was - now > allowed and record["outcome"] != "LOG_LIKELIHOOD_DECREASED":
            found.append(f"restart {restart}, iteration {iteration}: from {was} to {now}")
    return found
