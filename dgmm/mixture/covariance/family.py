"""What every covariance family answers; `full`, `tied`, `diag` and `spherical` are its members.

With features φ(y) = [quadratic(y), y, 1] and natural parameters η_k = [quadratic part, Λμ, c],
`η_k · φ(y) = log π_k + log N(y | μ_k, Σ_k)` (Bishop, PRML, §2.4): a pass is two matrix products.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance.conjugate import Conjugate
from dgmm.mixture.covariance.marginals import Marginals
from dgmm.mixture.covariance.moments import Array, Moments

__all__ = ["LOG_2PI", "Array", "Family", "Moments", "QuadraticPart", "SharedFamily", "Tile"]

Tile = NDArray[np.floating]

LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True)
class QuadraticPart:
    """Rows [start, stop) of the quadratic part of φ, which features [first, last) give rise to."""

    first: int
    last: int
    start: int
    stop: int

    @property
    def height(self) -> int:
        """Rows of φ."""
        return self.stop - self.start


@dataclass(frozen=True)
class Family(Marginals, Conjugate, ABC):
    """One way to share and shape covariances.

    Shapes of `covariances` and `precisions_cholesky`: full (k, d, d), tied (d, d), diag (k, d),
    spherical (k,). All values are float64.
    """

    #: The quadratic part of φ as compiled code knows it: `pairs` (y_i·y_j, i ≤ j), `squares` (y²),
    #: `norm` (Σ y²), `none`. One of another width is computed by `fill_quadratic`, tile by tile.
    form = "none"
    #: The `covariance_type` whose shapes and meaning its arrays have in scikit-learn, if any.
    scikit_learn_type: ClassVar[str | None] = None
    #: Invariant under a common scale of all features only, so y has one scale for all.
    common_scale = False
    #: All components have one covariance.
    is_shared = False

    @abstractmethod
    def quadratic_width(self, d: int) -> int:
        """Rows of the quadratic part of φ."""

    def quadratic_parts(self, d: int, most_rows: int) -> tuple[QuadraticPart, ...]:
        """Cut the quadratic part of φ into parts of about that many rows; whole by default."""
        del most_rows
        return (QuadraticPart(0, d, 0, self.quadratic_width(d)),)

    def scatter_width(self, d: int) -> int:
        """Numbers of the scatter: second moments that are summed over the components as well.

        Where there are any, yᵀΛy is common to all components: φ does not hold it (the product
        kernel is then not `is_complete`), and the kernel's `common_log_prob` gives it row by row.
        """
        del d
        return 0

    def empty_scatter(self, d: int) -> Array | None:
        """A scatter of no rows; None where the family has none."""
        width = self.scatter_width(d)
        return np.zeros(width) if width else None

    def scatter(self, D: Array, r: Array | None = None) -> Array:
        """Scatter (s,) of deviations D (d, b) with weights r (b,), or 1 each."""
        del D, r
        return np.empty(0)

    def pooled_log_prob(self, precisions_cholesky: Array, scatter: Array, d: int) -> float:
        """−½ tr(ΛT): the sum of −½ yᵀΛy over rows with that scatter T about the origin."""
        del precisions_cholesky, scatter, d
        return 0.0

    @abstractmethod
    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        """Write a part of the quadratic part of φ for rows Y (d, b) into out (height, b)."""

    @abstractmethod
    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Quadratic part of η, (k, q)."""

    @abstractmethod
    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        """Linear part of η: Λ_k μ_k, (k, d)."""

    @abstractmethod
    def whiten(self, precisions_cholesky: Array, k: int, D: Array) -> Array:
        """U_kᵀ D for deviations D (d, b)."""

    @abstractmethod
    def second_moment(self, D: Array, r: Array) -> Array:
        """Σ r quadratic(D) for one component: D (d, b), r (b,) to (q,)."""

    @abstractmethod
    def covariances(self, moments: Moments) -> Array:
        """Covariances of maximum likelihood, not regularised; components without rows give NaN."""

    @abstractmethod
    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """Covariances with `regularisation` (d,) added to the variances."""

    @abstractmethod
    def precisions_cholesky(self, covariances: Array) -> Array:
        """U with Σ⁻¹ = U Uᵀ; NaN for components whose covariance is numerically singular."""

    def precisions(self, precisions_cholesky: Array) -> Array:
        """Σ⁻¹ from its factors."""
        return precisions_cholesky**2

    @abstractmethod
    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """½ log|Λ_k| = Σ log diag U_k, (k,)."""

    @abstractmethod
    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        """Upper bound of the largest eigenvalue of Λ_k, (k,)."""

    @abstractmethod
    def full_covariance(self, covariances: Array, k: int, d: int) -> Array:
        """Covariance of component k as a (d, d) matrix: for tests and for who asks for one."""

    def covariance_among(self, covariances: Array, k: int, features: NDArray[Any], d: int) -> Array:
        """Rows and columns of that matrix that belong to some of the features."""
        return np.asarray(self.full_covariance(covariances, k, d)[np.ix_(features, features)])

    def smallest_eigenvalue(self, covariances: Array, k: int, d: int) -> float:
        """Of component k's covariance."""
        return float(np.linalg.eigvalsh(self.full_covariance(covariances, k, d))[0])

    def correlated(self, covariances: Array, k: int, noise: Array) -> Array:
        """Standard normal rows (n, d) to rows with component k's covariance."""
        L = np.linalg.cholesky(self.full_covariance(covariances, k, noise.shape[1]))
        return np.asarray(noise @ L.T)

    def trace_with(self, precisions_cholesky: Array, k: int, variances: Array) -> float:
        """tr(Λ_k V) for V = diag(variances), (d,)."""
        return float((self.whiten(precisions_cholesky, k, np.diag(np.sqrt(variances))) ** 2).sum())

    def largest_with(self, precisions_cholesky: Array, k: int, variances: Array) -> float:
        """Largest eigenvalue of √V Λ_k √V for V = diag(variances), (d,)."""
        whitened = self.whiten(precisions_cholesky, k, np.diag(np.sqrt(variances)))
        return float(np.linalg.norm(whitened, 2) ** 2)

    def difference_from_first(
        self, precisions_cholesky: Array, covariances: Array, k: int, d: int
    ) -> float:
        """Largest entry of |U_0ᵀ Σ_k U_0 − I|: how unlike the first covariance the k-th is."""
        half = self.whiten(precisions_cholesky, 0, self.full_covariance(covariances, k, d))
        ratio = self.whiten(precisions_cholesky, 0, np.ascontiguousarray(half.T))
        return float(np.abs(ratio - np.eye(d)).max())

    @abstractmethod
    def variances(self, covariances: Array, k: int, d: int) -> Array:
        """Variances of all k components, (k, d)."""

    @abstractmethod
    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """Covariances of y·scale, for scale (d,); equal entries where `common_scale`."""

    @abstractmethod
    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Precision factors of y·scale."""

    @abstractmethod
    def n_parameters(self, k: int, d: int) -> int:
        """Free numbers in the covariances."""

    def least_rows(self, k: int, d: int) -> int:
        """Rows without which some covariance is singular, however they are parted."""
        del d
        return 2 * k

    @abstractmethod
    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of `covariances`."""

    def is_singular(self, precisions_cholesky: Array, k: int) -> NDArray[np.bool_]:
        """Components without a usable precision, (k,)."""
        return np.asarray(~np.isfinite(precisions_cholesky.reshape(k, -1)).all(axis=1))

    def asymmetric_entry(self, matrices: Array, eps: float) -> tuple[int, ...] | None:
        """Index of an entry unlike the one opposite it, in covariances or precisions of a user.

        `eps` is the relative rounding of the type they came in. Vectors have no such entry.
        """
        del matrices, eps
        return None

    def upper_factors(self, factors: Array) -> Array | None:
        """Precision factors that a user gives, as `precisions_cholesky` has them; None where they
        are none.
        """
        return factors if (factors > 0).all() else None

    def inverse(self, covariances: Array) -> Array:
        """Precisions from covariances, and back."""
        return 1.0 / covariances

    def log_factors(self, covariances: Array) -> Array:
        """Roots of the covariances, variances' in logarithms: no real number is out of bounds."""
        return np.asarray(0.5 * np.log(covariances))

    def covariances_of_log_factors(self, log_factors: Array) -> Array:
        """Covariances from such roots."""
        return np.asarray(np.exp(2.0 * log_factors))

    def take(self, covariances: Array, components: NDArray[np.intp]) -> Array:
        """Covariances of some of the components."""
        return covariances[components]

    def replaced(self, covariances: Array, k: int, new: Array) -> Array:
        """Covariances with that of component k set to the one-component value `new`."""
        changed = covariances.copy()
        changed[k] = new
        return changed

    def pooled(self, covariances: Array, weights: Array) -> Array:
        """Average of the components' covariances, of the shape of one component's."""
        shares = weights / weights.sum()
        return np.asarray(np.tensordot(shares, covariances, axes=1))

    def width(self, d: int) -> int:
        """Length p of φ."""
        return self.quadratic_width(d) + d + 1

    def natural_parameters(
        self, log_weights: Array, means: Array, precisions_cholesky: Array
    ) -> Array:
        """η (k, p), columns in the order of φ: quadratic, linear, constant."""
        k, d = means.shape
        linear = self.linear_parameters(precisions_cholesky, means)
        constant = (
            log_weights
            + self.half_log_det_precision(precisions_cholesky, k, d)
            - 0.5 * (d * LOG_2PI + (linear * means).sum(axis=1))
        )
        quadratic = self.quadratic_parameters(precisions_cholesky, k, d)
        return np.concatenate([quadratic, linear, constant[:, None]], axis=1)


@dataclass(frozen=True)
class SharedFamily(Family):
    """A family whose components have one covariance: it has no axis of components."""

    is_shared = True

    def is_singular(self, precisions_cholesky: Array, k: int) -> NDArray[np.bool_]:
        """All components or none."""
        return np.full(k, not np.isfinite(precisions_cholesky).all())

    def take(self, covariances: Array, components: NDArray[np.intp]) -> Array:
        """The shared Σ stays."""
        return covariances

    def replaced(self, covariances: Array, k: int, new: Array) -> Array:
        """A component brings no covariance of its own."""
        return covariances

    def pooled(self, covariances: Array, weights: Array) -> Array:
        """Σ itself."""
        return covariances
