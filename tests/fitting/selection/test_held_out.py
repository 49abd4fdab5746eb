"""Held-out log-likelihood: sums, paired differences, what a fold's fit sees, and the choice."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.errors import ComponentError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.selection import fold_scores
from dgmm.fitting.selection.choice import HeldOutRule, Scored, choose
from dgmm.fitting.selection.fold_preparation import CountingTask
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.held_out import FoldModel, HeldOut, HeldOutTask, held_out
from dgmm.fitting.selection.held_out_sums import HeldOutRows, HeldOutSums
from dgmm.fitting.selection.sweep import sweep
from dgmm.fitting.selection.sweep_result import Sweep
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.criteria import Criteria
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.blocks import BlockRange

Array = NDArray[np.float64]
QUIET = SilentListener()
A, B, C = (2, "full"), (4, "full"), (8, "full")


def log_densities(n: int, seed: int = 0) -> Array:
    """Of three models, which differ by far less than rows do."""
    rng = np.random.default_rng(seed)
    return rng.normal(-1e4, 50.0, n) + rng.normal([[0.0], [0.01], [0.3]], 0.2, (3, n))


def sums_of(
    L: Array, folds: Folds, cuts: list[int], weights: Array | None = None, *, counts: bool = False
) -> HeldOutSums:
    """Merged from the pieces between some cuts."""
    numbers, edges = np.arange(L.shape[1]), [0, *cuts, L.shape[1]]
    pieces = []
    for start, stop in pairwise(edges):
        own = slice(start, stop)
        rows = HeldOutRows(
            *(L[:, own], folds.of_rows(numbers[own]), numbers[own] // folds.fold_rows),
            None if weights is None else weights[own],
            are_whole=folds.fold_rows == 1,
            are_counts=counts,
        )
        pieces.append(HeldOutSums.of_rows(rows, folds.n_folds))
    total = pieces[0]
    for piece in pieces[1:]:
        total = total.merge(piece)
    return total.finished()


@pytest.mark.parametrize("fold_rows", [1, 7, 400])
@pytest.mark.parametrize("weighting", ["none", "importance", "counts"])
def test_means_and_paired_errors_are_those_of_their_definition(
    fold_rows: int, weighting: str
) -> None:
    """Also where groups of rows are cut, by a block's end or by several."""
    n, rng = 3000, np.random.default_rng(1)
    L, folds = log_densities(n), Folds(3, fold_rows)
    w = np.ones(n)
    if weighting != "none":
        w = rng.integers(0, 4, n).astype(float) if weighting == "counts" else rng.exponential(1, n)
    cuts = [1, 2, 100, 101, 350, 1200, 2999]
    weights = None if weighting == "none" else w
    is_counts = weighting == "counts"
    found = HeldOut((A, B, C), sums_of(L, folds, cuts, weights, counts=is_counts))
    fold = folds.of_rows(np.arange(n))
    for i, key in enumerate((A, B, C)):
        assert found.mean(key) == pytest.approx(np.average(L[i], weights=w), rel=1e-12)
        own = [np.average(L[i][fold == f], weights=w[fold == f]) for f in range(3)]
        assert found.by_fold(key) == pytest.approx(own, rel=1e-12)
    d = L[2] - L[0]
    mean = np.average(d, weights=w)
    group = np.arange(n) // fold_rows
    m = int(group[-1]) + 1
    if is_counts and fold_rows == 1:  # w observations each
        squares = (w * (d - mean) ** 2).sum()
    else:
        squares = (np.bincount(group, weights=w * (d - mean)) ** 2).sum()
    error = np.sqrt(squares * m / (m - 1)) / w.sum()
    below = found.below(A, C)
    assert below.mean == pytest.approx(mean, abs=1e-9)  # a difference of numbers of 1e4
    assert below.standard_error == pytest.approx(error, rel=1e-6)
    assert found.below(C, C) == (0.0, 0.0)


def test_a_density_of_0_takes_no_digits_from_other_models() -> None:
    L = log_densities(2000)
    whole = HeldOut((A, B, C), sums_of(L, Folds(2), [700]))
    L[1, 3] = -np.inf
    found = HeldOut((A, B, C), sums_of(L, Folds(2), [700]))
    assert found.mean(B) == -np.inf
    assert found.below(A, C) == pytest.approx(whole.below(A, C), rel=1e-6, abs=1e-9)


def mixture(seed: int, n_features: int = 3) -> Parameters:
    rng = np.random.default_rng(seed)
    means = rng.normal(0.0, 2.0, (2, n_features))
    return Parameters.of(FAMILIES["spherical"], np.array([0.3, 0.7]), means, rng.uniform(1, 2, 2))


