"""What every figure has to know of a mixture: its components' order, colours and common scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dgmm.model.mixture_model import MixtureModel
from dgmm.report.charts.colour_maps import VIRIDIS, coloured
from dgmm.report.charts.svg import hexadecimal

Floats = NDArray[np.float64]

#: Of rows that are noise: the components' colours have no grey.
NOISE_COLOUR = np.array([0.45, 0.45, 0.45])


@dataclass(frozen=True)
class Components:
    """A mixture as the figures see it.

    Parameters
    ----------
    weights : ndarray (k,)
    means, deviations : ndarray (k, d)
        Means and standard deviations in the user's units.
    names : tuple of str
        One a feature.
    has_noise : bool
        Whether rows may have the label k, which is noise.
    """

    weights: Floats
    means: Floats
    deviations: Floats
    names: tuple[str, ...]
    has_noise: bool = False

    @classmethod
    def of(cls, model: MixtureModel) -> Components:
        """The components of a fitted mixture."""
        fitted = model.parameters
        variances = fitted.family.variances(
            fitted.covariances, model.n_components, model.n_features
        )
        # Not through variances in the user's units: those of values beyond 1e154 are infinite.
        deviations = np.sqrt(variances) * model.standardisation.scale
        names = tuple(map(str, model.feature_names))
        return cls(model.weights, model.means, deviations, names, fitted.noise is not None)

    @property
    def n_components(self) -> int:
        """The number of components, k."""
        return len(self.means)

    @property
    def n_features(self) -> int:
        """The number of features, d."""
        return len(self.names)

    @cached_property
    def heaviest(self) -> NDArray[np.int64]:
        """Component indices by falling weight."""
        return np.argsort(-self.weights, kind="stable")

    @cached_property
    def centre(self) -> Floats:
        """The mixture's mean (d,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.nan_to_num(self._shares @ self.means)

    @cached_property
    def _shares(self) -> Floats:
        return self.weights / max(float(self.weights.sum()), np.finfo(float).tiny)

    @cached_property
    def _scaled(self) -> tuple[Floats, Floats, Floats]:
        """Unit (d,), offsets of the means (k, d) and variances (k, d) in that unit.

        Squares are taken in each feature's own unit, so that values of 1e300 do not overflow.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            offsets = np.nan_to_num(self.means - self.centre)
            unit = np.maximum(np.abs(offsets).max(axis=0), self.deviations.max(axis=0))
            unit = np.where(unit > 0, unit, 1.0)
            return unit, offsets / unit, (self.deviations / unit) ** 2

    @cached_property
    def within(self) -> Floats:
        """Pooled standard deviation inside components (d,)."""
        unit, _, variances = self._scaled
        return np.asarray(unit * np.sqrt(self._shares @ variances))

    @cached_property
    def spread(self) -> Floats:
        """Standard deviation of the whole mixture (d,); 1 for a constant feature."""
        unit, offsets, variances = self._scaled
        total = unit * np.sqrt(self._shares @ (variances + offsets**2))
        return np.where(total > 0, total, 1.0)

    @cached_property
    def separation(self) -> Floats:
        """Variance between components over variance within them (d,); 0 for a constant feature."""
        _, offsets, variances = self._scaled
        between = self._shares @ offsets**2
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(between / (self._shares @ variances), nan=0.0, posinf=np.inf)

    @cached_property
    def standardised_means(self) -> Floats:
        """Means (k, d) as deviations from the mixture's mean in its standard deviations."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.nan_to_num((self.means - self.centre) / self.spread)

    @cached_property
    def along_axis(self) -> NDArray[np.int64]:
        """Component indices along the first principal axis of their means.

        The means are taken in pooled standard deviations; the axis points to where the features
        grow, so that for images the order runs from dark to bright.
        """
        scale = np.where(self.within > 0, self.within, self.spread)
        points = np.nan_to_num((self.means - self.centre) / scale)
        points /= max(float(np.abs(points).max()), np.finfo(float).tiny)
        weighted = np.sqrt(self._shares)[:, None] * points
        if self.n_features <= self.n_components:
            axis = np.linalg.eigh(weighted.T @ weighted)[1][:, -1]
        else:
            # The larger factor's Gram matrix would be d × d; both share their leading vector.
            axis = weighted.T @ np.linalg.eigh(weighted @ weighted.T)[1][:, -1]
        if axis.sum() < 0:
            axis = -axis
        return np.argsort(points @ axis, kind="stable")

    def colours_of(self, labels: NDArray[np.int64]) -> Floats:
        """Colours (m, 3) of rows by their labels; those of the noise are grey."""
        table = np.vstack([self.colours, NOISE_COLOUR])
        return np.asarray(table[np.minimum(labels, self.n_components)])

    @cached_property
    def colours(self) -> Floats:
        """RGB in [0, 1] of every component (k, 3): viridis along the principal axis."""
        k = self.n_components
        # The ends are cut off: near-black and bright yellow hardly show on white.
        places = np.linspace(0.04, 0.92, k) if k > 1 else np.array([0.35])
        colours = np.empty((k, 3))
        colours[self.along_axis] = coloured(VIRIDIS, places)
        return colours

    @cached_property
    def hexadecimal(self) -> tuple[str, ...]:
        """The colours of all components as `#rrggbb`."""
        return tuple(hexadecimal(colour) for colour in self.colours)
