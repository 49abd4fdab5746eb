"""The table of where components lie in the data's units: means, or what takes their place."""

from __future__ import annotations

from typing import Any

from dgmm.data.transforms.asked_step import COMPONENTS
from dgmm.data.transforms.location import Location
from dgmm.model.mixture_model import MixtureModel
from dgmm.report.components import Components
from dgmm.report.formatting import MISSING, number, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

#: Components that have a column, and features that have a row.
_MOST_COMPONENTS, _MOST_FEATURES = 12, 100
_WIDEST_NAME = 60
#: What the words of the second column mean.
_NOTES = {
    Location.MEDIAN: (
        "median: behind a logarithm or asinh the component is Gaussian, and the inverse takes its "
        "mean to the median of the values before."
    ),
    Location.PROJECTION: (
        "mean of the projection: pca keeps fewer components than columns, and the mean of all rows "
        "stands for the others, in which a component's rows may lie elsewhere."
    ),
    Location.IMAGE: (
        "image of the mean: what the inverse of all steps makes of the mean; no mean and no median."
    ),
    Location.NONE: (
        "quantiles: clipping has no inverse. The median, and in brackets 5 % and 95 %, of the "
        "component's rows in a sample; those at a bound of the clipping may lie beyond it."
    ),
}
_COMPONENTS = "Behind pca values are those of the nearest rows that have these components."


def means_table(record: RunRecord) -> Table | None:
    """A row for each of the user's features, a column for each of the heaviest components."""
    model, components = record.model, record.components
    if model is None or components is None:
        return None
    shown = sorted(map(int, components.heaviest[:_MOST_COMPONENTS]))
    names, locations = _features(model)
    means, quantiles = model.user_means, _quantiles(record)
    rows = []
    for f, name in enumerate(names[:_MOST_FEATURES]):
        if locations[f] is Location.NONE:
            cells = [_quantile_cell(quantiles.get(name), k) for k in shown]
        else:
            cells = [number(float(means[k, f])) for k in shown]
        rows.append((shortened(name, _WIDEST_NAME), locations[f].value, *cells))
    header = ("feature", "shown", *(f"component {k}" for k in shown))
    numeric = frozenset(range(2, len(header)))
    note = " ".join(_notes(model, components, locations, len(names)))
    return Table("Components in the data's units", header, rows, numeric, note, n_open=12)


def _features(model: MixtureModel) -> tuple[tuple[str, ...], tuple[Location, ...]]:
    """The user's features, and what is shown of each."""
    if model.preprocess is None:
        return tuple(map(str, model.feature_names)), (Location.MEAN,) * model.n_features
    return model.preprocess.input_names, model.preprocess.locations


def _quantiles(record: RunRecord) -> dict[str, list[Any]]:
    """By feature, those of all components; of a prediction there are none."""
    found = record.section("preprocess").get("quantiles")
    if not isinstance(found, dict):
        return {}
    columns = zip(*found["values"], strict=True)
    return {name: list(column) for name, column in zip(found["features"], columns, strict=True)}


def _quantile_cell(quantiles: list[Any] | None, k: int) -> str:
    if quantiles is None or quantiles[k] is None:
        return MISSING
    low, middle, high = (number(value, 4) for value in quantiles[k])
    return f"{middle} ({low} to {high})"


def _notes(
    model: MixtureModel, components: Components, locations: tuple[Location, ...], n_features: int
) -> list[str]:
    notes = [text for location, text in _NOTES.items() if location in locations]
    steps = () if model.preprocess is None else model.preprocess.steps
    if any(step.kind == COMPONENTS for step in steps):
        notes.append(_COMPONENTS)
    if (more := components.n_components - _MOST_COMPONENTS) > 0:
        notes.append(f"{more:,} more components, the lightest, are left out.")
    if (more := n_features - _MOST_FEATURES) > 0:
        notes.append(f"{more:,} more features are left out.")
    return notes
