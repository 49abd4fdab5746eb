"""Why a row is far from a mixture: the features whose values the others did not expect.

The component is the most probable one of the row, the nearest where its density underflows. The
reason is the feature without which the row would be nearest to that component, given what all other
features say (`mixture/left_out_features`); not the feature that is farthest from its mean, which is
another one where features are correlated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.left_out_features import LeftOut, left_out
from dgmm.mixture.marginal.patterns import rows_by_pattern
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]
#: Features named for a row, where nothing else is asked for.
N_REASONS = 3


class ExplainingMixture(Protocol):
    """What reasons need of a fitted mixture."""

    @property
    def parameters(self) -> Parameters:
        """In standardised units."""

    @property
    def standardisation(self) -> Standardisation:
        """Shift and scale."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per feature."""


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyReasons:
    """The features of n rows that lie farthest from what the others say of them, m of each row.

    Feature i is found after those before it are left out. `losses` of a row add up to what its
    squared distance loses without all of them.

    Attributes
    ----------
    feature_names : tuple of str
        Of the d features.
    components : (n,) int32
        Most probable component, of rows that are noise the most probable of the others; −1 for a
        row that is dropped as missing.
    squared_distances : (n,)
        Squared Mahalanobis distance from it, over the values that a row has.
    features : (n, m)
        Numbers of the features; −1 where a row has fewer values, or one hides the others.
    losses : (n, m)
        What the squared distance loses without the feature: its squared distance, in standard
        deviations, from what the others say of it.
    observed, expected, deviations : (n, m)
        The feature's value; its mean and its standard deviation given those that are not left out.
        In the user's units, as `in_units_before` gives them behind steps of `preprocess`.

    Examples
    --------
    >>> from dgmm import GaussianMixture
    >>> X = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 5000)
    >>> model = GaussianMixture(1).fit(X).model_
    >>> reasons = model.explain_anomalies([[1.0, -2.0]], n_features=1)
    >>> reasons.names.tolist(), reasons.expected.round(1).tolist()
    ([['x1']], [[0.9]])
    """

    feature_names: tuple[str, ...]
    components: NDArray[np.int32]
    squared_distances: Array
    features: NDArray[np.intp]
    losses: Array
    observed: Array
    expected: Array
    deviations: Array

    @property
    def names(self) -> NDArray[np.object_]:
        """Names of the features (n, m); empty where a row has fewer values."""
        return np.array([*self.feature_names, ""], dtype=object)[self.features]

    def columns(self) -> dict[str, NDArray[Any]]:
        """A column each (n,) for a table: component, distance, and five for each feature."""
        found: dict[str, NDArray[Any]] = {
            "component": self.components,
            "squared_distance": self.squared_distances,
        }
        for i in range(self.features.shape[1]):
            own = {
                "feature": self.names,
                "observed": self.observed,
                "expected": self.expected,
                "sd": self.deviations,
                "loss": self.losses,
            }
            found |= {f"{name}_{i + 1}": values[:, i] for name, values in own.items()}
        return found

    def in_units_before(self, steps: Preprocessing | None, rows: Array) -> Self:
        """With values as they were before the steps of a model, as far as these have an inverse.

        Of steps that change each feature alone, such as `log`, the standard deviation is half the
        distance between what mean ± deviation were before them. Principal components, and what is
        made of them, keep their own values: no feature of the user's alone goes into them.

        Parameters
        ----------
        steps
            None leaves all as it is.
        rows : (n, d)
            The rows behind the steps.
        """
        if steps is None or not len(rows):
            return self
        before = [_Before(steps, rows, self.features[:, i]) for i in range(self.features.shape[1])]
        found: dict[str, list[Array]] = {"observed": [], "expected": [], "deviations": []}
        for i, own in enumerate(before):
            mean, deviation = self.expected[:, i], self.deviations[:, i]
            low, high = own.of(mean - deviation), own.of(mean + deviation)
            found["observed"].append(own.of(self.observed[:, i]))
            found["expected"].append(own.of(mean))
            found["deviations"].append(np.where(own.has_inverse, np.abs(high - low) / 2, deviation))
        arrays = {name: np.stack(parts, axis=1) for name, parts in found.items()}
        return type(self)(
            *(self.feature_names, self.components, self.squared_distances, self.features),
            *(self.losses, arrays["observed"], arrays["expected"], arrays["deviations"]),
        )


