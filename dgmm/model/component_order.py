"""Order of components, and components merged into clusters: what a mixture's numbers stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgmm.data.result_forms import as_given
from dgmm.errors import DataError
from dgmm.mixture.parameters import Parameters
from dgmm.model.scored_rows import NamedMixture, scored_rows
from dgmm.parameter_names import speaks_python
from dgmm.scoring.merging import merge_tree, merge_tree_without_noise

Mixture = TypeVar("Mixture", bound=NamedMixture)

#: Posteriors that components are merged by: three arrays of them take 48 MiB.
MOST_ROWS, MOST_POSTERIORS = 100_000, 2 * 1024 * 1024


def order_by_weight(parameters: Parameters) -> NDArray[np.intp]:
    """Components (k,), heaviest first; of equal weights that of the lower mean, feature by feature.

    The same whatever order the components come in, unless two of them are equal.
    """
    means = parameters.means.T[::-1]
    return np.asarray(np.lexsort((*means, -parameters.weights)))


@speaks_python
class OrderedComponents:
    """Methods of a model that number components and clusters."""

    __slots__ = ()

    def ordered_by_weight(self: Mixture) -> Mixture:  # noqa: PYI019 - Self is no protocol
        """The same mixture with its heaviest component first; equal weights by their means.

        Two fits that found the same mixture number its components alike then.

        Returns
        -------
        MixtureModel
            With clusters, if there are any, numbered by their first components.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> X = np.concatenate([rng.normal(9, 1, size=(500, 1)), rng.normal(0, 1, size=(1500, 1))])
        >>> model = GaussianMixture(2, random_state=0).fit(X).model_
        >>> model.ordered_by_weight().weights.round(2).tolist()
        [0.75, 0.25]
        """
        order = order_by_weight(self.parameters)
        clusters = self.clusters
        if clusters is not None:
            moved = [clusters[k] for k in order]
            numbers = {cluster: i for i, cluster in enumerate(dict.fromkeys(moved))}
            clusters = tuple(numbers[cluster] for cluster in moved)
        return _changed(self, parameters=self.parameters.take(order), clusters=clusters)

    def merge_components(  # noqa: PYI019 - Self is no protocol
        self: Mixture,
        X: Any,
        *,
        max_entropy: float = 0.01,
        min_overlap: float = 0.05,
        n_clusters: int | None = None,
    ) -> Mixture:
        """The same mixture with its components merged into clusters, which need not be Gaussian.

        Again and again the two clusters become one whose merging takes most of the entropy
        −Σ p log p of the posteriors away (Baudry et al., *J. Comput. Graph. Statist.* 19, 2010).

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them; of more than 100,000, or of 2 million posteriors,
            as many at even distances. Rows that cannot be scored are left out.
        max_entropy : float
            Merge until the clusters' posteriors have at most so many nats per row.
        min_overlap : float
            Or until the two that would be merged next hardly overlap: until merging them takes less
            than so many nats of entropy away per row of the smaller one.
        n_clusters : int, optional
            Or until there are so many clusters.

        Returns
        -------
        MixtureModel
            With `clusters`, the cluster of each component.

        Raises
        ------
        DataError
            (a ValueError) If the rows cannot be used, or there are fewer components than clusters.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> t = rng.uniform(0, np.pi, 3000)
        >>> bow = np.stack([10 * np.cos(t), 10 * np.sin(t)], 1) + rng.normal(size=(3000, 2))
        >>> X = np.concatenate([bow, rng.normal(40, 1, size=(1000, 2))])
        >>> model = GaussianMixture(5, random_state=0).fit(X).model_.merge_components(X)
        >>> np.bincount(model.predict_clusters(X)).tolist() in ([3000, 1000], [1000, 3000])
        True
        """
        k = self.parameters.n_components
        _check_end(n_clusters, {"max_entropy": max_entropy, "min_overlap": min_overlap}, k)
        R = scored_rows(X, self, "responsibilities")
        R = R[np.isfinite(R).all(axis=1)]  # rows that cannot be scored have none
        if not len(R):
            raise DataError("X has no row whose posteriors are known: every row lacks values")
        most = max(1, min(MOST_ROWS, MOST_POSTERIORS // k))
        if len(R) > most:
            R = R[np.linspace(0, len(R) - 1, most).astype(np.intp)]
        merge = merge_tree if self.parameters.noise is None else merge_tree_without_noise
        tree = merge(np.ascontiguousarray(R.T))
        n = tree.n_clusters(max_entropy, min_overlap) if n_clusters is None else n_clusters
        return _changed(self, clusters=tuple(tree.clusters(n).tolist()))

    def predict_clusters(self: NamedMixture, X: Any) -> Any:
        """Most probable cluster of each row, where components are merged.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them.

        Returns
        -------
        ndarray of int32, shape (n,)
            From 0. A cluster's probability is the sum of its components', so that it need not hold
            the row's most probable component.

        Raises
        ------
        DataError
            (a ValueError) If the model has no clusters, or the rows cannot be used.
        """
        if self.clusters is None:
            raise DataError(
                "the model has no clusters: merge_components(X) makes them, as does a job that "
                "merges components"
            )
        return as_given(X, scored_rows(X, self, "clusters"), "clusters")


def _check_end(n_clusters: Any, ends: Mapping[str, Any], k: int) -> None:
    """Refuse where merging of k components cannot end."""
    is_number = isinstance(n_clusters, Integral) and not isinstance(n_clusters, bool)
    if n_clusters is not None and not (is_number and 1 <= n_clusters <= k):
        raise DataError(f"n_clusters is {n_clusters!r}; expected a whole number from 1 to {k}")
    for name, value in ends.items():
        if not (isinstance(value, Real) and float(value) >= 0):
            raise DataError(f"{name} is {value!r}; expected a number of at least 0")


def _changed(model: Mixture, **values: Any) -> Mixture:
    return replace(model, **values)  # type: ignore[type-var]  # a dataclass, which no protocol says
