"""Two runs side by side: components matched, labels of the same rows, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from mixtures import mixture
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, confusion_matrix

import dgmm
from dgmm.cli.entry_point import run
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError, InputNotFoundError
from dgmm.events import SilentListener
from dgmm.job import predict_job, run_job
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters
from dgmm.model.matching import Matching
from dgmm.model.mixture_model import MixtureModel

QUIET = SilentListener()


def model_of(name: str, k: int = 4, d: int = 3, seed: int = 0) -> MixtureModel:
    family, rng = FAMILIES[name], np.random.default_rng(seed)
    scale = np.full(d, 2.0) if family.common_scale else 2.0 ** np.arange(d)
    units = Standardisation(np.arange(d) * 10.0, scale, np.ones(d), np.zeros(d, bool))
    return MixtureModel(mixture(family, k, d, rng), units, tuple("abc"[:d]))


def taken(model: MixtureModel, components: list[int], features: list[int]) -> MixtureModel:
    """The same mixture with its components, and its features, in another order."""
    p, s = model.parameters, model.standardisation
    places = np.array(components)
    own = Parameters.of(
        p.family, p.weights[places], p.means[places], p.family.take(p.covariances, places)
    ).marginal(np.array(features))
    units = s.of_features(np.array(features))
    names = tuple(model.feature_names[i] for i in features)
    return MixtureModel(own, units, names)


@pytest.mark.parametrize("name", FAMILIES)
def test_components_and_features_in_another_order_are_found_again(name: str) -> None:
    model = model_of(name)
    found = Matching.of(model, taken(model, [2, 0, 3, 1], [2, 0, 1]))
    assert {(pair.first, pair.second) for pair in found.pairs} == {(2, 0), (0, 1), (3, 2), (1, 3)}
    assert max(pair.bhattacharyya for pair in found.pairs) < 1e-9
    assert max(pair.means_apart for pair in found.pairs) < 1e-6
    assert all(pair.weights[0] == pair.weights[1] for pair in found.pairs)


def test_units_and_families_may_differ() -> None:
    """One round component in common units, and the same as a full one in units of its own."""
    round_one = model_of("spherical", k=1)
    d = round_one.n_features
    units = Standardisation(np.zeros(d), np.array([1.0, 8.0, 0.5]), np.ones(d), np.zeros(d, bool))
    p = Parameters.of(
        FAMILIES["full"],
        np.ones(1),
        units.means_from_user(round_one.means),
        (round_one.component_covariance(0) / np.outer(units.scale, units.scale))[None],
    )
    (pair,) = Matching.of(round_one, MixtureModel(p, units, round_one.feature_names)).pairs
    assert pair.bhattacharyya == pytest.approx(0.0, abs=1e-12)


def line(*means: float) -> MixtureModel:
    k = len(means)
    p = Parameters.of(
        FAMILIES["full"], np.full(k, 1 / k), np.array(means)[:, None], np.ones((k, 1, 1))
    )
    units = Standardisation(np.zeros(1), np.ones(1), np.ones(1), np.zeros(1, bool))
    return MixtureModel(p, units, ("x",))


def test_far_components_are_matched_by_how_far_they_are() -> None:
    """All of these Hellinger distances are 1 to rounding; every matching has the same sum."""
    found = Matching.of(line(0.0, 100.0), line(160.0, 40.0))
    assert {(pair.first, pair.second) for pair in found.pairs} == {(0, 1), (1, 0)}
    assert [pair.hellinger for pair in found.pairs] == [1.0, 1.0]
    assert [pair.means_apart for pair in found.pairs] == pytest.approx([40.0, 60.0])
    assert [pair.bhattacharyya for pair in found.pairs] == pytest.approx([200.0, 450.0])


def test_the_sum_of_distances_is_least_not_each_of_them() -> None:
    found = Matching.of(line(0.0, 1.0), line(0.9, 5.0))
    assert {(pair.first, pair.second) for pair in found.pairs} == {(0, 0), (1, 1)}


def test_components_without_a_partner_are_named() -> None:
    found = Matching.of(line(0.0, 50.0, 9.0), line(50.0, 0.0))
    assert (found.only_first, found.only_second) == ((2,), ())
    assert Matching.of(line(0.0), line(50.0, 0.0)).only_second == (0,)


def test_other_features_units_and_steps_are_refused_by_name() -> None:
    model = model_of("full")
    with pytest.raises(DataError, match="c in the first alone and z in the second alone"):
        Matching.of(model, replace(model, feature_names=("a", "b", "z")))
    metres, feet = (
        replace(model, feature_units={"b": "m"}),
        replace(model, feature_units={"b": "K"}),
    )
    with pytest.raises(DataError, match="b is in K, and in the model in m"):
        Matching.of(metres, feet)
    Matching.of(metres, model)  # none is stated


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fits of the same rows, one of others, and a prediction for the first rows."""
    folder = tmp_path_factory.mktemp("compared")
    data = write_zarr(folder / "x.zarr", gaussian_clusters(1500, 2, 3)[0])
    others = write_zarr(folder / "y.zarr", gaussian_clusters(900, 2, 3, seed=1)[0])
    run_job(job(data, folder / "three"), QUIET)
    run_job(job(data, folder / "four", model={"n_components": 4}), QUIET)
    run_job(job(others, folder / "others", output={"labels": False}), QUIET)
    model = {"path": str(folder / "others" / "model")}
    predict_job(job(data, folder / "predicted", model=model), QUIET)
    return folder


