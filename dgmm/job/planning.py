"""`dgmm plan`: what a job will read, hold and write, before anything is started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from dgmm.config import Job
from dgmm.config.earlier_model import LAST
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.execution.open_cluster import CLUSTERS
from dgmm.execution.threads import available_cpus
from dgmm.fitting.initialisation.kmeans_parallel import EXPECTED_CANDIDATES
from dgmm.fitting.preparation import sample_rows
from dgmm.fitting.prior_settings import WORDS
from dgmm.fitting.sample_effort import Effort
from dgmm.fitting.selection.groups import grouped
from dgmm.fitting.settings import FitSettings
from dgmm.job.applied_model import applied_model
from dgmm.job.chosen_kind import chosen_kind, is_automatic, of_kind
from dgmm.job.earlier_run import monitor_text
from dgmm.job.fit_settings import FIRST_METHOD
from dgmm.job.memory_plan import Term, Work, driver_terms, task_terms, tasks_of_a_pass
from dgmm.job.missing_plan import missing_values
from dgmm.job.plan import Plan
from dgmm.job.planned_classes import PlannedClasses
from dgmm.job.planned_outputs import output_chunk_bytes, output_row_bytes
from dgmm.job.planned_passes import comparison_text, models_text, reads, reads_of_start
from dgmm.job.preparing_plan import Preparation
from dgmm.job.stages import open_data, rows_for_model
from dgmm.mixture.covariance import family_named
from dgmm.model.classifier_files import classifier_at, load_classifier
from dgmm.model.mixture_model import MixtureModel
from dgmm.runtime.blas_threads import limited_thread
from dgmm.runtime.machine import available_memory, free_memory


@limited_thread()
def plan_job(job: Job, *, count_missing: bool = False) -> Plan:
    """Plan a job from its file and the metadata of its data.

    With `count_missing` some blocks are read, of rows in place, to count what these lack.
    """
    path = job.model.path
    if path is not None and classifier_at(path) is not None:
        classifier = load_classifier(path)
        first = classifier.mixtures[0]
        groups = None if job.data.groups else 0
        classes = PlannedClasses(classifier.n_classes, n_groups=groups)
        return plan_for(job, open_data(job, first), first, classes)
    model = None if path is None else applied_model(job)
    dataset = open_data(job, model)
    if model is not None:
        rows_for_model(job, dataset, model)
    found = missing_values(job, dataset, look=count_missing)
    unread = PlannedClasses.unread(job) if job.task == "classify" else None
    return replace(plan_for(job, dataset, model, unread), missing=found)


def plan_for(
    job: Job,
    dataset: StoredDataset,
    model: MixtureModel | None = None,
    classes: PlannedClasses | None = None,
) -> Plan:
    """Plan a job whose data are open; `auto` takes the workers or threads that memory allows.

    Mixtures of `classes` are fitted, or applied, in the same passes: one for each class, and fold.
    """
    job, why = _where_it_runs(job, dataset, model, classes)
    n_workers, threads = _places(job)
    plan = _in_groups(job, dataset, model, (n_workers, threads), classes)
    while job.cluster.n_workers == "auto" and plan.n_places > 1 and not plan.fits:
        n_workers, threads = (n_workers - 1, threads) if n_workers else (0, threads - 1)
        plan = _in_groups(job, dataset, model, (n_workers, threads), classes)
    return replace(plan, kind=None if _is_elsewhere(job) else job.cluster.kind, why=why)


def _where_it_runs(
    job: Job,
    dataset: StoredDataset,
    model: MixtureModel | None,
    classes: PlannedClasses | None,
) -> tuple[Job, str]:
    """The job with a kind of cluster that is not `auto`, and why it is this one."""
    if not is_automatic(job):
        return job, ""
    work, _ = _all_work(of_kind(job, "threads"), dataset, model, 1, 1)
    n_mixtures = 1 if classes is None else classes.n_mixtures
    kind, why = chosen_kind(job, dataset, work, n_mixtures)
    return of_kind(job, kind), why


def _in_groups(
    job: Job,
    dataset: StoredDataset,
    model: MixtureModel | None,
    places: tuple[int, int],
    classes: PlannedClasses | None,
) -> Plan:
    """With as few groups of models as memory allows; no result depends on their number."""
    n_groups, most = 1, max(len(job.models), 1)
    plan = _plan(job, dataset, model, *places, n_groups, classes)
    while not plan.fits and n_groups < most:
        n_groups = min(2 * n_groups, most)
        plan = _plan(job, dataset, model, *places, n_groups, classes)
    return plan


def _plan(
    job: Job,
    dataset: StoredDataset,
    model: MixtureModel | None,
    n_workers: int,
    threads: int,
    n_groups: int,
    classes: PlannedClasses | None,
) -> Plan:
    n_threads = max(n_workers, 1) * threads
    work, n_groups = _all_work(job, dataset, model, n_threads, n_groups)
    if classes is not None:
        n_candidates = work.n_candidates * classes.n_mixtures
        chunk = classes.output_chunk_bytes(job, dataset.grid)
        work = replace(work, n_candidates=n_candidates, output_chunk_bytes=chunk)
    driver = driver_terms(
        work,
        hierarchical=job.initialisation.method == "hierarchical",
        report=job.output.report is not False,
    )
    preparation = Preparation.of(dataset) if isinstance(dataset, SourceDataset) else None
    task = tuple(task_terms(work))
    if preparation is not None and isinstance(dataset, SourceDataset) and _is_open(dataset):
        # Blocks and chunks of fewer features have more rows, which may take more.
        fewest = _with_fewest_features(dataset)
        others, _ = _all_work(job, fewest, model, n_threads, n_groups)
        task = _larger(task, task_terms(others))
        larger = _larger(preparation.task, Preparation.of(fewest).task)
        preparation = replace(preparation, task=larger)
    if preparation is not None:
        driver.append(preparation.driver)
    if classes is not None:
        task = (*task, *classes.task_terms(work))
        driver += classes.driver_terms()
    return Plan(
        shape=(dataset.n_samples, dataset.n_features),
        dtype=str(dataset.dtype),
        n_blocks=dataset.grid.n_blocks,
        n_workers=n_workers,
        threads_per_worker=threads,
        task=task,
        driver=tuple(driver),
        memory_limit=_memory_limit(job, n_workers),
        cache_limit=_cache_limit(job, n_workers),
        output_bytes=output_row_bytes(job, dataset, work, model, classes) * dataset.n_samples,
        n_passes=1 if model is not None else reads(job, n_groups),
        is_elsewhere=_is_elsewhere(job),
        preparation=preparation,
        has_fewer_features=_is_open(dataset),
        models=models_text(job, n_groups),
        n_groups=n_groups,
        inference=_inference(job, model),
        monitor=monitor_text(job),
        comparison=comparison_text(job),
        classes="" if classes is None else classes.text,
    )


def _is_open(dataset: StoredDataset) -> bool:
    source = dataset.source if isinstance(dataset, SourceDataset) else None
    return isinstance(source, TransformedRows) and source.is_open


def _with_fewest_features(dataset: SourceDataset) -> SourceDataset:
    source = dataset.source
    if not isinstance(source, TransformedRows):
        return dataset
    return SourceDataset.of(source.with_fewest_features())


def _larger(terms: Sequence[Term], others: Sequence[Term]) -> tuple[Term, ...]:
    """The larger of each two."""
    pairs = zip(terms, others, strict=True)
    return tuple(max(pair, key=lambda term: term.n_bytes) for pair in pairs)


def _places(job: Job) -> tuple[int, int]:
    """Workers (0: this process) and threads in each."""
    c = job.cluster
    count = available_cpus() if c.n_workers == "auto" else int(c.n_workers)
    if not _is_elsewhere(job) and CLUSTERS.named(c.kind).is_this_process:
        return 0, count
    return count, c.threads_per_worker


def _is_elsewhere(job: Job) -> bool:
    return job.cluster.address is not None or job.cluster.scheduler_file is not None


def _memory_limit(job: Job, n_workers: int) -> int | None:
    """Bytes of one worker; None where somebody else's cluster decides."""
    c = job.cluster
    if _is_elsewhere(job):
        return None
    if c.memory_limit == "auto":
        return available_memory() // max(n_workers, 1)
    return int(c.memory_limit)


