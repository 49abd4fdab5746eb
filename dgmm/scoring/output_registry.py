"""The arrays that are written for each row: what each holds, and how it follows from scores.

`ROW_OUTPUTS` has the built-in ones, which the keys of a job's `output` section switch on and off.
An array that is registered there (`ROW_OUTPUTS[name] = RowOutput(name, …)`), or that an installed
package declares as an entry point of the group `dgmm.outputs`, is written by every job.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_block import Mask
from dgmm.data.transforms.asked_step import RESIDUAL, residual_place
from dgmm.registry import Registry

#: More components than these are not listed as flags one by one.
_LISTED_COMPONENTS = 256


@dataclass(frozen=True, slots=True, eq=False)
class ScoredBlock:
    """Scores of all b rows of a block; dropped rows have label −1, and NaN in place of numbers.

    Attributes
    ----------
    labels : (b,) int32
        Most probable component.
    max_posterior : (b,) float32
        Its posterior.
    log_density : (b,) float64
        Nats, in the units of the data; −inf where the density underflows.
    anomaly : (b,) int8 or None
        1 below the model's threshold, 0 elsewhere, −1 for dropped rows; None without a threshold.
    posteriors : (b, k) or None
        None unless an output needs them.
    complete : (b,) bool or None
        Rows that are not dropped; None for all.
    completed_log_density : (b,) float64
        log p(x_o) − Σ r_k h_k of rows that lack values, with h_k the entropy of the missing ones
        given the observed ones: what log_density is expected to be once they are known. That of
        complete rows is their log_density.
    clusters : (b,) int32 or None
        Most probable cluster of merged components; None where none are merged.
    imputed, imputed_sd : (b, d) or None
        Values, expected ones where they are missing, and the standard deviations of these; 0 where
        a value is not missing. None unless an output needs them.
    residuals : (b, r) or None
        Distances of rows from what the components of each `pca` give back of them, those of dropped
        rows included; None where nothing has read them.
    """

    labels: NDArray[np.int32]
    max_posterior: NDArray[np.float32]
    log_density: NDArray[np.float64]
    anomaly: NDArray[np.int8] | None
    posteriors: NDArray[Any] | None
    complete: Mask | None
    completed_log_density: NDArray[np.float64]
    clusters: NDArray[np.int32] | None = None
    imputed: NDArray[np.float64] | None = None
    imputed_sd: NDArray[np.float64] | None = None
    residuals: NDArray[np.float64] | None = None

    def is_own(self, values: NDArray[Any]) -> bool:
        """Whether values are scores as they are, in which dropped rows are filled in."""
        own = (
            *(self.labels, self.max_posterior, self.log_density, self.anomaly, self.posteriors),
            *(self.completed_log_density, self.clusters, self.imputed, self.imputed_sd),
        )
        return any(values is array for array in own)


def _no_flags(n_components: int) -> dict[int, str]:
    """Values are numbers, not codes."""
    del n_components
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class RowOutput:
    """One output array; picklable, so that worker processes can write it.

    Attributes
    ----------
    name : str
        Of the array in outputs.zarr.
    dtype : str
        Of the values written.
    fill : float
        Value of a dropped row.
    values : callable
        From a `ScoredBlock` of b rows to (b,) values, or (b, k) where `is_per_component`.
    long_name : str
        What the array holds, by the CF conventions.
    is_per_feature : bool
        One value for each feature, written in the same way.
    is_per_component : bool
        One value for each component in place of one per row: written block by block, in chunks of
        at most 16 MiB.
    needs_posteriors : bool
        Whether `values` reads all posteriors.
    needs_clusters : bool
        Whether `values` reads clusters, which only a model with merged components has.
    flags : callable
        Meanings of values that are codes, from the number of components.
    names_noise : bool
        Whether the code behind the last component's is noise, where there is any.
    """

    name: str
    dtype: str
    fill: float
    values: Callable[[ScoredBlock], NDArray[Any]]
    long_name: str
    is_per_component: bool = False
    needs_posteriors: bool = False
    needs_clusters: bool = False
    is_per_feature: bool = False
    flags: Callable[[int], dict[int, str]] = _no_flags
    names_noise: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether a row has several values: they are written block by block."""
        return self.is_per_component or self.is_per_feature

    def shape(self, n_labels: int, n_features: int) -> tuple[int, ...]:
        """Of the values of one row; labels are the components, and one more with noise."""
        if self.is_per_feature:
            return (n_features,)
        return (n_labels,) if self.is_per_component else ()

    def row_bytes(self, n_labels: int, n_features: int) -> int:
        """Bytes of one row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape(n_labels, n_features))

    def attributes(self, n_components: int, *, has_noise: bool = False) -> dict[str, Any]:
        """Attributes of the array, by the CF conventions.

        Densities are of the features in the data's own units: their unit is 1. Features have
        several.
        """
        attributes: dict[str, Any] = {"long_name": self.long_name}
        attributes |= {} if self.is_per_feature else {"units": "1"}
        flags = self.flags(n_components)
        if has_noise and self.names_noise:
            flags = flags | {n_components: "noise"}
        if flags:
            attributes |= {"flag_values": list(flags), "flag_meanings": " ".join(flags.values())}
        return attributes

    def of(self, block: ScoredBlock) -> NDArray[Any]:
        """The values to write, (b, …) of the dtype."""
        found = self.values(block)
        values = found.astype(self.dtype, copy=False)
        if block.complete is None or block.is_own(found):
            return values
        values = values.copy()
        values[~block.complete] = self.fill
        return values


def _label_flags(n_components: int) -> dict[int, str]:
    """A code per component, unless they are many."""
    few = range(n_components if n_components <= _LISTED_COMPONENTS else 0)
    return {-1: "row_left_out"} | {k: f"component_{k}" for k in few}


def _cluster_flags(n_components: int) -> dict[int, str]:
    """How many clusters there are does not follow from the components."""
    del n_components
    return {-1: "row_left_out"}


def _anomaly_flags(n_components: int) -> dict[int, str]:
    del n_components
    return {-1: "row_left_out", 0: "no_anomaly", 1: "anomaly"}


def _residual(block: ScoredBlock, place: int) -> NDArray[np.float64]:
    """That of one `pca`."""
    if block.residuals is None:
        raise RuntimeError("residuals of rows that were read without them")
    return block.residuals[:, place]


def _residual_output(name: str, place: int) -> RowOutput:
    return RowOutput(
        *(name, "float64", _NAN, partial(_residual, place=place)),
        "distance of the row from its reconstruction by the principal components",
    )


_NAN = float("nan")
#: What jobs that classify write in place of labels and responsibilities.
CLASSES, CLASS_POSTERIORS = "classes", "class_posteriors"
_BUILT_IN = (
    RowOutput(
        *("labels", "int32", -1, attrgetter("labels")),
        "most probable component of the mixture",
        flags=_label_flags,
        names_noise=True,
    ),
    RowOutput(
        *("max_posterior", "float32", _NAN, attrgetter("max_posterior")),
        "posterior probability of the most probable component",
    ),
    RowOutput(
        *("log_density", "float64", _NAN, attrgetter("log_density")),
        "natural logarithm of the probability density of the mixture (nats)",
    ),
    RowOutput(
        *("completed_log_density", "float64", _NAN, attrgetter("completed_log_density")),
        "log density less the entropy of the values that a row lacks (nats)",
    ),
    RowOutput(
        *("anomaly", "int8", -1, attrgetter("anomaly")),
        "whether the density lies below the anomaly threshold",
        flags=_anomaly_flags,
    ),
    RowOutput(
        *("responsibilities", "float32", _NAN, attrgetter("posteriors")),
        "posterior probability of each component",
        is_per_component=True,
        needs_posteriors=True,
    ),
    RowOutput(
        *("clusters", "int32", -1, attrgetter("clusters")),
        "most probable cluster of merged components",
        needs_clusters=True,
        flags=_cluster_flags,
    ),
    RowOutput(
        *("imputed", "float64", _NAN, attrgetter("imputed")),
        "values of the features, expected ones where they are missing",
        is_per_feature=True,
    ),
    RowOutput(
        *("imputed_sd", "float64", _NAN, attrgetter("imputed_sd")),
        "standard deviations of expected values; 0 where a value is not missing",
        is_per_feature=True,
    ),
    _residual_output(RESIDUAL, 0),
    RowOutput(
        *(CLASSES, "int32", -1, attrgetter("labels")),
        "most probable class of the row: a place in the attribute class_names",
    ),
    RowOutput(
        *(CLASS_POSTERIORS, "float32", _NAN, attrgetter("posteriors")),
        "posterior probability of each class",
        is_per_component=True,
        needs_posteriors=True,
    ),
)
#: What anomalies go by where rows lack values.
COMPLETED = "completed_log_density"
#: Output arrays by name, in the order in which they are written.
ROW_OUTPUTS: Registry[RowOutput] = Registry(
    "output", "dgmm.outputs", {o.name: o for o in _BUILT_IN}, RowOutput
)
#: Those that a job's `output` section switches; all others are written by every job.
SWITCHED = frozenset(o.name for o in _BUILT_IN)


def row_output(name: str) -> RowOutput:
    """The output of a name: of the registry, or `residual_2`, that of the second of several `pca`.

    Raises
    ------
    DgmmError
        As the registry, if there is none.
    """
    place = residual_place(name)
    if place is None or name in ROW_OUTPUTS:
        return ROW_OUTPUTS.named(name)
    return _residual_output(name, place)
