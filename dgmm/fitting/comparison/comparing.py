"""Methods fitted to the sample, and the read that scores all rows by each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows
from dgmm.data.row_accounting import require_all_rows
from dgmm.data.row_block import RowBlock
from dgmm.data.summary.summarise import Summary
from dgmm.errors import DgmmError
from dgmm.events import SilentListener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.comparison.centres import Centres, k_means
from dgmm.fitting.comparison.label_agreement import contingency, moved_share
from dgmm.fitting.comparison.method_names import K_MEANS, WITH_NOISE, method_names
from dgmm.fitting.comparison.sums import ComparisonSums
from dgmm.fitting.fit import fit
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.task_size import most_blocks
from dgmm.reduction.tree import PassProgress
from dgmm.scoring.row_scores import score_block

Array = NDArray[np.float64]

#: Rows that methods are fitted to, and those of the sample that halves are compared on, at most.
MOST_ROWS = 20_000
#: Parts of the rows, of which one is held out, and the halves of the others.
N_FOLDS, N_HALVES = 5, 2


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One way to cluster, fitted to the sample.

    Attributes
    ----------
    name
        `k-means`, or the covariance family.
    fitted
        What labels rows.
    passes, seconds_per_row
        Passes over the sample until it converged, and the time of the fastest by row.
    agreement
        Share of unseen rows of the sample that fits to two halves of it label alike.
    backend
        What scores rows by it; k-means has none.
    """

    name: str
    fitted: MixtureModel | Centres
    passes: int
    seconds_per_row: float
    agreement: float | None
    backend: str = "numpy"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Methods, why others could not be fitted, and what all rows say of them."""

    methods: tuple[Method, ...]
    failed: dict[str, str]
    sums: ComparisonSums
    n_fitted: int


@dataclass(slots=True)
class _Timing(SilentListener):
    """Hears the passes of a fit: seconds by row of the fastest."""

    fastest: float = field(default=np.inf)

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Take note of a pass."""
        rows = record.get("rows")
        if isinstance(rows, int) and rows > 0:
            self.fastest = min(self.fastest, float(record["seconds"]) / rows)


def compare(
    dataset: Dataset,
    executor: Executor,
    summary: Summary,
    settings: FitSettings,
    *,
    fold_rows: int = 1,
    backend_of: Callable[[Method], str] = lambda _: "numpy",
    of_pass: Callable[[str], PassProgress[ComparisonSums] | None] = lambda _: None,
) -> Comparison:
    """Fit k-means and every family to the sample, and score all rows by each in one read.

    One row in five, by a hash of its number, is held out: no method is fitted to it, and the
    held-out log-likelihood is that of all such rows.

    Parameters
    ----------
    dataset, executor
        The complete rows, without weights, and where the read runs.
    summary
        Of the rows, with the sample.
    settings
        Of the fit that was made: size, regularisation, tolerance, seed.
    fold_rows
        Consecutive rows that are held out together.
    backend_of
        Gives the name of what scores rows by a mixture, the same on all workers.
    of_pass
        Gives who saves the finished parts of the read, by its name.
    """
    folds = Folds(N_FOLDS, fold_rows, settings.seed)
    numbers = summary.sample_numbers
    is_seen = (folds.of_rows(numbers) != 0) & np.isfinite(summary.sample).all(axis=1)
    seen = _few(np.flatnonzero(is_seen))
    unseen = _few(np.flatnonzero(~is_seen & np.isfinite(summary.sample).all(axis=1)))
    halves = Folds(N_HALVES, fold_rows, settings.seed).of_rows(numbers[seen])
    sample = _Sample(
        np.asarray(summary.sample[seen], np.float64),
        halves,
        np.asarray(summary.sample[unseen], np.float64),
    )
    found, failed = _fitted(sample, settings, executor)
    methods = [
        replace(one, backend=backend_of(one)) if isinstance(one.fitted, MixtureModel) else one
        for one in found
    ]
    missing = MissingPolicy.after_summary(summary.n_dropped, 0)
    k = settings.n_components + settings.noise  # labels: noise has the last
    task = ComparingTask(dataset, tuple(methods), folds, missing, k)
    grid = dataset.grid
    width = sum(m.parameters.family.width(grid.n_features) for m in task.mixtures)
    total = map_reduce(
        executor,
        task,
        grid.n_blocks,
        most_blocks=most_blocks(4.0 * k * width, 80 * k * k, grid, executor.n_threads),
        progress=of_pass("comparison"),
    )
    require_all_rows(total, dataset, summary.n_dropped)
    return Comparison(tuple(methods), failed, total, len(seen))


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Rows to fit (m, d), the half that each is in (m,), and rows that none is fitted to."""

    rows: Array
    halves: NDArray[np.int64]
    unseen: Array


def _few(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most so many of some places, evenly spread."""
    if len(places) <= MOST_ROWS:
        return places
    return places[np.linspace(0, len(places) - 1, MOST_ROWS).astype(np.intp)]


