"""Components of a repeated value or a few outliers, which have no covariance of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.data.weighted_statistics import weighted_variance
from dgmm.fitting.em.regularisation import overruled, regularisation_shares, share_of_sample
from dgmm.fitting.fit_warnings import FEWEST_ROWS, components_of_spikes, evenly, most_probable
from dgmm.model.mixture_model import MixtureModel
from dgmm.terminal_text import listed

Array = NDArray[np.float64]

#: From this share on, regularisation is most of a variance.
_DOMINANT = 0.5
#: From this share in the whole sample's variance on, the data are singular in themselves, and
#: features are looked at one by one.
_SINGULAR = 0.05
#: A component's rows share a value, or a few, if so many of them have it; fewer equal
#: rows are reported where regularisation is most of a variance alone.
_NEARLY_ALL, _MOST_VALUES, _FEWEST_EQUAL = 0.95, 3, 8
#: A feature is continuous if a smaller share of its rows repeats a value, and a value is a
#: component's own if others have a smaller share of it (of a regularised component: if a smaller
#: share of the others has it).
_MOST_REPEATED = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class FittedSample:
    """What components are compared with.

    Attributes
    ----------
    rows : (m, d)
        In the data's units and type.
    standardised : (m, d)
        The same rows, standardised.
    regularisation : (d,)
        Added to the variances, standardised units.
    n_rows
        Rows that were fitted.
    values
        What many rows share.
    weights : (m,) or None
        What each row of the sample stands for; None where that is the same of all.
    """

    rows: NDArray[Any]
    standardised: Array
    regularisation: Array
    n_rows: int
    values: Sequence[RepeatedValue]
    weights: Array | None = None


def regularised_warnings(model: MixtureModel, sample: FittedSample) -> Iterator[str]:
    """One line: components of regularisation, of too few rows, or of a few values.

    Components of less than two rows, and those that stand for a value that many rows share, are
    named elsewhere.
    """
    needed = model.parameters.rows_needed
    counts = model.weights * sample.n_rows
    found = _is_regularised(model, sample) | (counts < needed)
    shared = _shared_values(model, sample, found)
    found[list(shared)] = True
    found &= counts >= FEWEST_ROWS
    if found.any():
        found[list(components_of_spikes(model, sample.rows, sample.values))] = False
    which = [int(k) for k in np.flatnonzero(found)]
    if not which:
        return
    each = listed(
        f"{k} (weight {model.weights[k]:.3g}, {counts[k]:,.0f} rows{shared.get(k, '')})"
        for k in which
    )
    yield (
        f"components without a covariance of their own, {len(which):,} of {model.n_components:,}: "
        f"{each}. Regularisation alone holds it up, their rows share a few values of a feature, or "
        f"they have fewer rows than the {needed} that it needs. They describe repeated values (a "
        "code, saturation, a category) or a few outliers, and their likelihood says little. Where "
        "the values are no measurements, write NaN there and set data.missing to drop; else leave "
        "such a feature out, lower model.n_components, or choose a simpler model.covariance_type"
    )


def _is_regularised(model: MixtureModel, sample: FittedSample) -> NDArray[np.bool_]:
    """Components (k,) most of a variance of which is regularisation.

    Where the data are singular, or regularisation exceeds a feature's own variance, this holds of
    all components and another warning reports it: the other features are compared.
    """
    p, added = model.parameters, sample.regularisation
    if not added.any():
        return np.zeros(p.n_components, np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        variances = weighted_variance(sample.standardised, sample.weights)
        ignored = overruled(model.standardisation, variances, added)
    ignored |= model.standardisation.is_constant
    share = np.inf
    if not ignored.any():
        share = share_of_sample(p.family, sample.standardised, added, sample.weights)
    if share < _SINGULAR:
        return (
            regularisation_shares(p.family, p.precisions_cholesky, p.n_components, added, _DOMINANT)
            >= _DOMINANT
        )
    variances = p.family.variances(p.covariances, p.n_components, p.n_features)
    if p.family.common_scale:
        added = np.full(p.n_features, added.mean())
    return np.asarray((added >= _DOMINANT * variances)[:, ~ignored].any(axis=1))


def _shared_values(
    model: MixtureModel, sample: FittedSample, regularised: NDArray[np.bool_]
) -> dict[int, str]:
    """Components nearly all of whose sample rows share a few values of a feature, in words.

    Of those that are not `regularised` the ones with values unlike other rows' (continuous).
    """
    rows = evenly(sample.rows)
    ordered = np.sort(rows, axis=0)
    repeats = (ordered[1:] == ordered[:-1]).sum(axis=0)
    # Features some of whose values are repeated, and of those the ones with most values distinct.
    repeated = (repeats >= _FEWEST_EQUAL - 1) & ~model.standardisation.is_constant
    continuous = repeated & (repeats < _MOST_REPEATED * len(rows))
    if not (repeated.any() and (regularised.any() or continuous.any())):
        return {}
    labels = most_probable(model, rows)
    counts = np.bincount(labels, minlength=model.n_components)[: model.n_components]
    texts: dict[int, str] = {}
    for k in map(int, np.flatnonzero((counts >= _FEWEST_EQUAL) | (regularised & (counts > 1)))):
        own = rows[labels == k]
        features = np.flatnonzero(repeated if regularised[k] else continuous)
        few = ((i, _few_values(own[:, i], ordered[:, i], regularised[k])) for i in features)
        values = [
            f"{model.feature_names[i]} = {', '.join(f'{value:.6g}' for value in found)}"
            for i, found in few
            if found
        ]
        if values:
            texts[k] = f"; {listed(values, 3)}"
    return texts


def _few_values(own: NDArray[Any], ordered: NDArray[Any], is_regularised: bool) -> list[float]:
    """At most three values that nearly all of a component's rows have, and few other rows.

    Components that regularisation holds up may share a value, unless most rows have it.
    """
    values, counts = np.unique(own[~np.isnan(own)], return_counts=True)
    if not len(values):
        return []
    most = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    enough = int(np.searchsorted(np.cumsum(counts[most]), _NEARLY_ALL * len(own))) + 1
    if enough > len(most) or counts[most[:enough]].min() * _MOST_VALUES < min(len(own), 10):
        return []
    chosen = values[most[:enough]]
    sides = (np.searchsorted(ordered, chosen, side) for side in ("right", "left"))
    n_equal = int((next(sides) - next(sides)).sum())
    n_others = n_equal - int(counts[most[:enough]].sum())
    is_own = n_others < _MOST_REPEATED * (len(ordered) - len(own) if is_regularised else n_equal)
    return [float(value) for value in np.sort(chosen)] if is_own else []
