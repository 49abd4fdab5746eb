"""What a marginal kernel applies to rows of one pattern, or to masked rows of any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend
from dgmm.mixture.backends.lift_record import Lift
from dgmm.mixture.covariance.marginals import Conditional, Features
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel
from dgmm.mixture.kernels.tiles import Array
from dgmm.mixture.marginal.lifted_sums import LiftedSums
from dgmm.mixture.marginal.masked_centred_kernel import MaskedCentredKernel
from dgmm.mixture.marginal.masked_features import masked_moments
from dgmm.mixture.marginal.masked_kernel import MaskedKernel
from dgmm.mixture.marginal.patterns import Mask
from dgmm.mixture.marginal.rows_kernel import RowsKernel
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics


class KernelPart(Protocol):
    """A kernel, the features it is applied to, and what its statistics become."""

    @property
    def kernel(self) -> Kernel:
        """Applied to rows of these features."""

    @property
    def features(self) -> Features | None:
        """None for all."""

    @property
    def n_bytes(self) -> int:
        """What it takes to keep."""

    def add_lifted(self, statistics: Statistics, total: LiftedSums, backend: Backend) -> None:
        """Add statistics of all features about the old means."""


def conditional_of(parameters: Parameters, observed: Mask) -> tuple[Parameters, Conditional]:
    """The mixture of the observed features, and what it tells of the missing ones."""
    o, m = np.flatnonzero(observed), np.flatnonzero(~observed)
    known = parameters.marginal(o)
    given = parameters.family.conditional(
        *(parameters.covariances, known.precisions_cholesky, parameters.n_components, o, m)
    )
    return known, given


def _conditional_by(
    backend: Backend, parameters: Parameters, observed: Mask
) -> tuple[Parameters, Conditional, Lift | None]:
    """The same, with the lift where the backend has found it; else by the family."""
    p, family, d = parameters, parameters.family, parameters.n_features
    found = None
    if family.lifts_pairs:
        o, m = np.flatnonzero(observed), np.flatnonzero(~observed)
        found = backend.condition(p.covariances.reshape(-1, d, d), o, m)
    if found is None:
        return *conditional_of(p, observed), None
    factors, lift = found
    own = family.marginal(p.covariances, lift.observed)
    means, factors = p.means[:, lift.observed], factors.reshape(own.shape)
    known = Parameters(family, p.weights, means, own, factors)
    return known, Conditional.of_lift(lift, p.covariances, p.n_components), lift


def like(kernel: Kernel, parameters: Parameters) -> Kernel:
    """A kernel of the same kind and type for other parameters; none sums the scatter."""
    if kernel.is_exact:
        return CentredKernel.of(parameters)
    return ProductKernel.of(parameters, kernel.dtype)


def _owner(array: NDArray[Any]) -> NDArray[Any]:
    """What holds the memory that an array is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@dataclass(frozen=True, slots=True, eq=False)
class PatternPart:
    """Rows of one pattern: the mixture of their features, and the lift to all features.

    Attributes
    ----------
    kernel
        Of `known`.
    known : k components of q features
    conditional
        The missing features given these.
    lift
        What the backend lifts by, where it does.
    """

    kernel: Kernel
    known: Parameters
    conditional: Conditional
    lift: Lift | None

    @classmethod
    def of(
        cls, parameters: Parameters, complete: Kernel, observed: Mask, backend: Backend
    ) -> PatternPart:
        """Prepare a pattern for a kernel like that of complete rows."""
        known, given, lift = _conditional_by(backend, parameters, observed)
        kernel = like(complete, known)
        if lift is not None and kernel.reference is None:
            lift = replace(lift, points=np.ascontiguousarray(known.means))
        return cls(kernel, known, given, lift)

    @property
    def features(self) -> Features | None:
        """The observed ones."""
        return None if len(self.conditional.missing) == 0 else self.conditional.observed

    @property
    def n_bytes(self) -> int:
        """Of the arrays of kernel, parameters, conditional and lift, each once."""
        held = {id(owner): owner.nbytes for owner in map(_owner, self._arrays())}
        return sum(held.values())

    def _arrays(self) -> Iterator[NDArray[Any]]:
        records: tuple[Any, ...] = (self.kernel, self.known, self.conditional, self.lift)
        for record in records:
            if record is not None:
                values = (getattr(record, each.name) for each in fields(record))
                yield from (value for value in values if isinstance(value, np.ndarray))

    def add_lifted(self, statistics: Statistics, total: LiftedSums, backend: Backend) -> None:
        """A m₁ and A m₂ Aᵀ + n C about the old means; −½ tr(Λ_oo T) where that was left out."""
        log_likelihood, own = self._log_likelihood(statistics), total.statistics
        of_rows = statistics.sums, statistics.scatter
        if self.lift and backend.lift(self.lift, of_rows, (own.sums, own.scatter)):
            total.count(statistics, log_likelihood)
            return
        family, d = self.known.family, self.known.n_features
        points = self.known.means if statistics.reference is None else None
        moments = family.lifted(statistics.moments(family, d=d), self.conditional, points)
        lifted = replace(statistics, sums=moments.sums, scatter=moments.scatter)
        total.add(replace(lifted, log_likelihood=log_likelihood))

    def _log_likelihood(self, statistics: Statistics) -> float:
        """That of the rows, whole."""
        found, known = statistics.log_likelihood, self.known
        if self.kernel.is_complete:
            return found
        if statistics.scatter is None:
            raise ValueError("rows of a pattern need their scatter")
        factors, d = known.precisions_cholesky, known.n_features
        return found + known.family.pooled_log_prob(factors, statistics.scatter, d)


@dataclass(frozen=True, slots=True, eq=False)
class MaskedPart:
    """Complete rows, or rows of any pattern with their features masked."""

    kernel: Kernel
    means: Array

    @classmethod
    def of(cls, parameters: Parameters, complete: Kernel, *, is_complete: bool) -> MaskedPart:
        """For a kernel like that of complete rows, or that one itself."""
        if is_complete:
            return cls(complete, parameters.means)
        if complete.is_exact:
            return cls(MaskedCentredKernel.of(parameters), parameters.means)
        return cls(MaskedKernel.of(parameters, complete.dtype), parameters.means)

    @property
    def features(self) -> None:
        """All."""
        return

    @property
    def n_bytes(self) -> int:
        """Little."""
        return 4 * self.means.nbytes

    def add_lifted(self, statistics: Statistics, total: LiftedSums, backend: Backend) -> None:
        """The same moments about the old means, with Σ r of each feature's values."""
        family, d = self.kernel.family, self.means.shape[1]
        if statistics.sums.shape[1] == family.width(d):
            moments = statistics.moments(family)
            observed: NDArray[np.float64] = np.repeat(moments.counts[:, None], d, axis=1)
        else:
            moments, observed = masked_moments(family, statistics.sums, d)
        if statistics.reference is None:
            moments = family.recentred(moments, observed, self.means)
        total.add(replace(statistics, sums=moments.sums, observed=observed))


@dataclass(frozen=True, slots=True, eq=False)
class RowsPart:
    """Rows of patterns that few have, taken one by one."""

    kernel: RowsKernel

    @property
    def features(self) -> None:
        """All."""
        return

    @property
    def n_bytes(self) -> int:
        """Of the precisions."""
        return self.kernel.precisions.nbytes

    def add_lifted(self, statistics: Statistics, total: LiftedSums, backend: Backend) -> None:
        """They are of all features already."""
        total.add(statistics)
