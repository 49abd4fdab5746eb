"""How often a job reads all rows at most, and what models that share reads save."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.fitting.comparison.comparing import MOST_ROWS, N_HALVES
from dgmm.fitting.comparison.method_names import WITH_NOISE, method_names
from dgmm.fitting.initialisation import reads_all_rows
from dgmm.fitting.initialisation.kmeans_parallel import N_READS
from dgmm.job.earlier_run import n_passes_of_earlier


def reads(job: Job, n_groups: int = 1, n_models: int | None = None) -> int:
    """Reads of all rows at most: the summary, starts, EM of each group, the scoring pass."""
    n_models = len(job.models) if n_models is None else n_models
    held_out = 2 if job.fits_of_a_model > 1 else 0  # rows of the folds counted, and scored
    others = 2 + held_out + int(job.comparison) + n_passes_of_earlier(job)
    return job.model.max_iter * n_groups + others + reads_of_start(job) * n_models


def models_text(job: Job, n_groups: int) -> tuple[str, ...]:
    """Which models there are, in how many groups, and what reads that saves."""
    n = len(job.models)
    if n < 2:
        return ()
    sizes, types = job.model.n_components, job.model.covariance_type
    k = ", ".join(f"{size:,}" for size in (sizes if isinstance(sizes, list) else [sizes or 1]))
    families = ", ".join(types) if isinstance(types, list) else types
    groups = "one group" if n_groups == 1 else f"{n_groups:,} groups"
    alone, together = n * job.fits_of_a_model * reads(job, 1, 1), reads(job, n_groups)
    folds = f", each without {job.selection.folds} folds too" if job.fits_of_a_model > 1 else ""
    models = f"{n:,}: {families} with {k} components{folds}, in {groups}"
    return (
        f"{models}; a read feeds every model of a group",
        f"one by one they would take {alone:,} passes at most: {alone - together:,} reads saved",
    )


def comparison_text(job: Job) -> str:
    """What `comparison` takes, in words; empty where the job does not ask for it."""
    if not job.comparison:
        return ""
    types = job.model.covariance_type
    asked = types if isinstance(types, list) else [types]
    found = [method_names(family, noise=job.model.noise) for family in asked]
    shared = [name for name in found[0] if all(name in names for names in found)]
    sizes = {len(names) for names in found}
    own = f" and the chosen family{WITH_NOISE * job.model.noise}" if {len(shared)} != sizes else ""
    n_fits = max(sizes) * (1 + N_HALVES)
    at_most = " at most" * (len(sizes) > 1)
    return (
        f"{', '.join(shared)}{own}: {n_fits} fits{at_most}: each method once to at most "
        f"{MOST_ROWS:,} rows of the sample, and to {N_HALVES} halves of these; 1 more read of all "
        "rows"
    )


def reads_of_start(job: Job) -> int:
    """Reads of all rows before EM, beside the summary's."""
    over_all = job.command == "run" and reads_all_rows(job.initialisation.method)
    return N_READS + (job.data.missing == "marginalise") if over_all else 0
