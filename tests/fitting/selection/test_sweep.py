"""Models of a sweep: each has the bits of its fit alone, and one read feeds them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from clusters import gaussian_clusters

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.row_block import RowBlock
from dgmm.errors import ComponentError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.model_start import Starter
from dgmm.fitting.selection.groups import grouped
from dgmm.fitting.selection.sweep import sweep
from dgmm.fitting.selection.sweep_result import Sweep
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.backends import compiled_backend
from dgmm.outcome import Outcome
from dgmm.reduction.blocks import BlockRange

QUIET = SilentListener()
MODELS = [
    FitSettings(k, family, n_sample_starts=2, max_iter=30)
    for family, sizes in {"full": (2, 3), "tied": (3,), "spherical": (2, 3, 4)}.items()
    for k in sizes
]


class CountingDataset(ArrayDataset):
    """Rows in memory whose reads are counted."""

    reads: ClassVar[list[int]] = []

    def read_blocks(self, run: BlockRange) -> Iterator[RowBlock]:
        for block in super().read_blocks(run):
            self.reads.append(block.index)
            yield block


def rows(n: int = 1500) -> np.ndarray:
    return gaussian_clusters(n, spread=2.5)[0]


def swept(
    X: np.ndarray,
    n_groups: int = 1,
    models: list[FitSettings] = MODELS,
    *,
    split_starts: bool = False,
) -> Sweep:
    with ThreadExecutor(2) as executor:
        return sweep(
            *(ArrayDataset(X), executor, models, QUIET),
            tolerance=0.01,
            n_groups=n_groups,
            split_starts=split_starts,
        )


def alone(X: np.ndarray, settings: FitSettings) -> Fit:
    with ThreadExecutor(2) as executor:
        return fit(ArrayDataset(X), executor, settings, QUIET)


def bits(fitted: Fit | object) -> tuple[bytes, ...]:
    model = fitted.model  # type: ignore[attr-defined]
    p = model.parameters
    return p.weights.tobytes(), p.means.tobytes(), p.covariances.tobytes()


@pytest.mark.parametrize("is_incomplete", [False, True])
def test_each_model_has_the_bits_of_its_fit_alone(is_incomplete: bool) -> None:
    X, models = rows(), MODELS
    if is_incomplete:
        X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
        X[:5] = 0.0
        models = [replace(m, missing="marginalise") for m in MODELS[1:4]]
    found = swept(X, models=models)
    assert [m.settings for m in found.models] == models
    for one in found.models:
        own = alone(X, one.settings)
        assert bits(one) == bits(own)
        assert one.chosen.history == own.chosen.history


@pytest.mark.skipif(compiled_backend() is None, reason="needs Numba")
def test_each_model_has_the_backend_of_its_fit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    X = rows()
    models = [FitSettings(k, "diag", n_sample_starts=0, max_iter=4) for k in (2, 9)]
    width = 2 * X.shape[1] + 1
    monkeypatch.setattr("dgmm.mixture.backends.WORTH_COMPILING", len(X) * (width + 5))
    with ThreadExecutor(1) as executor:
        found = sweep(ArrayDataset(X), executor, models, QUIET, tolerance=0.01, split_starts=False)
    owns = [alone(X, settings) for settings in models]
    assert [own.backend for own in owns] == ["numpy", "numba"]
    assert [bits(one) for one in found.models] == [bits(own) for own in owns]


def test_groups_change_reads_and_no_bit() -> None:
    X = rows()
    whole, parted = swept(X), swept(X, n_groups=3)
    assert [bits(a) for a in whole.models] == [bits(b) for b in parted.models]
    assert (whole.n_groups, parted.n_groups) == (1, 3)
    assert whole.n_passes < parted.n_passes < whole.n_passes_alone


def test_components_of_every_model_are_in_the_order_that_is_asked_for() -> None:
    X = np.concatenate([rows(900), rows(300)[:, ::-1] - 9.0])
    models = [FitSettings(k, "diag", max_iter=3, component_order="weight") for k in (2, 4)]
    found = swept(X, models=models)
    for one in found.models:
        assert (np.diff(one.model.weights) <= 0.0).all()
    assert bits(found.chosen) == bits(found.fit)


def test_one_read_feeds_every_model_that_still_runs() -> None:
    CountingDataset.reads.clear()
    with ThreadExecutor(1) as executor:
        dataset = CountingDataset(rows())
        found = sweep(dataset, executor, MODELS, QUIET, tolerance=0.01, split_starts=False)
    assert dataset.grid.n_blocks == 1
    assert len(CountingDataset.reads) == 1 + found.n_passes  # the summary's
    assert found.n_passes == max(m.chosen.n_iter for m in found.models)


def test_criteria_are_those_of_the_last_e_step() -> None:
    """With one more M-step, the likelihood of the saved parameters is a little higher."""
    X = rows()
    for one in swept(X).models:
        log_density = one.model.score_samples(X)
        gain = (log_density.sum() - one.log_likelihood) / len(X)
        assert -1e-9 <= gain <= 1e-3
        n, free = len(X), one.model.n_parameters
        assert one.criteria.bic == pytest.approx(free * np.log(n) - 2 * one.log_likelihood)
        assert one.entropy is not None
        assert one.criteria.icl == pytest.approx(one.criteria.bic + 2 * one.entropy)


def test_three_clusters_are_found_and_the_smallest_family_is_taken() -> None:
    found = swept(gaussian_clusters(1500, spread=6.0)[0])
    chosen = found.choice.chosen
    assert (chosen.n_components, chosen.covariance_type) == (3, "spherical")
    assert found.fit.model.n_components == 3
    assert bits(found.fit) == bits(found.chosen)


class Warnings(SilentListener):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_a_range_that_begins_above_the_clusters_is_warned_of() -> None:
    models = [FitSettings(k, "full", n_sample_starts=2, max_iter=30) for k in (5, 6, 7)]
    listener = Warnings()
    with ThreadExecutor(2) as executor:
        dataset = ArrayDataset(gaussian_clusters(1500, spread=6.0)[0])
        found = sweep(dataset, executor, models, listener, tolerance=0.01)
    assert found.choice.chosen.n_components == 5
    words = "the chosen model, 5 full components, is the smallest that was asked for"
    assert any(text.startswith(words) for text in listener.warnings)


def test_a_model_that_lost_components_is_compared_by_those_that_are_left() -> None:
    """Of ten components on three distinct rows, three are left."""
    X = np.repeat(np.array([[0.0, 0.0], [5.0, 1.0], [9.0, 7.0]]), 100, axis=0)
    keys = {"max_iter": 30, "reg_covar": 0.01, "n_sample_starts": 0, "on_collapse": "drop"}
    models = [FitSettings(k, "spherical", method="random", **keys) for k in (2, 10)]
    listener = Warnings()
    with ThreadExecutor(1) as executor:
        found = sweep(ArrayDataset(X), executor, models, listener, tolerance=0.0)
    one = found.models[-1]
    left = one.model.n_components
    assert one.settings.n_components == 10
    assert left < 10
    assert (one.scored.size, one.scored.n_parameters) == (left, left * 4 - 1)
    words = f"spherical-10 has lost components, {left} are left"
    assert any(text.startswith(words) for text in listener.warnings)


def test_a_size_that_has_no_start_is_one_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = Starter.start

    def failing(self: Starter, prepared: Any, settings: FitSettings, identity: Any) -> Any:
        if settings.n_components != 2:
            raise ComponentError("no start")
        return start(self, prepared, settings, identity)

    monkeypatch.setattr(Starter, "start", failing)
    found = swept(rows(), models=[FitSettings(k, "spherical", max_iter=3) for k in (2, 9)])
    assert found.failed == {"spherical-9": "no start"}
    assert found.choice.is_smallest(found.choice.chosen)
    assert not found.choice.is_largest(found.choice.chosen)


def test_where_every_model_fails_the_reasons_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    best = em.best

    def overflown(*of: Any) -> em.FitCandidate:
        return replace(best(*of), outcome=Outcome.NON_FINITE)

    monkeypatch.setattr(em, "best", overflown)
    models = [FitSettings(k, "full", max_iter=3, inference="map") for k in (2, 3)]
    with pytest.raises(ComponentError) as failed:
        swept(rows(600), models=models)
    reason = f"NON_FINITE: {Outcome.NON_FINITE.value}"
    assert str(failed.value) == f"no model could be fitted: full-2, full-3: {reason}"


def test_groups_hold_every_model_once_and_are_about_equal() -> None:
    groups = grouped(MODELS, 3, 2)
    assert sorted(key for group in groups for key in group) == sorted(
        (m.n_components, m.covariance_type) for m in MODELS
    )
    assert len(grouped(MODELS, 3, 100)) == len(MODELS)
