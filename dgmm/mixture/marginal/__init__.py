"""Rows with missing values: their marginal densities, and exact EM over them without imputing.

`marginal_kernel` is what a pass of EM applies to blocks whose rows may lack values, `masked_kernel`
what it uses where features are independent, `pattern_kernel` elsewhere. `scorer` gives marginal
densities, posteriors, entropies and conditional means of fixed parameters, and `given_posteriors`
the statistics of rows whose posteriors are known, such as labels of k-means.

NaN is a missing value; a row without any value must be left out before. Values are missing at
random: whether one is missing depends on observed values alone.
"""

from dgmm.mixture.marginal.given_posteriors import statistics_of_posteriors
from dgmm.mixture.marginal.marginal_e_step import marginal_e_step
from dgmm.mixture.marginal.marginal_kernel import MarginalKernel
from dgmm.mixture.marginal.patterns import PatternRows, rows_by_pattern
from dgmm.mixture.marginal.prepared_parts import PreparedParts
from dgmm.mixture.marginal.scorer import MarginalScorer, PatternScores

__all__ = [
    "MarginalKernel",
    "MarginalScorer",
    "PatternRows",
    "PatternScores",
    "PreparedParts",
    "marginal_e_step",
    "rows_by_pattern",
    "statistics_of_posteriors",
]
