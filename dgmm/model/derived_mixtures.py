"""What follows from a fitted mixture: marginals, conditionals, distances, levels of density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgmm.data.open_dataset import opened_rows
from dgmm.data.result_forms import as_given
from dgmm.errors import DataError
from dgmm.mixture.distances import level_of_draws, level_of_gaussian, mahalanobis_distances
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal.kernel_parts import conditional_of
from dgmm.mixture.parameters import Parameters
from dgmm.model.named_features import (
    Feature,
    count_of,
    generator_of,
    numbers_of,
    share_of,
    value_of,
)
from dgmm.model.scored_rows import NamedMixture, taken_rows
from dgmm.parameter_names import speaks_python
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.blas_threads import limited_thread

Mixture = TypeVar("Mixture", bound=NamedMixture)
Array = NDArray[np.float64]


class DensityLevel(NamedTuple):
    """A log density, in nats and in the units of the data, and its standard error."""

    log_density: float
    standard_error: float


@speaks_python
class DerivedMixtures:
    """Methods of a model for mixtures of some of its features, distances and levels of density."""

    __slots__ = ()

    @limited_thread()
    def marginal(self: Mixture, features: Sequence[Feature]) -> Mixture:  # noqa: PYI019 - Self is no protocol
        """The mixture of some of the features, whatever the others are.

        Components, weights and clusters stay; each component is the marginal of its own, of the
        same covariance type. The threshold of anomalies is left out: it is of all features.

        Parameters
        ----------
        features : sequence of str or int
            Names of features, or their numbers from 0, in the order that they shall have. Of a
            model with `preprocess` those behind its steps; the marginal has no steps.

        Returns
        -------
        MixtureModel
            Of these features alone.

        Raises
        ------
        DataError
            (a ValueError) If a feature is unknown or comes twice, if there is none, or if the
            model is variational.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal([1, 2, 3], 1.0, size=(5000, 3))
        >>> model = GaussianMixture(1).fit(X).model_
        >>> model.marginal(["x2", "x0"]).means.round().tolist()
        [[3.0, 1.0]]
        """
        _refuse_variational(self.parameters, "marginal")
        chosen = np.array(numbers_of(self.feature_names, features), dtype=np.intp)
        return _of_features(self, chosen, self.parameters.marginal(chosen))

    @limited_thread()
    def conditional(self: Mixture, values: Mapping[Feature, float]) -> Mixture:  # noqa: PYI019 - Self is no protocol
        """The mixture of the other features, given the values of some.

        A component's weight becomes its posterior given these values; its mean moves by the
        regression on them, and its covariance loses what they explain. The covariance type stays.

        Parameters
        ----------
        values : mapping of str or int to float
            Values in the units of the data by names of features, or by their numbers from 0. Of a
            model with `preprocess` of the features behind its steps.

        Returns
        -------
        MixtureModel
            Of the features without a value, in their order.

        Raises
        ------
        DataError
            (a ValueError) If a feature is unknown or comes twice, all or none are given, a value is
            no finite number, or the model is variational.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).multivariate_normal([0, 5], [[1, 0.8], [0.8, 1]], 20_000)
        >>> model = GaussianMixture(1).fit(X).model_
        >>> given = model.conditional({"x0": 2.0})
        >>> given.means.round(1).tolist(), given.covariances.round(1).tolist()
        ([[6.6]], [[[0.4]]])
        """
        _refuse_variational(self.parameters, "conditional")
        if not isinstance(values, Mapping) or not values:
            raise DataError(
                f"values are {values!r}; expected a value for each of some features, by name: "
                "{'x0': 1.5}"
            )
        known = np.array(numbers_of(self.feature_names, list(values)), dtype=np.intp)
        if len(known) == self.parameters.n_features:
            raise DataError("values of all features are given; leave out those that are asked for")
        row = np.array([value_of(name, value) for name, value in values.items()])
        own = self.standardisation.of_features(known)
        order = np.argsort(known)
        return _of_features(
            self,
            np.setdiff1d(np.arange(self.parameters.n_features), known),
            _given(self.parameters, known[order], own.means_from_user(row)[order]),
        )

    @limited_thread()
    def mahalanobis(self: NamedMixture, X: Any) -> Any:
        """Mahalanobis distance of each row from every component.

        √((x − μ_k)ᵀ Σ_k⁻¹ (x − μ_k)), which has no unit: of a Gaussian its square is χ² with d
        degrees of freedom.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Distances.

        Raises
        ------
        DataError
            (a ValueError) If the rows cannot be used, or hold NaN or infinity.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal([3, 5], [1, 10], size=(50_000, 2))
        >>> model = GaussianMixture(1, covariance_type="diag").fit(X).model_
        >>> model.mahalanobis([[3, 5], [5, 5], [3, 35]]).round(1).tolist()
        [[0.0], [2.0], [3.0]]
        """
        with opened_rows(X) as rows:
            dataset = taken_rows(rows, self)
            found = np.empty((dataset.n_samples, self.n_components))
            for block in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)):
                if not np.isfinite(block.values).all():
                    raise DataError(
                        f"rows {block.start:,} to {block.stop - 1:,} hold NaN or infinity, which "
                        "have no distance. Drop such rows first"
                    )
                Y = self.standardisation.apply(block.values, np.float64)
                found[block.start : block.stop] = mahalanobis_distances(self.parameters, Y).T
        return as_given(X, found, "mahalanobis")

    @limited_thread()
    def density_level(
        self: NamedMixture,
        mass: float,
        rng: np.random.Generator | int | None = None,
        n_samples: int = 100_000,
    ) -> DensityLevel:
        """The log density above which so much of the mixture's mass lies.

        The rows of higher density are the smallest region of that mass, its highest-density region
        (Hyndman 1996). Of one component the level is exact, by χ²; of several it is a quantile of
        the log densities of rows that are drawn from the mixture.

        Parameters
        ----------
        mass : float
            Between 0 and 1: 0.99 leaves one row in a hundred below the level.
        rng : numpy.random.Generator or int, optional
            Source of randomness, or its seed; None is seed 0, so that the level is always the same.
        n_samples : int
            How many rows are drawn.

        Returns
        -------
        DensityLevel
            `log_density`, to be compared with `score_samples`, and `standard_error`, both in nats;
            the error of an exact level is 0.

        Raises
        ------
        DataError
            (a ValueError) If `mass` is not between 0 and 1, or fewer than 100 rows are to be drawn.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(50_000, 2))
        >>> model = GaussianMixture(1).fit(X).model_
        >>> level = model.density_level(0.9).log_density
        >>> round(float((model.score_samples(X) > level).mean()), 2)
        0.9
        """
        p, share, n = self.parameters, share_of("mass", mass), count_of("n_samples", n_samples)
        if p.n_labels == 1 and p.expected_log_weights is None:
            return DensityLevel(level_of_gaussian(p, share) - self.log_volume, 0.0)
        level, error = level_of_draws(p, share, n, generator_of("rng", 0 if rng is None else rng))
        return DensityLevel(level - self.log_volume, error)


def _given(parameters: Parameters, observed: NDArray[np.intp], row: Array) -> Parameters:
    """Parameters of the other features, given standardised values (q,) of these, ascending."""
    p, k = parameters, parameters.n_components
    mask = np.zeros(p.n_features, np.bool_)
    mask[observed] = True
    known, conditional = conditional_of(p, mask)
    posterior = Scorer(known).responsibilities(row[:, None])[:, 0]
    D = row[:, None] - known.means[:, :, None]
    means = np.stack([conditional.mean(p.means, j, D[j])[:, 0] for j in range(k)])
    covariances = conditional.covariance
    if covariances is None:  # features are independent within a component
        covariances = p.family.marginal(p.covariances, conditional.missing)
    weights, noise = posterior / posterior.sum(), p.noise
    if noise is not None:
        noise = noise.marginal(conditional.missing).with_weight(float(weights[k]))
    return Parameters.of(p.family, weights[:k], means, covariances, noise)


def _of_features(model: Mixture, features: NDArray[np.intp], parameters: Parameters) -> Mixture:
    """The model with parameters of some of its features, without steps and threshold."""
    steps, units = model.preprocess, dict(model.feature_units)
    if steps is not None:
        units = steps.units(units)
    names = tuple(model.feature_names[i] for i in features)
    changes = {
        "parameters": parameters,
        "standardisation": model.standardisation.of_features(features),
        "feature_names": names,
        "anomaly_threshold": None,
        "anomaly_quantile": None,
        "preprocess": None,
        "feature_units": {name: units[name] for name in names if name in units},
    }
    made: Mixture = replace(model, **changes)  # type: ignore[type-var] # the model is a dataclass
    return made


def _refuse_variational(parameters: Parameters, what: str) -> None:
    if parameters.expected_log_weights is not None:
        raise DataError(
            f"a variational mixture has no {what}: what is added to its log densities is an "
            "expectation for whole rows. Fit by maximum likelihood or map"
        )
