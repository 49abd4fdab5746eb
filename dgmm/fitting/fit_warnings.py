"""What a user should know of a fitted mixture before trusting it, for jobs and in Python alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalScorer
from dgmm.model.mixture_model import MixtureModel
from dgmm.terminal_text import listed

#: With fewer rows a component is one row's, and has no variance of its own.
FEWEST_ROWS = 2
#: With fewer rows for each free parameter a likelihood is no measure for other rows.
ROWS_PER_PARAMETER = 5
#: Sample rows whose components are looked at.
_SPIKE_ROWS = 20_000
#: Components stand for a value if it is so large a share of their rows, and they hold so large a
#: share of the rows that have it.
_SPIKE_SHARE, _SPIKE_HELD = 0.99, 0.9
#: Events that changed the mixture; `regularised_components` reports regularisation.
_CHANGES = {
    "reseeded": "re-seeded",
    "dropped": "dropped",
    "variance_floored": "given a least variance",
}


def fit_warnings(
    model: MixtureModel,
    n_rows: int,
    events: Iterable[ComponentEvent] = (),
    *,
    may_shrink: bool = False,
) -> Iterator[str]:
    """Too few rows, lost components, components of one row, variances beyond float64, in words.

    Parameters
    ----------
    model
        As fitted.
    n_rows
        Rows it was fitted to.
    events
        What happened to its components.
    may_shrink
        Whether what is added to variances could be chosen by held-out rows, and was not.
    """
    yield from _too_few_rows(model, n_rows, may_shrink=may_shrink)
    yield from _lost_components(model, [event for event in events if event.kind in _CHANGES])
    yield from _single_rows(model, n_rows)
    yield from _beyond_float64(model)


def spike_warnings(
    model: MixtureModel, sample: NDArray[Any], values: Sequence[RepeatedValue]
) -> Iterator[str]:
    """Components that stand for a repeated value alone, in words: all their rows share it.

    Parameters
    ----------
    model
        As fitted.
    sample : (m, d)
        Rows in the data's units and type.
    values
        What many rows share; levels of a feature are as good as any other value.
    """
    if alone := components_of_spikes(model, sample, values):
        each = listed(f"{k} ({listed(texts, 3)})" for k, texts in sorted(alone.items()))
        yield (
            f"these components stand for a repeated value alone, which all their rows share: {each}"
            f" (of {model.n_components}). The other components describe the remaining rows. "
            "If the value is no measurement, write NaN there and set data.missing to drop"
        )


def components_of_spikes(
    model: MixtureModel, sample: NDArray[Any], values: Sequence[RepeatedValue]
) -> dict[int, list[str]]:
    """Components that stand for a repeated value alone, each with its values in words."""
    spikes = [value for value in values if value.kind != "level"]
    alone: dict[int, list[str]] = {}
    if not spikes:
        return alone
    rows = evenly(sample)
    labels = most_probable(model, rows)
    counts = np.bincount(labels, minlength=model.parameters.n_labels)
    for spike in spikes:
        own = labels[rows[:, spike.feature] == spike.value]
        shared = np.bincount(own, minlength=len(counts))
        is_alone = (shared > 0) & (shared >= _SPIKE_SHARE * counts)
        is_alone[model.n_components :] = False  # the noise stands for no value
        # Else the value is a common one that other components hold as well.
        if shared[is_alone].sum() >= _SPIKE_HELD * shared.sum() and not is_alone.all():
            text = f"{model.feature_names[spike.feature]} = {spike.value:.6g}"
            for k in np.flatnonzero(is_alone):
                alone.setdefault(int(k), []).append(text)
    return alone


def evenly(sample: NDArray[Any]) -> NDArray[Any]:
    """Some rows of the sample, evenly spread, or all."""
    count = min(len(sample), _SPIKE_ROWS)
    return sample[np.linspace(0, len(sample) - 1, count).astype(np.intp)]


def most_probable(model: MixtureModel, rows: NDArray[Any]) -> NDArray[np.intp]:
    """The most probable component of each row."""
    Y = model.standardisation.apply(rows, np.float64)
    labels = np.empty(len(rows), np.intp)
    if np.isnan(Y).any():
        for scores in MarginalScorer(model.parameters).score(Y):
            labels[scores.rows] = scores.responsibilities.argmax(axis=0)
        return labels
    for tile, _, R in Scorer(model.parameters).score(Y, Workspace()):
        labels[tile] = R.argmax(axis=0)
    return labels


def _too_few_rows(model: MixtureModel, n_rows: int, *, may_shrink: bool) -> Iterator[str]:
    free = model.n_parameters
    if n_rows >= ROWS_PER_PARAMETER * free:
        return
    k, d = model.n_components, model.n_features
    least = model.parameters.family.least_rows(k, d)
    singular = n_rows < least
    alone = f"; below {least:,} regularisation alone makes covariances usable" if singular else ""
    family = "choose a simpler model.covariance_type"
    remedies = ["Lower model.n_components", f"or {family}"]
    if may_shrink:
        remedies[1:] = [family, "or set model.reg_covar_relative to held_out"]
    yield (
        f"{n_rows:,} rows are too few for the {free:,} free parameters of a mixture of {k} "
        f"{model.covariance_type} covariances of {d} features: expected at least "
        f"{ROWS_PER_PARAMETER * free:,}, {ROWS_PER_PARAMETER} for each{alone}. Its likelihood says "
        f"little of other rows. {', '.join(remedies)}"
    )


def _lost_components(model: MixtureModel, events: list[ComponentEvent]) -> Iterator[str]:
    """One line, however many components were lost how often; fewer than were asked for is first."""
    kinds = [event.kind for event in events]
    dropped = [event for event in events if event.kind == "dropped"]
    fewer = ""
    if dropped:
        left, asked = model.n_components, model.n_components + len(dropped)
        fewer = f"the mixture has {left} of the {asked} components that were asked for: "
    if len(events) == 1:
        yield f"{fewer}{events[0].message}"
    elif events:
        counts = ", ".join(
            f"{words} {kinds.count(kind)}" for kind, words in _CHANGES.items() if kind in kinds
        )
        shown, first = (dropped, "dropped ") if dropped else (events, "")
        yield (
            f"{fewer}components collapsed or emptied {len(events)} times ({counts}); the first "
            f"{first}one: {shown[0].message}"
        )


def _single_rows(model: MixtureModel, n_rows: int) -> Iterator[str]:
    found = np.flatnonzero(model.weights * n_rows < FEWEST_ROWS)
    if len(found):
        yield (
            f"each of these components has fewer than {FEWEST_ROWS} of {n_rows:,} rows: "
            f"{listed(map(str, found))} (of {model.n_components}). Outliers have taken them, or "
            "no rows were left for them: look at the rows with these labels and correct or drop "
            "them, or lower model.n_components"
        )


def _beyond_float64(model: MixtureModel) -> Iterator[str]:
    variances = model.feature_variances()
    too_large = ~np.isfinite(variances).all(axis=0)
    too_small = (variances < np.finfo(np.float64).tiny).any(axis=0)
    for found, size in ((too_large, "large"), (too_small, "small")):
        if found.any():
            names = listed(model.feature_names[i] for i in np.flatnonzero(found))
            yield (
                f"variances of {names} are too {size} for float64 in the data's units; the model "
                "holds them in standardised units, with shift and scale. Choose other units"
            )
