"""How far from the origin a row may be for its log densities to hold as products.

Digits are lost by ‖y‖², and by ‖y‖·‖μ‖ where a mean is farther out than the row and its component
has a part in it all the same: one that is wide towards the origin and narrow across, such as
correlated features with a few very large values. (‖μ‖² alone takes no digits of a row nearby: what
of μ is not along the wide axes is then about as long as y.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import LOG_2PI, Array
from dgmm.mixture.parameters import Parameters

#: exp of less is 0: a log responsibility below takes no part in sums.
_LEAST_LOG = -800.0


def squared_radius_of_products(
    parameters: Parameters, relative_error: float, tolerance: float, *, lacks_values: bool = False
) -> float:
    """Greatest ‖y‖² of rows whose log densities have at most an error of `tolerance`, nats.

    Parameters
    ----------
    parameters
        Whose log densities; 0 where a covariance is singular.
    relative_error
        Of a log density, times λ_max(Λ_k) and the larger of ‖y‖² and ‖y‖·‖μ_k‖.
    lacks_values
        Rows may lack values: of those that a row has, a far mean may be near.
    """
    p, limit = parameters, tolerance / relative_error
    greatest = p.precision_bound
    if not (np.isfinite(greatest) and greatest > 0.0):
        return 0.0
    radius = float(np.sqrt(limit / greatest))
    with np.errstate(over="ignore", divide="ignore"):
        bounds = p.precision_bounds
        distances = np.sqrt((p.means**2).sum(axis=1))
        is_far = distances > radius
        if not lacks_values:
            is_far &= ~_out_of_reach(p, bounds, distances, radius, relative_error)
        of_means = limit / (bounds[is_far] * distances[is_far])
    return float(min(radius, of_means.min(initial=radius)) ** 2)


def _out_of_reach(
    p: Parameters, bounds: Array, distances: Array, radius: float, relative_error: float
) -> NDArray[np.bool_]:
    """Whether a component's responsibility for rows up to a radius is 0 in any case, (k,)."""
    k, d = p.n_components, p.n_features
    norms = p.log_weights + p.family.half_log_det_precision(p.precisions_cholesky, k, d)
    norms = norms - 0.5 * d * LOG_2PI
    best = (norms - 0.5 * bounds * (radius + distances) ** 2).max()
    widest = p.family.variances(p.covariances, k, d).sum(axis=1)
    own = norms - 0.5 * (distances - radius) ** 2 / widest
    return np.asarray(own + relative_error * bounds * distances**2 < best + _LEAST_LOG)