class _Before:
    """One feature of each row, before the steps of a model.

    Parameters
    ----------
    steps, rows
        As in `in_units_before`.
    features : (n,)
        The feature of each row behind the steps.
    """

    def __init__(self, steps: Preprocessing, rows: Array, features: NDArray[np.intp]) -> None:
        names, own = list(steps.input_names), steps.output_names
        places = np.array([*(names.index(n) if n in names else -1 for n in own), -1])
        self._steps, self._rows, self._features = steps, rows, features
        self._places = places[features]
        self.has_inverse = self._places >= 0

    def of(self, values: Array) -> Array:
        """Values (n,) of the features before the steps; as they are where there is no inverse."""
        numbers = np.arange(len(values))
        rows = self._rows.copy()
        rows[numbers, self._features] = values
        with np.errstate(all="ignore"):
            found = self._steps.inverse(rows)[numbers, self._places]
        return np.where(self.has_inverse, found, values)


def anomaly_reasons(
    model: ExplainingMixture,
    rows: NDArray[Any],
    components: NDArray[np.integer[Any]],
    n_features: int = N_REASONS,
) -> AnomalyReasons:
    """The reasons of rows (n, d), NaN where a value is missing, in the units of the fit.

    Parameters
    ----------
    model
        What they are rows of.
    rows
        A row without any value has no reason.
    components : (n,)
        The component of each; −1 has no reason, and noise (k) that of the nearest component.
    n_features
        Features of each row, at most.
    """
    n, d = rows.shape
    m = min(n_features, d)
    Y = model.standardisation.apply(np.asarray(rows, dtype=np.float64), np.float64)
    components = _gaussians(model.parameters, components, Y)
    result = _empty(model.feature_names, components, m)
    for k in np.unique(components[components >= 0]):
        own = np.flatnonzero(components == k)
        for pattern in rows_by_pattern(rows[own]):
            if pattern.observed.any():
                _explain(model, int(k), pattern.observed, own[pattern.rows], Y, result)
    at = np.maximum(result.features, 0)
    result.observed[:] = np.where(
        result.features >= 0, np.asarray(rows, np.float64)[np.arange(n)[:, None], at], np.nan
    )
    return result


def _gaussians(
    p: Parameters, components: NDArray[np.integer[Any]], Y: Array
) -> NDArray[np.integer[Any]]:
    """Components (n,) of rows Y (d, n), of those of the noise the most probable Gaussian."""
    if not len(noise := np.flatnonzero(components == p.n_components)):
        return components
    found = components.copy()
    scorer = Scorer(replace(p, noise=None))
    found[noise] = scorer.responsibilities(Y[:, noise]).argmax(axis=0)
    return found


def _empty(names: Sequence[str], components: NDArray[np.integer[Any]], m: int) -> AnomalyReasons:
    n = len(components)
    numbers = (np.full((n, m), np.nan) for _ in range(4))
    features = np.full((n, m), -1, dtype=np.intp)
    labels = components.astype(np.int32)
    return AnomalyReasons(tuple(names), labels, np.full(n, np.nan), features, *numbers)


def _explain(
    model: ExplainingMixture,
    k: int,
    observed: NDArray[np.bool_],
    rows: NDArray[np.intp],
    Y: Array,
    result: AnomalyReasons,
) -> None:
    """Write the reasons of rows of one component and one pattern."""
    features = np.flatnonzero(observed)
    parameters = model.parameters if observed.all() else model.parameters.marginal(features)
    found: LeftOut = left_out(parameters, k, Y[np.ix_(features, rows)], result.features.shape[1])
    own, scale = features[found.features], model.standardisation.scale
    own = np.where(found.features >= 0, own, -1)
    at: Any = np.ix_(rows, np.arange(own.shape[1]))
    result.squared_distances[rows] = found.squared_distance
    result.features[at], result.losses[at] = own, found.losses
    result.expected[at] = found.expected * scale[own] + model.standardisation.shift[own]
    result.deviations[at] = found.deviations * scale[own]
