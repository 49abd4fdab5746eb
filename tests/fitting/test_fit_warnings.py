"""What is said of a fitted mixture: too few rows, components of one row, variances out of range."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.config import Job
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.events import SilentListener
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.fit_warnings import fit_warnings, spike_warnings
from dgmm.job import run_job
from dgmm.mixture.covariance import FAMILIES, Family, Moments, family_named
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.parameter_names import in_python

EPS = np.finfo(np.float64).eps


def model(
    k: int = 2, d: int = 3, weights: tuple[float, ...] = (0.5, 0.5), scale: float = 1.0
) -> MixtureModel:
    """Unit covariances in standardised units."""
    covariances = np.broadcast_to(np.eye(d), (k, d, d))
    parameters = Parameters.of(
        family_named("full"), np.array(weights), np.zeros((k, d)), covariances
    )
    ones = np.ones(d)
    standardisation = Standardisation(0 * ones, scale * ones, ones, np.zeros(d, np.bool_))
    return MixtureModel(parameters, standardisation, tuple(f"x{i}" for i in range(d)))


def smallest_eigenvalue(family: Family, counts: list[int], d: int) -> float:
    """Of all covariances of groups of so many random rows each, about their own means."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(d, count)) for count in counts]
    deviations = [rows - rows.mean(axis=1, keepdims=True) for rows in groups]
    moments = Moments(
        counts=np.array(counts, np.float64),
        first=np.zeros((len(counts), d)),
        second=np.stack([family.second_moment(D, np.ones(D.shape[1])) for D in deviations]),
        scatter=sum(family.scatter(D) for D in deviations) if family.scatter_width(d) else None,
    )
    covariances = family.covariances(moments)
    wholes = [family.full_covariance(covariances, j, d) for j in range(len(counts))]
    return float(np.linalg.eigvalsh(np.stack(wholes)).min())


