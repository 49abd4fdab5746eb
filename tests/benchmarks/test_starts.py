"""The benchmark of starts: its data, and scikit-learn's fits that are kept for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from benchmarks import start_data, start_peer, starts
from benchmarks.goals import SEPARATED_FOUND, UNSEEN_DIGIT
from benchmarks.results import Results
from benchmarks.start_data import StartData
from benchmarks.start_peer import ScikitLearn
from benchmarks.starts import Separated, separated


def two_clusters() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(size=(200, 2)) + 8.0 * (np.arange(200) % 2)[:, None]


DATA = StartData("two clusters", two_clusters, 2, "diag")


def test_every_data_set_has_a_name_of_its_own_and_finite_rows() -> None:
    found = [*start_data.small(), *start_data.large()]
    assert len({str(one) for one in found}) == len(found) == 41
    for one in start_data.small():
        X = one.rows()
        assert X.ndim == 2
        assert np.isfinite(X).all()
        assert len(X) > 10 * one.n_components


def test_turned_rows_have_the_same_distances_and_features_without_correlation() -> None:
    forms = {str(one): one.rows() for one in start_data.small() if one.name.startswith("wine")}
    X, turned = (forms[f"wine {form}, k = 3, full"] for form in ("as it is", "turned"))
    between = [np.linalg.norm(rows[:20] - rows[20:40], axis=1) for rows in (X, turned)]
    assert between[0] == pytest.approx(between[1])
    covariance = np.cov(turned, rowvar=False)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-9 * covariance.max()


def test_the_24_data_sets_differ_from_one_another_in_what_they_say() -> None:
    assert len(set(separated(0.001))) == 24
    X, labels = Separated(4, 3, 0, 0.001).rows()
    assert X.shape == (2000, 4)
    centres = [1000.0 * X[labels == j, 0].mean() for j in range(3)]
    assert centres == pytest.approx([0.0, 10.0, 20.0], abs=0.2)
    assert Separated(2, 2, 0).is_found()


@pytest.mark.parametrize("factor", [1e-3, 40.0])
def test_seven_clusters_along_one_feature_are_found_in_any_unit(factor: float) -> None:
    assert Separated(5, 7, 1, factor).is_found()


def test_peer_fits_are_made_once_and_are_those_of_the_rows(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "kept.json"
    found = ScikitLearn(path).mean_log_likelihoods(DATA, two_clusters())
    alone = GaussianMixture(2, covariance_type="diag", random_state=0).fit(two_clusters())
    assert found[0] == alone.score(two_clusters())
    assert len(found) == start_peer.N_FITS

    def no_more(*_: object) -> float:
        raise AssertionError("fitted again")

    monkeypatch.setattr(start_peer, "_fit", no_more)
    assert ScikitLearn(path).mean_log_likelihoods(DATA, two_clusters()) == found
    with pytest.raises(AssertionError, match="again"):
        ScikitLearn(path).mean_log_likelihoods(DATA, 2.0 * two_clusters())
    assert [*json.loads(path.read_text())] == [*json.loads(path.read_text())][:1]


def test_fits_that_were_interrupted_go_on(tmp_path: Path, monkeypatch) -> None:
    path, made = tmp_path / "kept.json", start_peer._fit

    def interrupted(data: StartData, X: np.ndarray, seed: int) -> float:
        if seed == 3:
            raise KeyboardInterrupt
        return made(data, X, seed)

    monkeypatch.setattr(start_peer, "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ScikitLearn(path).mean_log_likelihoods(DATA, two_clusters())
    seeds: list[int] = []
    monkeypatch.setattr(start_peer, "_fit", lambda data, X, seed: seeds.append(seed) or 0.0)
    assert len(ScikitLearn(path).mean_log_likelihoods(DATA, two_clusters())) == start_peer.N_FITS
    assert seeds == list(range(3, start_peer.N_FITS))


def test_a_comparison_tells_both_sides_and_holds_them_to_the_goals(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(
        starts, "ScikitLearn", lambda: ScikitLearn(tmp_path / "scikit_learn_starts.json")
    )
    results = Results("starts", {}, tmp_path)
    starts._against_scikit_learn(results, DATA)
    single, best = results.measurements
    assert single.goal == 0.0
    assert best.goal == -start_data.NEAR_BEST
    assert single.is_met
    assert best.is_met
    assert best.value == pytest.approx(0.0, abs=1e-3)
    assert len(single.detail["ours"]) == len(starts.SEEDS)


def test_a_digit_that_is_kept_from_the_fit_is_told_by_its_density() -> None:
    found = starts._auroc(GaussianMixture, 4)
    assert UNSEEN_DIGIT < found < 1.0
    assert SEPARATED_FOUND == 95.0
