"""Starts are drawn in several metrics and compared by short EM runs on the sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters
from sklearn.datasets import load_iris

import dgmm
from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import ComponentError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting import initialisation
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.initialisation import METRICS, Initialiser, StartRequest
from dgmm.fitting.preparation import prepare
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.restarts import AUTO_STARTS, FEW_STARTS, Start, Starts
from dgmm.fitting.sample_effort import FEW_ITERATIONS, TRIED_ITERATIONS, Effort, SampleRows
from dgmm.fitting.sample_em import SampleEM
from dgmm.fitting.sample_trials import Tried, likeliest_of_each
from dgmm.fitting.screening import SCREENED_ITERATIONS, likelier
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.blocks import BlockRange

N, K, SAMPLED = 40_000, 4, 4000


def rows(n: int = N, spread: float = 2.0) -> np.ndarray:
    return gaussian_clusters(n, 3, K, spread=spread)[0]


def settings(**changes: Any) -> FitSettings:
    return FitSettings(**({"n_components": K, "sample_rows": SAMPLED} | changes))


class Heard(SilentListener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.records: list[Mapping[str, Any]] = []
        self.events: list[Mapping[str, Any]] = []

    def stage(self, name: str, detail: str) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def iteration(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def component(self, record: Mapping[str, Any]) -> None:
        self.events.append(record)


def fitted(X: np.ndarray, listener: Any = None, n_threads: int = 2, **changes: Any) -> Fit:
    with ThreadExecutor(n_threads) as executor:
        return fit(ArrayDataset(X), executor, settings(**changes), listener or SilentListener())


def prepared_fit(X: np.ndarray, **changes: Any) -> tuple[PreparedFit, FitSettings]:
    asked = settings(**changes)
    with ThreadExecutor(1) as executor:
        return prepare(ArrayDataset(X), executor, asked), asked


class OneByOne:
    """Runs tasks in this very thread, last first."""

    n_threads = 3

    def run(
        self, task: Callable[[BlockRange], Any], runs: Sequence[BlockRange], **_: object
    ) -> Iterator[tuple[BlockRange, Any]]:
        for run in reversed(runs):
            yield run, task(run)

    def environment(self) -> dict[str, Any]:
        with ThreadExecutor(1) as executor:
            return executor.environment()


def effort(n_rows: int, n_sampled: int, d: int = 3, **changes: Any) -> Effort:
    asked = settings(**changes)
    return Effort.of(asked, FAMILIES[asked.covariance_type], n_rows, n_sampled, d)


@pytest.mark.parametrize(
    ("changes", "sizes", "expected"),
    [
        ({}, (1_000_000, 100_000), Effort(AUTO_STARTS, TRIED_ITERATIONS, 2)),
        ({}, (5000, 5000), Effort(AUTO_STARTS, TRIED_ITERATIONS, 1)),  # all rows are the sample
        ({}, (30, 30), Effort(FEW_STARTS, FEW_ITERATIONS, 1)),  # fewer rows than parameters
        ({"max_iter": 0}, (5000, 5000), Effort(AUTO_STARTS, 0, 1)),
        ({"max_iter": 7}, (5000, 5000), Effort(AUTO_STARTS, TRIED_ITERATIONS, 1)),
        ({"n_sample_starts": 0}, (5000, 5000), Effort(0, 0, len(METRICS))),
        ({"n_sample_starts": 4}, (1_000_000, 100_000), Effort(4, TRIED_ITERATIONS, 2)),
        ({"method": "given", "n_sample_starts": 3}, (1_000_000, 100_000), Effort(0, 0, 1)),
        ({"method": "kmeans_parallel"}, (1_000_000, 100_000), Effort(0, 0, len(METRICS))),
    ],
)
def test_what_is_tried_follows_the_sizes_and_the_job_alone(changes, sizes, expected) -> None:
    assert effort(*sizes, **changes) == expected


@pytest.mark.parametrize(("sample_rows", "n_components"), [(1, 1), (2, 2), (5, 4), (9, 9)])
def test_a_sample_too_small_to_be_halved_is_taken_whole(sample_rows, n_components) -> None:
    result = fitted(rows(300), sample_rows=sample_rows, n_components=n_components)
    assert {(t.n_rows, t.held_out) for t in result.trials} == {(sample_rows, False)}
    assert result.model.n_components == n_components


def test_a_large_mixture_has_fewer_starts_and_the_largest_none_that_em_moves() -> None:
    large, larger = (replace(settings(), n_components=k) for k in (64, 1024))
    full = FAMILIES["full"]
    some = Effort.of(large, full, 10**8, 100_000, 40)
    none = Effort.of(larger, full, 10**9, 102_400, 128)
    assert len(METRICS) <= some.n_starts < AUTO_STARTS
    assert none == Effort(len(METRICS), 0, 1)


@pytest.mark.parametrize("changes", [{}, {"n_sample_starts": 0}, {"n_sample_starts": 1}])
def test_as_many_starts_go_to_all_rows_as_are_planned(changes: dict[str, Any]) -> None:
    heard = Heard()
    fitted(rows(), heard, max_iter=20, **changes)
    begun = {record["start"] for record in heard.records}
    assert len(begun) == effort(N, SAMPLED, **changes).n_begun


def test_a_likelier_start_goes_on_alone_after_a_few_passes() -> None:
    heard = Heard()
    result = fitted(rows(spread=8.0), heard, n_sample_starts=0, max_iter=30, tol=0.0)
    last = {r["start"]: r["iteration"] for r in heard.records}
    assert len(last) == len(METRICS)
    assert sorted(last.values())[:2] == [SCREENED_ITERATIONS] * 2
    at_screening = [r for r in heard.records if r["iteration"] == SCREENED_ITERATIONS]
    best = max(at_screening, key=lambda r: r["mean_log_likelihood"])
    assert result.chosen.start == best["start"]


def test_nothing_is_left_behind_before_all_starts_had_their_passes() -> None:
    result = fitted(rows(), n_sample_starts=1, max_iter=SCREENED_ITERATIONS + 1, tol=0.0)
    (one,) = result.candidates
    early = replace(one, outcome=None, n_iter=SCREENED_ITERATIONS - 1, id=CandidateId(start="a"))
    late = replace(one, outcome=None, n_iter=SCREENED_ITERATIONS, id=CandidateId(start="b"))
    lower = replace(late, history=(one.history[-1] - 1.0,), id=CandidateId(start="c"))
    elsewhere = replace(early, id=CandidateId(1, "a"))
    assert likelier((early, late)) == (early, late)
    assert likelier((late, lower, elsewhere)) == (late, elsewhere)
    assert likelier((lower, late)) == (late,)
    assert likelier((elsewhere,)) == (elsewhere,)


def test_every_start_stands_in_the_fit_with_its_metric_and_its_likelihood() -> None:
    result = fitted(rows(), n_init=2)
    assert [(t.restart, t.number) for t in result.trials] == [
        (restart, number) for restart in range(2) for number in range(AUTO_STARTS)
    ]
    assert [t.metric for t in result.trials[:3]] == ["units", "sd", "iqr"]
    for restart in range(2):
        own = [t for t in result.trials if t.restart == restart]
        (selected,) = [t for t in own if t.selected]
        assert selected.mean_log_likelihood == max(t.mean_log_likelihood for t in own)
    assert all(t.held_out and t.n_rows == SAMPLED // 2 for t in result.trials)
    few = fitted(rows(2000), sample_rows=None)
    assert all(not t.held_out and t.n_rows == 2000 for t in few.trials)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("method", ["kmeans", "hierarchical", "random_from_data"])
def test_clusters_along_one_feature_are_found_in_any_units(method: str, scale: float) -> None:
    """The interquartile range of the feature that parts them is their distance."""
    rng = np.random.default_rng(11)
    X = rng.standard_t(4, size=(3000, 5))
    truth = np.arange(3000) % 2
    X[:, 2] = (rng.normal(size=3000) + 12.0 * truth) * scale
    result = fitted(X, method=method, n_components=2, sample_rows=None)
    labels = result.model.predict(X)
    assert max(np.mean(labels == truth), np.mean(labels != truth)) > 0.995


def test_clusters_along_one_feature_are_found_by_a_look_at_all_rows_and_from_a_sample() -> None:
    rng = np.random.default_rng(12)
    X = rng.normal(size=(20_000, 4))
    truth = np.arange(20_000) % 3
    X[:, 1] += 10.0 * truth
    for changes in ({"method": "kmeans_parallel"}, {"sample_rows": 1500}):
        result = fitted(X, **({"n_components": 3} | changes))
        means = np.sort(result.model.means[:, 1])
        np.testing.assert_allclose(means, [0.0, 10.0, 20.0], atol=0.1)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_em_on_the_sample_leads_near_the_optimum_of_all_rows(family: str) -> None:
    result = fitted(rows(), covariance_type=family)
    p = result.model.n_parameters
    # p/(2m) is the mean of half a χ² of p degrees of freedom over m; twice that on each side.
    gap = result.chosen.mean_log_likelihood - result.chosen.history[0]
    assert 0 <= gap < 4 * p / (2 * SAMPLED)


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_the_bits_of_a_fit_do_not_depend_on_threads(n_threads: int) -> None:
    X = rows(20_000).astype(np.float32)
    one, other = (fitted(X, n_threads=n, n_init=2) for n in (2, n_threads))
    for mine, theirs in zip(one.candidates, other.candidates, strict=True):
        assert mine.history == theirs.history
    assert one.trials == other.trials
    np.testing.assert_array_equal(one.model.parameters.means, other.model.parameters.means)


def test_the_bits_of_a_fit_do_not_depend_on_the_executor() -> None:
    X = rows(20_000)
    elsewhere = fit(ArrayDataset(X), OneByOne(), settings(n_sample_starts=2), SilentListener())
    assert elsewhere.chosen.history == fitted(X, n_sample_starts=2).chosen.history


def test_the_estimator_draws_the_starts_that_a_job_draws() -> None:
    X = rows(20_000)
    common = {"tol": 1e-4, "reg_covar": 0.0, "reg_covar_relative": 1e-6, "max_iter": 50}
    mixture = dgmm.GaussianMixture(K, random_state=3, sample_rows=SAMPLED, **common).fit(X)
    as_a_job = fitted(X, seed=3, **common)
    np.testing.assert_array_equal(mixture.means_, as_a_job.model.means)
    assert mixture.lower_bounds_ == list(as_a_job.chosen.history)
    other = dgmm.GaussianMixture(
        K, random_state=3, sample_rows=SAMPLED, n_sample_starts=1, **common
    ).fit(X)
    assert other.lower_bounds_ != mixture.lower_bounds_


def test_a_restart_is_tried_as_if_it_were_alone() -> None:
    X = rows(20_000)
    alone, among = fitted(X, n_sample_starts=2), fitted(X, n_sample_starts=2, n_init=3)
    assert among.candidates[0].history == alone.chosen.history
    assert len({c.history for c in among.candidates}) == 3


def test_iterations_on_the_sample_stand_in_a_note_and_not_among_those_of_the_fit() -> None:
    heard = Heard()
    result = fitted(rows(), heard, n_sample_starts=2, n_init=2)
    assert heard.stages == ["summary", "initialisation", "sample", "em"]
    assert {record["rows"] for record in heard.records} == {N}
    own = [
        r for r in heard.records if (r["restart"], r["start"]) == (0, result.candidates[0].start)
    ]
    assert len(own) == result.candidates[0].n_iter
    assert [note[:10] for note in heard.notes] == ["restart 0:", "restart 1:"]
    plain = Heard()
    fitted(rows(), plain, n_sample_starts=0)
    assert plain.stages == ["summary", "initialisation", "em"]
    assert plain.notes == []


def refine(sample_em: SampleEM, *starts: Parameters) -> Any:
    drawn = tuple(Start(0, i, "units", p) for i, p in enumerate(starts))
    with ThreadExecutor(2) as executor:
        return sample_em.refine(Starts(drawn, {}), executor)


def spread_out(prepared: PreparedFit) -> Parameters:
    """A start at rows far from one another."""
    order = np.argsort(prepared.sample.sum(axis=1))
    means = prepared.sample[order[np.linspace(0, len(order) - 1, K).astype(int)]]
    covariances = np.tile(np.cov(prepared.sample.T), (K, 1, 1))
    return Parameters.of(prepared.family, np.full(K, 1 / K), means, covariances)


def astray(prepared: PreparedFit) -> Parameters:
    """A start that EM does not leave: one component over two clusters, two in another."""
    one = spread_out(prepared)
    means = one.means.copy()
    means[1], means[3] = (one.means[0] + one.means[1]) / 2, one.means[2] + 0.01
    means[0] = means[1]
    return Parameters.of(one.family, one.weights, means, one.covariances / 50)


def test_the_likeliest_start_is_taken_wherever_it_stands() -> None:
    prepared, asked = prepared_fit(rows(spread=20.0), n_sample_starts=2)
    sample_em, good, bad = SampleEM.of(prepared, asked), spread_out(prepared), astray(prepared)
    alone = refine(sample_em, good)
    for starts, place in (((good, bad), 0), ((bad, good), 1)):
        found = refine(sample_em, *starts)
        assert [t.selected for t in found.trials] == [i == place for i in range(2)]
        assert found.trials[1 - place].mean_log_likelihood < (
            found.trials[place].mean_log_likelihood - 0.1
        )
        np.testing.assert_array_equal(
            found.begun[0].parameters.means, alone.begun[0].parameters.means
        )


def test_where_every_start_loses_components_the_first_is_taken_as_it_was_drawn() -> None:
    # Two distinct values hold no four components without regularisation.
    X = np.repeat([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], 8000, axis=0)
    prepared, asked = prepared_fit(X, n_sample_starts=2, reg_covar_relative=0.0)
    bare = replace(prepared.problem.collapse, regularisation=np.zeros(3))
    prepared = replace(prepared, problem=replace(prepared.problem, collapse=bare))
    drawn = spread_out(replace(prepared, sample=rows(SAMPLED)))
    found = refine(SampleEM.of(prepared, asked), drawn, drawn)
    assert [start.parameters for start in found.begun] == [drawn]
    assert [t.mean_log_likelihood for t in found.trials] == [None, None]


def failing(keys: set[tuple[int, int]]) -> Callable[[StartRequest], Parameters]:
    """A method that fails for some (restart, start)."""

    def draw(request: StartRequest) -> Parameters:
        # The restart and the start are the last two numbers of a stream's name.
        name = request.rng.bit_generator.seed_seq.spawn_key  # type: ignore[attr-defined]
        if tuple(name[-2:]) in keys:
            raise ComponentError("told to fail")
        return initialisation.kmeans_plus_plus(request)

    return Initialiser(draw)


def test_a_failing_start_on_the_sample_leaves_the_others(monkeypatch) -> None:
    monkeypatch.setitem(initialisation.INITIALISERS, "k-means++", failing({(0, 0), (0, 2)}))
    result = fitted(rows(), method="k-means++", n_sample_starts=3)
    assert result.failed_starts == {}
    assert [t.number for t in result.trials] == [1]
    assert result.chosen.outcome is not None
    assert result.chosen.outcome.is_usable


def test_a_restart_fails_with_the_last_of_its_starts(monkeypatch) -> None:
    failed = {(0, 0), (0, 1), (1, 0)}
    monkeypatch.setitem(initialisation.INITIALISERS, "k-means++", failing(failed))
    result = fitted(rows(), method="k-means++", n_sample_starts=2, n_init=2)
    assert result.failed_starts == {0: "told to fail"}
    assert [c.restart for c in result.candidates] == [1]
    monkeypatch.setitem(initialisation.INITIALISERS, "k-means++", failing(failed | {(1, 1)}))
    for n_init, message in ((1, "^told to fail"), (2, "^every start failed")):
        with pytest.raises(ComponentError, match=message):
            fitted(rows(), method="k-means++", n_sample_starts=2, n_init=n_init)


def test_a_start_that_the_caller_has_a_part_in_is_compared_as_it_is() -> None:
    adjusted = []

    def adjust(parameters: Parameters, _: object) -> Parameters:
        adjusted.append(parameters)
        return parameters

    with ThreadExecutor(2) as executor:
        asked = settings(n_sample_starts=3, max_iter=0)
        result = fit(ArrayDataset(rows()), executor, asked, SilentListener(), adjust=adjust)
    assert [t.n_iter for t in result.trials] == [0, 0, 0]
    assert any(np.array_equal(p.means, result.model.parameters.means) for p in adjusted)


def test_a_change_that_is_refused_ends_one_start_and_not_the_others() -> None:
    calls = []

    def refuse_the_first(parameters: Parameters, _: object) -> Parameters:
        calls.append(parameters)
        if len(calls) == 1:
            raise ComponentError("told to fail")
        return parameters

    asked = settings(method="kmeans_parallel")
    with ThreadExecutor(2) as executor:
        result = fit(ArrayDataset(rows()), executor, asked, Heard(), adjust=refuse_the_first)
    assert result.failed_starts == {}
    assert len(calls) == len(METRICS)
    assert result.chosen.start != "units 0"


def spiky(weight: float, family: str = "full") -> Parameters:
    """Two components in three dimensions, the first of that weight."""
    shape = {"full": np.stack([np.eye(3)] * 2), "tied": np.eye(3), "diag": np.ones((2, 3))}
    weights = np.array([weight, 1.0 - weight])
    return Parameters.of(FAMILIES[family], weights, np.zeros((2, 3)), shape[family])


@pytest.mark.parametrize(
    ("family", "n_members", "expected"),
    [
        ("full", 3.9, False),
        ("full", 4.0, True),
        ("diag", 1.9, False),
        ("diag", 2.0, True),
        ("tied", 0.9, False),
        ("tied", 1.0, True),
    ],
)
def test_a_component_needs_the_rows_that_its_own_covariance_does(family, n_members, expected):
    assert spiky(n_members / 1000, family).supports_covariances(1000) is expected


def test_a_start_with_a_spike_is_chosen_where_every_start_has_one_alone() -> None:
    def tried(number: int, likelihood: float | None, *, has_spike: bool) -> Tried:
        return Tried(Start(0, number, "sd", spiky(0.5)), 15, likelihood, has_spike)

    likely, sound = tried(0, 9.0, has_spike=True), tried(1, 2.0, has_spike=False)
    lost, other = tried(2, None, has_spike=False), tried(3, 8.0, has_spike=True)

    def chosen(*starts: Tried) -> list[Tried]:
        return likeliest_of_each([*starts], lambda one: one.start.restart)

    assert chosen(likely, sound, lost) == [sound]
    assert chosen(sound, likely) == [sound]
    assert chosen(other, lost, likely) == [likely]
    assert chosen(lost) == []


def test_no_component_of_iris_is_a_spike_on_two_rows() -> None:
    # With this seed the likeliest of the starts is one.
    X = load_iris().data
    with ThreadExecutor(1) as executor:
        result = fit(ArrayDataset(X), executor, FitSettings(3, seed=6), SilentListener())
    assert result.model.weights.min() * len(X) > 40


@pytest.mark.parametrize("n", [50, 2000, 200_000])
def test_em_on_a_sample_ends_at_a_two_hundredth_of_what_its_rows_leave_open(n: int) -> None:
    """The optimum of m rows lies about p/(2m) nats per row from that of all rows."""
    prepared, asked = prepared_fit(rows(20_000), tol=1e-9)
    sample_em = SampleEM.of(prepared, asked)
    n_parameters = K - 1 + 3 * K + 6 * K
    found = sample_em._problem(SampleRows(np.zeros((n, 3))), 15)
    assert found.tol == pytest.approx(min(0.005 * n_parameters / (2 * n), 1e-4), rel=4e-16)
    assert found.max_iter == 15
