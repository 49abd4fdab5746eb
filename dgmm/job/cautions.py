"""What a user should know of a fitted mixture before trusting it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dgmm.model import MixtureModel

#: With fewer rows a component is one row's, and has no variance of its own.
_FEWEST_ROWS = 2
_SHOWN = 10


def cautions(model: MixtureModel, n_rows: int) -> Iterator[str]:
    """Too few rows, components of one row, and variances beyond float64, in words.

    Parameters
    ----------
    model
        As fitted.
    n_rows
        Rows it was fitted to.
    """
    yield from _too_few_rows(model, n_rows)
    yield from _single_rows(model, n_rows)
    yield from _beyond_float64(model)


def _too_few_rows(model: MixtureModel, n_rows: int) -> Iterator[str]:
    k, d = model.n_components, model.n_features
    least = model.parameters.family.least_rows(k, d)
    if n_rows < least:
        yield (
            f"{n_rows:,} rows are too few for {k} {model.covariance_type} covariances of {d} "
            f"features, which need at least {least:,}: regularisation alone holds some of them up. "
            "Lower model.n_components, or choose a simpler model.covariance_type"
        )


def _single_rows(model: MixtureModel, n_rows: int) -> Iterator[str]:
    found = np.flatnonzero(model.weights * n_rows < _FEWEST_ROWS)
    if len(found):
        yield (
            f"each of these components has fewer than {_FEWEST_ROWS} of {n_rows:,} rows: "
            f"{_listed(map(str, found))} (of {model.n_components}). Outliers have taken them, or "
            "no rows were left for them: look at the rows with these labels and mend or drop them, "
            "or lower model.n_components"
        )


def _beyond_float64(model: MixtureModel) -> Iterator[str]:
    variances = model.feature_variances()
    too_large = ~np.isfinite(variances).all(axis=0)
    too_small = (variances < np.finfo(np.float64).tiny).any(axis=0)
    for found, size in ((too_large, "large"), (too_small, "small")):
        if found.any():
            names = _listed(model.feature_names[i] for i in np.flatnonzero(found))
            yield (
                f"variances of {names} are too {size} for float64 in the data's units; the model "
                "holds them in standardised units, with shift and scale. Choose other units"
            )


def _listed(words: Iterator[str]) -> str:
    every = list(words)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