def fold_model(seed: int, units: Standardisation | None = None) -> FoldModel:
    own = Standardisation.identity(3)
    model = MixtureModel(mixture(seed), own, ("a", "b", "c"))
    if units is not None:
        model = MixtureModel(model.standardised_parameters(units), units, ("a", "b", "c"))
    return FoldModel(model, "numpy")


def scored(X: Array, models: Any, folds: Folds, **own: Any) -> HeldOut:
    keys = {"missing": MissingPolicy.ERROR, "n_dropped": 0, "counts_are_rows": False}
    with ThreadExecutor(2) as executor:
        return held_out(
            *(ArrayDataset(X), executor, models, folds), **(keys | own), of_pass=lambda _: None
        )


def test_each_row_is_scored_by_the_model_of_its_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    monkeypatch.setattr("dgmm.fitting.selection.held_out._MOST_NUMBERS", 1)  # in several parts
    X = gaussian_clusters(9000)[0]
    folds = Folds(3, fold_rows=5, seed=4)
    models = {A: [fold_model(i) for i in range(3)], B: [fold_model(i + 9) for i in range(3)]}
    found = scored(X, models, folds)
    fold = folds.of_rows(np.arange(len(X)))
    for key, own in models.items():
        expected = [one.model.score_samples(X[fold == f]).mean() for f, one in enumerate(own)]
        assert found.by_fold(key) == pytest.approx(expected, rel=1e-12)
    assert found.sums.n_rows.tolist() == np.bincount(fold).tolist()


def sent(task: Any) -> Any:
    return pickle.loads(pickle.dumps(task))  # noqa: S301 - made here


def test_tasks_go_to_other_processes_as_they_are() -> None:
    X = gaussian_clusters(500)[0]
    models = ((fold_model(0),), (fold_model(1),))
    parts = ArrayDataset(X), models, Folds(2, 3), MissingPolicy.ERROR
    task = HeldOutTask(*parts, counts_are_rows=False)
    ((_, here),) = task(BlockRange(0, 1))
    ((_, there),) = sent(task)(BlockRange(0, 1))
    assert here.log_likelihood.tobytes() == there.log_likelihood.tobytes()
    counting = sent(CountingTask(ArrayDataset(X), Folds(2, 3), parts[3]))
    ((_, counts),) = counting(BlockRange(0, 1))
    assert counts.n_rows.tolist() == here.n_rows.tolist()


def test_densities_are_in_the_datas_units_whatever_a_model_was_fitted_in() -> None:
    """Of rows that lack values too: those of one family have other units than the others."""
    X = gaussian_clusters(600)[0]
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    common = replace(Standardisation.identity(3), scale=np.full(3, 8.0))
    models = {A: [fold_model(1)] * 2, B: [fold_model(1, common)] * 2}
    n_empty = int(np.isnan(X).all(axis=1).sum())
    missing = {"missing": MissingPolicy.MARGINALISE, "n_dropped": n_empty}
    found = scored(X, models, Folds(2), **missing)
    assert found.mean(A) == pytest.approx(found.mean(B), rel=1e-12)
    assert found.sums.n_rows.sum() == 600 - n_empty


MODELS = [FitSettings(k, "full", n_sample_starts=1, max_iter=15) for k in (2, 3, 4)]


def swept(X: Array, folds: Folds, threads: int = 2, **own: Any) -> Sweep:
    dataset = own.pop("dataset", ArrayDataset(X))
    models = [replace(one, **own) for one in MODELS]
    with ThreadExecutor(threads) as executor:
        return sweep(dataset, executor, models, QUIET, tolerance=0.01, folds=folds)


