"""The choice of a model: the smallest whose BIC is near the lowest, and reasons to doubt it."""

from __future__ import annotations

from typing import Any

import pytest

from dgmm.errors import ComponentError
from dgmm.fitting.selection.choice import BicRule, Choice, Scored, choose
from dgmm.mixture.criteria import Criteria

N = 1000.0


def model(k: int, bic_per_row: float, family: str = "full", free: int = 0, **own: Any) -> Scored:
    """With a BIC / (2 n) of so many nats per row."""
    bic = 2.0 * N * bic_per_row
    return Scored(k, family, free or 10 * k, Criteria(bic, bic, bic), **own)


def by_bic(models: list[Scored], tolerance: float, sizes: tuple[int, ...] = ()) -> Choice:
    return choose(models, BicRule(N, tolerance), N, sizes)


#: Heavy tails: every component more gains a little.
TAILS = [model(2, 6.0), model(4, 5.009), model(8, 5.004), model(16, 5.0), model(32, 5.2)]


@pytest.mark.parametrize(("tolerance", "k"), [(0.0, 16), (0.005, 8), (0.01, 4), (2.0, 2)])
def test_the_smallest_model_within_the_tolerance_is_chosen(tolerance: float, k: int) -> None:
    found = by_bic(TAILS, tolerance)
    assert found.chosen.n_components == k
    assert found.best_bic.n_components == 16


def test_what_is_given_up_and_the_runner_up_are_told() -> None:
    found = by_bic(TAILS, 0.01)
    assert found.given_up == pytest.approx(0.009, abs=1e-12)
    assert found.runner_up is not None
    assert found.runner_up.n_components == 8
    assert "BIC alone chooses 16 full components" in found.describe()
    assert "0.009 nats per row above the lowest" in found.hidden
    assert "one of 1 % of the rows is not seen unless it gains 1 or more" in found.hidden
    assert not by_bic(TAILS, 0.0).hidden


def test_of_equal_sizes_the_model_of_fewest_parameters_is_chosen() -> None:
    full, diag, spherical = ("full", 29), ("diag", 20), ("spherical", 14)
    models = [model(3, 5.0, *full), model(3, 5.004, *diag), model(3, 5.2, *spherical)]
    assert by_bic(models, 0.01).chosen.covariance_type == "diag"
    assert by_bic(models, 0.0).chosen.covariance_type == "full"


def test_the_edge_of_the_range_is_told_of_the_choice_and_of_bic() -> None:
    rising = [model(1, 6.0), model(2, 5.5), model(3, 5.495)]
    found = by_bic(rising, 0.01)
    assert found.chosen.n_components == 2
    assert not found.is_largest(found.chosen)
    assert found.is_largest(found.best_bic)
    assert "at the edge of the range" in found.describe()
    one_size = [model(3, 5.0, "full"), model(3, 5.5, "diag")]
    found = by_bic(one_size, 0.0)
    assert not found.is_largest(found.chosen)
    assert not found.is_smallest(found.chosen)


def test_the_smallest_that_was_asked_for_is_told_unless_it_is_1() -> None:
    found = by_bic([model(5, 5.0), model(6, 5.1), model(7, 5.2)], 0.0)
    assert "5 full components (the smallest that was asked for: fewer might do)" in found.describe()
    one = by_bic([model(1, 5.0), model(2, 5.1)], 0.0)
    assert not one.is_smallest(one.chosen)


def test_a_model_that_lost_components_is_ranked_by_those_that_are_left() -> None:
    lost = model(8, 5.0, free=29, n_left=3)
    models = [model(2, 6.0), model(4, 5.001), lost]
    found = by_bic(models, 0.01)
    assert found.chosen is lost
    assert "8 full components (3 left)" in found.describe()
    assert not found.is_largest(lost)
    assert found.is_smallest(model(4, 5.0, n_left=2))
    assert by_bic([model(3, 5.0, free=29), lost], 0.01).chosen.n_components == 3


def test_edges_are_those_of_all_sizes_that_were_asked_for() -> None:
    """Also of models that could not be fitted."""
    lower, upper = by_bic([model(4, 5.0)], 0.0, (2, 4)), by_bic([model(4, 5.0)], 0.0, (4, 8))
    assert (lower.is_smallest(lower.chosen), lower.is_largest(lower.chosen)) == (False, True)
    assert (upper.is_smallest(upper.chosen), upper.is_largest(upper.chosen)) == (True, False)


def test_models_that_are_not_sound_count_only_where_none_is() -> None:
    spike = model(8, 1.0, is_sound=False)
    assert by_bic([model(2, 5.0), spike], 0.01).chosen.n_components == 2
    assert by_bic([spike], 0.01).chosen is spike
    assert by_bic([model(2, float("nan")), model(4, 5.0)], 0.01).chosen.n_components == 4
    with pytest.raises(ComponentError, match="no model could be fitted"):
        by_bic([], 0.01)