def _fitted(
    sample: _Sample, settings: FitSettings, executor: Executor
) -> tuple[list[Method], dict[str, str]]:
    """Every method that can be fitted, and why the others cannot; mixtures first."""
    names = method_names(settings.covariance_type, noise=settings.noise)
    methods, failed = list[Method](), dict[str, str]()
    with in_this_process(executor) as here:
        for name in names:
            try:
                methods.append(_method(name, sample, settings, here))
            except DgmmError as error:
                failed[name] = str(error)
    return methods, failed


def _method(name: str, sample: _Sample, settings: FitSettings, here: Executor) -> Method:
    whole = _one(name, sample.rows, settings, here)
    parts = [sample.rows[sample.halves == half] for half in range(N_HALVES)]
    try:
        first, second = (_one(name, part, settings, here).fitted for part in parts)
    except DgmmError:  # a half has too few rows
        return whole
    if not len(sample.unseen):
        return whole
    own, other = (_labels(fitted, sample.unseen) for fitted in (first, second))
    n_labels = settings.n_components + settings.noise
    table = contingency(own, other, (n_labels, n_labels))
    return replace(whole, agreement=1.0 - moved_share(table))


def _one(name: str, rows: Array, settings: FitSettings, here: Executor) -> Method:
    """A method fitted to some rows."""
    if name == K_MEANS:
        return _k_means(rows, settings, here)
    family = name.removesuffix(WITH_NOISE)
    own, timing = replace(_own(settings, family), noise=family != name), _Timing()
    found = fit(ArrayDataset(rows), here, own, timing)
    return Method(name, found.model, found.chosen.n_iter, timing.fastest, None)


def _k_means(rows: Array, settings: FitSettings, here: Executor) -> Method:
    """k-means in the units of the spherical family, which are the user's but for one scale."""
    start = replace(_own(settings, "spherical"), n_components=1, max_iter=0, shrinkage="none")
    units = fit(ArrayDataset(rows), here, start, SilentListener()).model.standardisation
    found = k_means(rows, settings.n_components, units, settings.seed)
    return Method(K_MEANS, found, found.passes, found.seconds_per_row, None)


def _own(settings: FitSettings, family: str) -> FitSettings:
    """Of the fit that was made what holds for every family, by maximum likelihood."""
    return FitSettings(
        n_components=settings.n_components,
        covariance_type=family,
        tol=settings.tol,
        max_iter=settings.max_iter,
        reg_covar=settings.reg_covar,
        reg_covar_relative=settings.reg_covar_relative,
        shrinkage=settings.shrinkage,
        backend=settings.backend,
        seed=settings.seed,
    )


def _labels(fitted: MixtureModel | Centres, rows: Array) -> NDArray[Any]:
    return fitted.labels(rows) if isinstance(fitted, Centres) else fitted.predict(rows)


@dataclass(frozen=True, slots=True, eq=False)
class ComparingTask:
    """Scores and labels rows by every method; picklable."""

    dataset: Dataset
    methods: tuple[Method, ...]
    folds: Folds
    missing: MissingPolicy
    n_labels: int

    @property
    def mixtures(self) -> tuple[MixtureModel, ...]:
        """Those of the methods that have a density, in their order."""
        fitted = (method.fitted for method in self.methods)
        return tuple(one for one in fitted if isinstance(one, MixtureModel))

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, ComparisonSums]]:
        """Yield (block, its sums)."""
        workspaces = {m.backend: Workspace(get(m.backend)) for m in self.methods}
        scorers = [
            (m.fitted, Scorer(m.fitted.parameters), workspaces[m.backend])
            for m in self.methods
            if isinstance(m.fitted, MixtureModel)
        ]
        for block in self.dataset.read_blocks(blocks):
            yield block.index, self._of_block(block, scorers)

    def _of_block(
        self, block: RowBlock, scorers: list[tuple[MixtureModel, Scorer, Workspace]]
    ) -> ComparisonSums:
        rows = self.missing.select(block, self.dataset)
        is_held_out = self.folds.of_block(block) == 0
        whole = SelectedRows(rows.values, None, None, None, len(rows.values))
        scored = [score_block(whole, s, space, model, None).block for model, s, space in scorers]
        labels = [one.labels.astype(np.int64) for one in scored]
        labels += [
            method.fitted.labels(rows.values).astype(np.int64)
            for method in self.methods
            if isinstance(method.fitted, Centres)
        ]
        return ComparisonSums.of_rows(
            np.array([one.log_density for one in scored]).reshape(len(scored), -1),
            np.array(labels),
            is_held_out if rows.mask is None else is_held_out[rows.mask],
            self.n_labels,
            rows.n_dropped,
        )
