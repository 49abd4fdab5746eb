"""Groups of models that share passes: fewer need fewer reads, more need less memory."""

from __future__ import annotations

from collections.abc import Sequence

from dgmm.fitting.iterate import ModelKey
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import family_named
from dgmm.mixture.criteria import n_parameters


def grouped(
    models: Sequence[FitSettings], n_features: int, n_groups: int
) -> tuple[tuple[ModelKey, ...], ...]:
    """Models in at most so many groups of about equal numbers of parameters, largest first."""
    n_groups = max(1, min(n_groups, len(models)))
    sizes = {
        key_of(m): n_parameters(
            family_named(m.covariance_type), m.n_components, n_features, noise=m.noise
        )
        for m in models
    }
    groups: list[list[ModelKey]] = [[] for _ in range(n_groups)]
    for key in sorted(sizes, key=lambda one: -sizes[one]):
        min(groups, key=lambda group: sum(sizes[one] for one in group)).append(key)
    return tuple(tuple(group) for group in groups if group)


def key_of(settings: FitSettings) -> ModelKey:
    """What tells the model from the others, as its candidates have it."""
    return settings.n_components, settings.covariance_type