def _cache_limit(job: Job, n_workers: int) -> int | None:
    """The memory limit, cut by what is free where it is the machine's own."""
    limit = _memory_limit(job, n_workers)
    if limit is None:
        return None
    if job.cluster.memory_limit != "auto":
        return min(limit, available_memory() // max(n_workers, 1))
    return min(limit, free_memory() // max(n_workers, 1))


def _all_work(
    job: Job, dataset: StoredDataset, model: MixtureModel | None, n_threads: int, n_groups: int
) -> tuple[Work, int]:
    """Sizes of the fitted model, or of all that are to be fitted, and their number of groups."""
    if model is None:
        return _models_work(job, dataset, n_threads, n_groups)
    sizes = _sizes(job, model.n_components, model.covariance_type)
    work = _work(job, dataset, sizes, n_threads, model)
    return replace(work, sample_rows=0, n_candidates=1, n_sample_starts=0), 1


def _models_work(
    job: Job, dataset: StoredDataset, n_threads: int, n_groups: int
) -> tuple[Work, int]:
    """Sizes of all models, the largest group's first, and the number of groups."""
    settings = {(k, name): _sizes(job, k, name) for k, name in job.models or ((1, "full"),)}
    largest = max(settings.values(), key=lambda one: one.n_components)
    rows = sample_rows(largest, dataset.n_features)
    works = {
        key: replace(_work(job, dataset, one, n_threads), sample_rows=min(rows, dataset.n_samples))
        for key, one in settings.items()
    }
    groups = [
        sorted((works[k, name or ""] for k, name in keys if k), key=lambda w: -w.shared_bytes)
        for keys in grouped(list(settings.values()), dataset.n_features, n_groups)
    ]
    groups.sort(key=lambda group: -sum(work.shared_bytes for work in group))
    (first, *others), *waiting = groups
    rest = tuple(work for group in waiting for work in group)
    return replace(first, others=tuple(others), waiting=rest), len(groups)


def _inference(job: Job, model: MixtureModel | None) -> str:
    """What is maximised, where it is not the likelihood."""
    if model is not None or job.model.inference == "maximum_likelihood":
        return ""
    return WORDS[job.model.inference]


def _work(
    job: Job,
    dataset: StoredDataset,
    settings: FitSettings,
    n_threads: int,
    model: MixtureModel | None = None,
) -> Work:
    has_noise = job.model.noise if model is None else model.noise is not None
    m, k = job.model, settings.n_components + has_noise
    rows = sample_rows(settings, dataset.n_features)
    grid, family = dataset.grid, family_named(settings.covariance_type)
    m_sampled = max(min(rows, grid.n_samples), 1)
    effort = Effort.of(settings, family, grid.n_samples, m_sampled, grid.n_features)
    return Work(
        grid=grid,
        itemsize=dataset.dtype.itemsize,
        band_bytes=dataset.read_bytes,
        family=family,
        n_components=k,
        n_candidates=m.n_init * effort.n_begun * job.fits_of_a_model,
        n_tasks=tasks_of_a_pass(n_threads, grid),
        sample_rows=min(rows, dataset.n_samples),
        output_chunk_bytes=output_chunk_bytes(job, grid, k, model),
        start_candidates=_most(EXPECTED_CANDIDATES * k) if reads_of_start(job) else 0,
        marginalises=job.data.missing == "marginalise",
        n_most_anomalous=job.anomalies.top or 0,
        n_sample_starts=m.n_init * effort.n_starts,
        n_folds=job.fits_of_a_model - 1,
        n_threads_here=n_threads
        if not _is_elsewhere(job) and CLUSTERS.named(job.cluster.kind).is_this_process
        else available_cpus(),
    )


def _sizes(job: Job, k: int, covariance_type: str) -> FitSettings:
    """What sizes follow from, of all that is asked for."""
    m, start = job.model, job.initialisation
    return FitSettings(
        k,
        covariance_type,
        max_iter=m.max_iter,
        n_init=m.n_init,
        noise=m.noise,
        method=FIRST_METHOD if start.model == LAST else start.method,  # there may be no last run
        sample_rows=None if start.sample_rows == "auto" else int(start.sample_rows),
        n_sample_starts=None if start.n_sample_starts == "auto" else int(start.n_sample_starts),
    )


def _most(expected: int) -> int:
    """What a sum of independent draws with that mean stays below, by five standard deviations."""
    return expected + 5 * math.isqrt(expected) + 6