@pytest.mark.parametrize("name", FAMILIES)
def test_one_row_less_than_the_least_makes_a_covariance_singular(name):
    family, k, d = family_named(name), 3, 4
    least = family.least_rows(k, d)
    counts = [least - 2, 1, 1] if family.is_shared else [least // k] * k
    assert sum(counts) == least
    assert smallest_eigenvalue(family, counts, d) > 1e-6
    counts[0] -= 1
    assert abs(smallest_eigenvalue(family, counts, d)) < 100 * d * EPS


def test_a_sound_mixture_needs_no_caution():
    # 1 weight, 2·3 means and 2·6 covariances: 19 free parameters.
    assert list(fit_warnings(model(), 95)) == []


def test_less_than_five_rows_for_each_free_parameter_are_too_few():
    (said,) = fit_warnings(model(), 94)
    assert said.startswith("94 rows are too few for the 19 free parameters of a mixture of 2 full ")
    assert "expected at least 95, 5 for each. " in said


def test_too_few_rows_for_covariances_are_said_with_the_number_needed():
    (said,) = fit_warnings(model(), 7)
    assert "5 for each; below 8 regularisation alone makes covariances usable. " in said


def event(kind: str, component: int = 0) -> ComponentEvent:
    return ComponentEvent(3, 0, component, kind, f"component {component} {kind}")


def test_one_lost_component_is_said_as_it_was_logged():
    said = list(fit_warnings(model(), 100, [event("regularised"), event("dropped", 5)]))
    left = "the mixture has 2 of the 3 components that were asked for: "
    assert said == [f"{left}component 5 dropped"]
    said = list(fit_warnings(model(), 100, [event("reseeded", 1)]))
    assert said == ["component 1 reseeded"]


def test_many_lost_components_are_one_line_with_a_count():
    events = [*(event("reseeded", j) for j in range(30)), event("dropped", 4), event("dropped", 2)]
    (said,) = fit_warnings(model(), 100, events)
    assert said == (
        "the mixture has 2 of the 4 components that were asked for: components collapsed or "
        "emptied 32 times (re-seeded 30, dropped 2); the first dropped one: component 4 dropped"
    )
    (said,) = fit_warnings(model(), 100, events[:30])
    assert said.startswith("components collapsed or emptied 30 times (re-seeded 30); the first one")


def test_components_of_one_row_are_named():
    (said,) = fit_warnings(model(weights=(0.99, 0.01)), 100)
    assert said.startswith("each of these components has fewer than 2 of 100 rows: 1 (of 2). ")
    assert list(fit_warnings(model(weights=(0.98, 0.02)), 100)) == []


def test_many_of_them_are_counted():
    (said,) = fit_warnings(model(40, weights=(0.9649, *[0.0009] * 39)), 2000)
    assert ": 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 29 more (of 40)" in said


@pytest.mark.parametrize(("scale", "size"), [(2.0**600, "large"), (2.0**-600, "small")])
def test_variances_beyond_float64_are_said_with_their_features(scale, size):
    (said,) = fit_warnings(model(scale=scale), 100)
    assert said.startswith(f"variances of x0, x1, x2 are too {size} for float64 in the data's unit")


def spiked(share: float, value: float, columns: slice) -> NDArray[np.float64]:
    """Rows of two clusters, some of which have one value in some features."""
    rng = np.random.default_rng(7)
    X = np.concatenate([rng.normal(0.0, 1.0, (900, 2)), rng.normal(8.0, 1.0, (900, 2))])
    X[rng.random(1800) < share, columns] = value
    return X


def warned_of(X: object, k: int, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianMixture(k, random_state=0, **options).fit(X)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("share", [0.07, 0.25, 0.4])
def test_a_component_of_one_repeated_value_is_named(share):
    said = warned_of(spiked(share, -45.0, slice(None)), 3)
    assert "x0 = -45 (" in said[0]
    assert len(said) == 2
    assert said[1].startswith("these components stand for a repeated value alone, which all their")
    assert "(x0 = -45, x1 = -45) (of 3). " in said[1]


def test_a_rare_fill_value_with_a_component_of_its_own_is_named(tmp_path):
    X = spiked(0.02, 77.5, slice(None))
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X, fill_value=77.5)
    said = warned_of(tmp_path / "rows.zarr", 3)
    n_rows = int((X == 77.5).all(axis=1).sum())
    assert f"own fill value, 77.5, are fitted as values: x0 ({n_rows / 18:.3g} %, " in said[0]
    assert "(x0 = 77.5, x1 = 77.5) (of 3)" in said[1]


@pytest.mark.parametrize(
    ("shares", "named"),
    [
        ((1.0, 0.0), "0 (x1 = 0.5) (of 2)"),
        ((0.05, 0.999), "1 (x1 = 0.5) (of 2)"),
        ((0.95, 0.0), None),  # rows of other values too
        ((1.0, 0.5), None),  # the other component has many such rows as well
        ((0.999, 0.998), None),  # a common value of all rows
    ],
)
def test_components_are_named_where_they_alone_hold_a_value(shares, named):
    rng = np.random.default_rng(2)
    means = np.array([[-6.0, 0.5], [6.0, 0.5]])
    sample = np.repeat(means, 5000, axis=0) + rng.normal(size=(10_000, 2))
    sample[rng.random(10_000) < np.repeat(shares, 5000), 1] = 0.5
    covariances = np.broadcast_to(np.eye(2), (2, 2, 2))
    parameters = Parameters.of(family_named("full"), np.full(2, 0.5), means, covariances)
    mixture = MixtureModel(parameters, model(d=2).standardisation, ("x0", "x1"))
    value = RepeatedValue(1, 0.5, 5000, 0.5, True, "spike")
    said = list(spike_warnings(mixture, sample, [value]))
    assert len(said) == (named is not None)
    assert all(f"all their rows share: {named}. " in text for text in said)
    assert list(spike_warnings(mixture, sample, [replace(value, kind="level")])) == []


def test_a_job_records_repeated_values_and_gives_the_same_warnings(tmp_path):
    X = spiked(0.3, -45.0, slice(0, 1))
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X, fill_value=-45.0)
    sections = {
        "data": {"path": str(tmp_path / "rows.zarr")},
        "model": {"n_components": 3, "tol": 1e-3, "reg_covar": 1e-6, "reg_covar_relative": 0},
        "cluster": {"kind": "threads"},
        "output": {"path": str(tmp_path / "run"), "report": True},
    }
    run_job(Job.model_validate(sections), SilentListener())
    record = json.loads((tmp_path / "run/run.json").read_text())
    in_job = [in_python(text) for text in record["warnings"]]
    assert in_job == warned_of(tmp_path / "rows.zarr", 3)
    n_rows = int((X[:, 0] == -45.0).sum())
    (value,) = record["repeated_values"]
    assert value == {
        "feature": "x0",
        "value": -45.0,
        "n_rows": n_rows,
        "share": n_rows / 1800,
        "is_exact": True,
        "kind": "fill",
    }
    page = (tmp_path / "run/report.html").read_text()
    assert "Values that many rows share" in page
    assert f"<td>{n_rows:,}</td>" in page or f">{n_rows:,}<" in page
