"""EM is rehearsed on the sample: fewer passes over all rows, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters

from dgmm import initialisation
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.blocks import Run
from dgmm.errors import ComponentError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fit import Fit, fit
from dgmm.initialisation import StartRequest
from dgmm.kernels.scoring import Scorer
from dgmm.listener import SilentListener
from dgmm.parameters import Parameters
from dgmm.rehearsal import AUTO_STARTS, Rehearsal, n_sample_starts
from dgmm.survey import FitSettings, Survey, survey

N, K, SAMPLED = 40_000, 4, 4000


def rows(n: int = N, spread: float = 2.0) -> np.ndarray:
    return gaussian_clusters(n, 3, K, spread=spread)[0]


def settings(**changes: Any) -> FitSettings:
    return FitSettings(K, **({"sample_rows": SAMPLED} | changes))


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


def surveyed(X: np.ndarray, **changes: Any) -> tuple[Survey, FitSettings]:
    asked = settings(**changes)
    with ThreadExecutor(1) as executor:
        return survey(ArrayDataset(X), executor, asked), asked


class OneByOne:
    """Runs tasks in this very thread, last first."""

    n_threads = 3

    def run(
        self, task: Callable[[Run], Any], runs: Sequence[Run], **_: object
    ) -> Iterator[tuple[Run, Any]]:
        for run in reversed(runs):
            yield run, task(run)

    def environment(self) -> dict[str, Any]:
        with ThreadExecutor(1) as executor:
            return executor.environment()


@pytest.mark.parametrize(
    ("changes", "sizes", "expected"),
    [
        ({}, (1_000_000, 100_000, 4895), AUTO_STARTS),
        ({}, (400_000, 100_000, 20_000), AUTO_STARTS),
        ({}, (399_999, 100_000, 4895), 0),  # the sample is most of the work already
        ({}, (1_000_000, 100_000, 20_001), 0),  # and here it says too little
        ({}, (10**9, 102_400, 8_585_215), 0),  # k = 1024, d = 128, full
        ({"max_iter": 0}, (1_000_000, 100_000, 4895), 0),
        ({"sample_starts": 0}, (1_000_000, 100_000, 4895), 0),
        ({"sample_starts": 3}, (1000, 1000, 4895), 3),
        ({"method": "given", "sample_starts": 3}, (1_000_000, 100_000, 4895), 0),
        ({"method": "kmeans_parallel", "sample_starts": 3}, (1_000_000, 100_000, 4895), 0),
    ],
)
def test_what_is_rehearsed_follows_the_sizes_and_the_job_alone(changes, sizes, expected) -> None:
    assert n_sample_starts(settings(**changes), *sizes) == expected


def test_a_rehearsed_fit_needs_fewer_passes_and_is_no_less_likely() -> None:
    X = rows()
    plain, rehearsed = fitted(X, sample_starts=0), fitted(X, sample_starts=2)
    assert rehearsed.chosen.history[0] > plain.chosen.history[0]
    assert rehearsed.chosen.n_iter < plain.chosen.n_iter
    # Both stop where an iteration gains less than tol, some iterations before the optimum.
    slack = 10 * settings().tol
    assert rehearsed.chosen.mean_log_likelihood > plain.chosen.mean_log_likelihood - slack


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_the_optimum_of_the_sample_is_near_that_of_all_rows(family: str) -> None:
    result = fitted(rows(), covariance_type=family, sample_starts=1)
    p = result.model.n_parameters
    # p/(2m) is the mean of half a χ² of p degrees of freedom over m; twice that on each side.
    gap = result.chosen.mean_log_likelihood - result.chosen.history[0]
    assert 0 <= gap < 4 * p / (2 * SAMPLED)


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_the_bits_of_a_rehearsed_fit_do_not_depend_on_threads(n_threads: int) -> None:
    X = rows(20_000).astype(np.float32)
    one, other = (fitted(X, n_threads=n, sample_starts=3, n_init=2) for n in (2, n_threads))
    for mine, theirs in zip(one.candidates, other.candidates, strict=True):
        assert mine.history == theirs.history
    np.testing.assert_array_equal(one.model.parameters.means, other.model.parameters.means)


def test_the_bits_of_a_rehearsed_fit_do_not_depend_on_the_executor() -> None:
    X = rows(20_000)
    elsewhere = fit(ArrayDataset(X), OneByOne(), settings(sample_starts=2), SilentListener())
    assert elsewhere.chosen.history == fitted(X, sample_starts=2).chosen.history


def test_a_restart_is_rehearsed_as_if_it_were_alone() -> None:
    X = rows(20_000)
    alone, among = fitted(X, sample_starts=2), fitted(X, sample_starts=2, n_init=3)
    assert among.candidates[0].history == alone.chosen.history
    histories = {c.history for c in among.candidates}
    assert len(histories) == 3


def test_more_starts_on_the_sample_have_other_streams_and_the_first_is_the_same() -> None:
    known, asked = surveyed(rows(), sample_starts=3, method="random_from_data")
    from dgmm.starts import starts_on_sample

    one = OneByOne()
    drawn = starts_on_sample(known, asked, known.sample, 3, one, None, None).drawn[0]
    single = starts_on_sample(known, asked, known.sample, 1, one, None, None).drawn[0]
    np.testing.assert_array_equal(drawn[0].means, single[0].means)
    assert len({p.means.tobytes() for p in drawn}) == 3


def test_iterations_on_the_sample_are_told_in_a_note_and_not_among_those_of_the_fit() -> None:
    heard = Heard()
    result = fitted(rows(), heard, sample_starts=2, n_init=2)
    assert heard.stages == ["summary", "initialisation", "sample", "em"]
    assert {record["rows"] for record in heard.records} == {N}
    assert len([r for r in heard.records if r["restart"] == 0]) == result.candidates[0].n_iter
    assert [note[:10] for note in heard.notes] == ["restart 0:", "restart 1:"]
    plain = Heard()
    fitted(rows(), plain, sample_starts=0)
    assert plain.stages == ["summary", "initialisation", "em"]
    assert plain.notes == []


def test_the_likelihood_in_the_note_is_the_sample_s_in_the_user_s_units() -> None:
    known, asked = surveyed(rows() * 1000.0, sample_starts=1)
    rehearsal = Rehearsal.of(known, asked)
    refined = refine(rehearsal, {0: (spread_out(known),)})[0]
    of_parameters = Scorer(refined.parameters).log_density(known.sample.T).mean()
    log_volume = np.log(known.standardisation.scale).sum()
    # The E-step came before the last M-step, which gained less than the step before it.
    gained = of_parameters - log_volume - refined.mean_log_likelihood
    assert 0 <= gained < rehearsal.n_parameters / (2 * SAMPLED)
    assert f"{refined.mean_log_likelihood:.6g}" in refined.describe()


def refine(rehearsal: Rehearsal | None, starts: Mapping[int, tuple[Parameters, ...]]) -> Any:
    assert rehearsal is not None
    with ThreadExecutor(2) as executor:
        return rehearsal.refine(starts, executor)


def spread_out(known: Survey) -> Parameters:
    """A start at rows far from one another."""
    order = np.argsort(known.sample.sum(axis=1))
    means = known.sample[order[np.linspace(0, len(order) - 1, K).astype(int)]]
    covariances = np.tile(np.cov(known.sample.T), (K, 1, 1))
    return Parameters.of(known.family, np.full(K, 1 / K), means, covariances)


def astray(known: Survey) -> Parameters:
    """A start that EM does not leave: one component over two clusters, two in another."""
    one = spread_out(known)
    means = one.means.copy()
    means[1], means[3] = (one.means[0] + one.means[1]) / 2, one.means[2] + 0.01
    means[0] = means[1]
    return Parameters.of(one.family, one.weights, means, one.covariances / 50)


def test_the_likeliest_start_is_taken_wherever_it_stands() -> None:
    known, asked = surveyed(rows(spread=20.0), sample_starts=2)
    rehearsal, good, bad = Rehearsal.of(known, asked), spread_out(known), astray(known)
    refined = refine(rehearsal, {0: (good,), 1: (bad,), 2: (good, bad), 3: (bad, good)})
    assert refined[1].mean_log_likelihood < refined[0].mean_log_likelihood - 0.1
    for restart in (2, 3):
        np.testing.assert_array_equal(
            refined[restart].parameters.means, refined[0].parameters.means
        )


def test_where_every_start_loses_components_the_first_is_taken_as_it_was_drawn() -> None:
    # Two distinct values hold no four components without regularisation.
    X = np.repeat([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], 8000, axis=0)
    known, asked = surveyed(X, sample_starts=2, reg_covar_relative=0.0)
    known = replace(
        known,
        conditions=replace(
            known.conditions,
            collapse=replace(known.conditions.collapse, regularisation=np.zeros(3)),
        ),
    )
    drawn = spread_out(replace(known, sample=rows(SAMPLED)))
    refined = refine(Rehearsal.of(known, asked), {0: (drawn, drawn)})[0]
    assert refined.parameters is drawn
    assert refined.mean_log_likelihood is None
    assert "lost components" in refined.describe()


def test_components_lost_on_the_sample_are_not_in_the_log_of_the_fit() -> None:
    # The sample holds equal rows which all rows do not have many of; re-seeding mends it there.
    X = rows()
    known, asked = surveyed(X, sample_starts=1)
    lonely = spread_out(known)
    far = replace(lonely, means=lonely.means + 1e3 * np.eye(K, 3))
    heard = Heard()
    with ThreadExecutor(2) as executor:
        refined = Rehearsal.of(known, asked).refine({0: (far,)}, executor)[0]  # type: ignore[union-attr]
        given = replace(asked, method="given")
        result = fit(ArrayDataset(X), executor, given, heard, lambda _: refined.parameters)
    assert refined.parameters.n_components == K
    assert result.events == ()
    assert heard.events == []


def failing(keys: set[tuple[int, int]]) -> Callable[[StartRequest], Parameters]:
    """A method that fails for some (restart, start)."""

    def method(request: StartRequest) -> Parameters:
        # The restart and the start are the last two numbers of a stream's name.
        name = request.rng.bit_generator.seed_seq.spawn_key  # type: ignore[attr-defined]
        if tuple(name[-2:]) in keys:
            raise ComponentError("told to fail")
        return initialisation.kmeans_plus_plus(request)

    return method


def test_a_failing_start_on_the_sample_leaves_the_others(monkeypatch) -> None:
    monkeypatch.setitem(initialisation.METHODS, "k-means++", failing({(0, 0), (0, 2)}))
    heard = Heard()
    result = fitted(rows(), heard, method="k-means++", sample_starts=3)
    assert result.failed_starts == {}
    assert result.chosen.outcome is not None
    assert result.chosen.outcome.is_usable


def test_a_restart_fails_with_the_last_of_its_starts(monkeypatch) -> None:
    failed = {(0, 0), (0, 1), (1, 0)}
    monkeypatch.setitem(initialisation.METHODS, "k-means++", failing(failed))
    result = fitted(rows(), method="k-means++", sample_starts=2, n_init=2)
    assert result.failed_starts == {0: "told to fail"}
    assert [c.restart for c in result.candidates] == [1]
    monkeypatch.setitem(initialisation.METHODS, "k-means++", failing(failed | {(1, 1)}))
    for n_init, message in ((1, "^told to fail"), (2, "^every start failed")):
        with pytest.raises(ComponentError, match=message):
            fitted(rows(), method="k-means++", sample_starts=2, n_init=n_init)


def test_a_start_that_the_caller_has_a_part_in_is_not_rehearsed() -> None:
    heard = Heard()
    with ThreadExecutor(2) as executor:
        asked = settings(sample_starts=2)
        fit(ArrayDataset(rows()), executor, asked, heard, adjust=lambda p, _: p)
    assert "sample" not in heard.stages


def test_a_change_that_is_refused_ends_one_restart_and_not_the_others() -> None:
    calls = []

    def refuse_the_first(parameters: Parameters, _: object) -> Parameters:
        calls.append(parameters)
        if len(calls) == 1:
            raise ComponentError("told to fail")
        return parameters

    asked = settings(method="kmeans_parallel", n_init=2)
    with ThreadExecutor(2) as executor:
        result = fit(ArrayDataset(rows()), executor, asked, Heard(), adjust=refuse_the_first)
    assert result.failed_starts == {0: "told to fail"}
    assert [c.restart for c in result.candidates] == [1]