def labels(run: Path) -> NDArray[np.int32]:
    import zarr

    return np.asarray(zarr.open_array(run / "outputs.zarr" / "labels", mode="r")[:])


@pytest.mark.parametrize("other", ["four", "predicted"])
def test_labels_of_the_same_rows_are_compared(runs: Path, other: str) -> None:
    found = dgmm.compare(runs / "three", runs / other)
    one, two = labels(runs / "three"), labels(runs / other)
    assert found.labels is not None
    assert found.labels.n_rows == 1500
    assert found.labels.adjusted_rand_index == pytest.approx(adjusted_rand_score(one, two))
    k = max(two) + 1
    expected = confusion_matrix(one, two, labels=range(max(3, k)))[:3, :k]
    assert np.array(found.labels.matrix)[:, :k].tolist() == expected.tolist()
    places, partners = linear_sum_assignment(expected, maximize=True)
    assert found.labels.moved == pytest.approx(1.0 - expected[places, partners].sum() / 1500)


def test_other_rows_and_models_alone_have_no_labels_to_compare(runs: Path) -> None:
    assert dgmm.compare(runs / "three", runs / "others").labels is None
    assert "same rows" in dgmm.compare(runs / "three", runs / "others").why_no_labels
    of_models = dgmm.compare(runs / "three" / "model", dgmm.load_model(runs / "four"))
    assert of_models.labels is None
    assert len(of_models.pairs) == 3
    assert len(of_models.only_second) == 1


def test_the_command_prints_a_table_and_what_it_is_not(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", str(runs / "three"), str(runs / "four")]) == 0
    text = capsys.readouterr().out
    assert f"A  {runs / 'three'}: 3 components, full" in text
    assert "only in B: " in text
    assert "1,500 rows labelled by both: adjusted Rand index 0." in text
    assert " % of them in another cluster" in text
    assert "Matching two fits is no measure of drift" in text


def test_the_command_prints_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "--json", str(runs / "three"), str(runs / "predicted")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(found[key]) for key in ("pairs", "only_first", "only_second")] == [3, 0, 0]
    assert found["labels"]["n_rows"] == 1500
    assert sum(map(sum, found["labels"]["matrix"])) == 1500


def test_a_path_without_a_model_has_its_exit_code(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", str(runs / "absent"), str(runs / "four")]) == 66
    assert "no model at" in capsys.readouterr().err
    with pytest.raises(InputNotFoundError):
        dgmm.compare(runs / "three", runs)


@pytest.mark.parametrize("wrong", [None, 3])
def test_what_is_neither_a_path_nor_a_model_is_refused_in_words(wrong):
    with pytest.raises(DataError, match=f"a MixtureModel, .* found {type(wrong).__name__}"):
        dgmm.compare(wrong, wrong)


def test_fitted_estimators_are_compared_as_their_models():
    X = gaussian_clusters(300, 2, 2)[0]
    estimator = dgmm.GaussianMixture(2, random_state=0).fit(X)
    found = dgmm.compare(estimator, estimator.model_)
    assert found.record() == dgmm.compare(estimator.model_, estimator.model_).record()
    with pytest.raises(DataError, match="found GaussianMixture"):
        dgmm.compare(dgmm.GaussianMixture(2), estimator)


def test_the_weight_of_noise_is_told_beside_the_pairs() -> None:
    X, _ = gaussian_clusters(900, 2, 2)
    X[::50] = np.random.default_rng(0).uniform(-30, 30, size=(18, 2))
    noisy = dgmm.GaussianMixture(2, noise=True, random_state=0).fit(X).model_
    plain = dgmm.GaussianMixture(2, random_state=0).fit(X).model_
    found = dgmm.compare(noisy, plain)
    assert noisy.noise is not None
    assert found.record()["noise"] == [noisy.noise_weight, None]
    assert f"and noise of weight {noisy.noise_weight:.4f}" in found.table().splitlines()[0]
    assert "noise" not in found.table().splitlines()[1]


def test_a_component_that_cannot_be_inverted_has_no_number_for_its_distance() -> None:
    one = model_of("diag", 2, 2)
    p = one.parameters
    flat = Parameters.of(p.family, p.weights, p.means, np.array([[0.0, 1.0], [1.0, 1.0]]))
    found = dgmm.compare(one, replace(one, parameters=flat))
    distances = [pair["bhattacharyya"] for pair in found.record()["pairs"]]
    assert sum(not isinstance(d, float) for d in distances) == 1
    json.dumps(found.record(), allow_nan=False)