def models_of_folds(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps what was scored: by model, those of each fold."""
    kept = list[Any]()

    def kept_held_out(dataset: Any, executor: Any, models: Any, *of: Any, **keys: Any) -> HeldOut:
        kept.append(models)
        return held_out(dataset, executor, models, *of, **keys)

    monkeypatch.setattr(fold_scores, "held_out", kept_held_out)
    return kept


def bits(model: MixtureModel) -> tuple[bytes, ...]:
    p = model.parameters
    return p.weights.tobytes(), p.means.tobytes(), p.covariances.tobytes()


def test_rows_of_a_fold_have_no_part_in_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in its starts nor in EM: in another order among themselves they change no bit."""
    kept, folds = models_of_folds(monkeypatch), Folds(3)
    X = gaussian_clusters(1500, spread=2.0)[0]
    own = np.flatnonzero(folds.of_rows(np.arange(len(X))) == 1)
    other = X.copy()
    other[own] = X[own][::-1]
    swept(X, folds)
    swept(other, folds)
    for key, models in kept[0].items():
        same = [bits(a.model) == bits(b.model) for a, b in zip(models, kept[1][key], strict=True)]
        assert same == [False, True, False]


def test_threads_change_no_bit_and_models_of_all_rows_are_those_of_a_sweep_without_folds() -> None:
    X = gaussian_clusters(1500, spread=2.0)[0]
    one, several, plain = swept(X, Folds(3), 1), swept(X, Folds(3), 3), swept(X, None)  # type: ignore[arg-type]
    assert one.held_out is not None
    assert several.held_out is not None
    assert one.held_out.sums.log_likelihood.tobytes() == (
        several.held_out.sums.log_likelihood.tobytes()
    )
    assert one.held_out.sums.squares.tobytes() == several.held_out.sums.squares.tobytes()
    assert [bits(m.model) for m in one.models] == [bits(m.model) for m in plain.models]
    assert one.n_passes_alone > 3 * plain.n_passes_alone
    assert one.n_passes < one.n_passes_alone / 3


@pytest.mark.parametrize("own", [{"missing": "drop"}, {"missing": "marginalise"}, {}])
def test_missing_values_weights_and_priors_go_with_folds(own: dict[str, Any]) -> None:
    X = gaussian_clusters(900, spread=6.0)[0]
    if own:
        X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    w = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    dataset = WeightedDataset(ArrayDataset(X), ArrayDataset(w[:, None]), "counts")
    found = swept(X, Folds(3), dataset=dataset, inference="map", **own)
    assert found.choice.chosen.n_components == 3
    assert found.held_out is not None
    sums = found.held_out.sums
    counts = w > 0 if own.get("missing") != "drop" else (w > 0) & np.isfinite(X).all(axis=1)
    assert sums.n_rows.sum() == counts.sum()
    assert sums.weight.sum() == w[counts].sum()
    assert np.isfinite(sums.log_likelihood).all()


def held(levels: dict[Any, float], noise: float, n: int = 1000) -> HeldOut:
    """With such means, and differences whose standard error is about noise/√n."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0.0, 3.0, n)
    L = np.array([shared + level + rng.normal(0, noise, n) for level in levels.values()])
    L += np.array([*levels.values()])[:, None] - (L - shared).mean(axis=1, keepdims=True)
    return HeldOut(tuple(levels), sums_of(L, Folds(5), [300]))


def model(key: tuple[int, str]) -> Scored:
    return Scored(*key, 10 * key[0], Criteria(0.0, -100.0 * key[0], 0.0))


@pytest.mark.parametrize(
    ("tolerance", "noise", "k"),
    [(0.0, 0.01, 8), (0.01, 0.01, 4), (0.0, 0.2, 4), (0.0, 4.0, 2), (0.01, 0.0, 4)],
)
def test_the_smallest_within_tolerance_or_one_standard_error_is_chosen(
    tolerance: float, noise: float, k: int
) -> None:
    levels = {A: -5.1, B: -5.005, C: -5.0}
    rule = HeldOutRule(held(levels, noise), tolerance)
    found = choose([model(key) for key in levels], rule, 1000.0)
    assert (found.chosen.n_components, found.best.n_components) == (k, 8)
    assert found.best_bic.n_components == 8
    if k == 4:
        assert "the highest is that of 8 full components" in found.describe()
    if tolerance:
        assert "0.005 nats per row below the highest, with a standard error" in found.hidden


def test_the_best_model_that_is_chosen_is_not_compared_with_itself() -> None:
    rule = HeldOutRule(held({A: -5.0, B: -5.1}, 0.01), 0.01)
    found = choose([model(key) for key in (A, B)], rule, 1000.0)
    assert found.chosen == found.best
    assert found.hidden.startswith("The chosen model's held-out log-likelihood is the highest. ")


def test_a_model_without_held_out_rows_is_not_chosen_and_none_at_all_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = HeldOutRule(held({A: -5.1, B: -5.0}, 0.1), 0.01)
    assert choose([model(key) for key in (A, B, C)], rule, 1000.0).chosen.n_components == 4
    monkeypatch.setattr(fold_scores, "_fold_model", lambda *_: "no row")
    with pytest.raises(ComponentError, match="without each fold: lower selection"):
        swept(gaussian_clusters(600)[0], Folds(2))
