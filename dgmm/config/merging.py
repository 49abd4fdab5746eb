"""The job's `merging` section: which components are one cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dgmm.config.settings import Settings
from dgmm.config.values import Count

#: Components up to which they are merged: time grows with the square of their number.
MOST_MERGED = 256


class MergingSettings(Settings):
    """Components merged into clusters, which need not be Gaussian."""

    max_entropy: Annotated[float, Field(strict=False, ge=0.0, allow_inf_nan=False)] = 0.01
    """Components are merged until the entropy of the clusters' posteriors is at most so many nats
    per row of the sample."""
    min_overlap: Annotated[float, Field(strict=False, ge=0.0, allow_inf_nan=False)] = 0.05
    """Merging stops before that where the two clusters that would be next hardly overlap: where
    merging them takes less than so many nats of entropy away per row of the smaller one. 0 leaves
    it to `max_entropy` alone."""
    n_clusters: Count | None = None
    """The number of clusters, whatever their entropy; null leaves it to `max_entropy` and
    `min_overlap`."""
