"""Components merged into clusters on the sample: the tree for run.json, the level for the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.config import Job
from dgmm.config.merging import MOST_MERGED
from dgmm.fitting.fit import Fit
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.scoring.merging import MergeTree, merge_tree, merge_tree_without_noise
from dgmm.scoring.overlap import sample_posteriors

#: Rows of the sample, within so many posteriors: three arrays of them take 48 MiB, less than the
#: plan has for starts, whose memory is free again.
_MOST_ROWS, _MOST_POSTERIORS = 100_000, 2 * 1024 * 1024
#: Complete rows, for each component, from which on incomplete ones are left out.
_ROWS_OF_A_COMPONENT = 50


def with_clusters(
    job: Job, result: Fit, directory: RunDirectory, listener: RecordingListener
) -> Fit:
    """The fit with its merges recorded, and clusters in its model where the job writes them.

    More than 256 components are not merged: time grows with the square of their number.
    """
    k = result.model.n_components
    if k > MOST_MERGED:
        return result
    listener.stage("merging", f"{k} component{'s' * (k > 1)} into clusters, on the sample")
    tree, n_rows = _tree(result)
    asked = job.merging.n_clusters
    most, least = job.merging.max_entropy, job.merging.min_overlap
    n = tree.n_clusters(most, least) if asked is None else min(asked, k)
    clusters = tuple(tree.clusters(n).tolist())
    directory.record["merging"] = {
        "n_clusters": n,
        "clusters": list(clusters),
        "max_entropy": most if asked is None else None,
        "min_overlap": least if asked is None else None,
        "sample_rows": n_rows,
        "entropy": None,
        "entropies": list(tree.entropies),
        "merges": [merge.record() for merge in tree.merges],
    }
    if asked is not None and asked > k:
        listener.warning(f"merging.n_clusters is {asked}, and the mixture has {k} components")
    if n < k:
        left = tree.entropies[k - n]
        also = ""
        if asked is None and left > most:
            also = (
                f"; the next two to merge overlap by {tree.merges[k - n].overlap:.2g} nats per row "
                f"of the smaller one, less than merging.min_overlap = {least:g}"
            )
        listener.note(
            f"{k} components make {n} cluster{'s' * (n > 1)}, "
            f"with {left:.2g} nats of entropy per row{also}"
        )
    if not job.output.clusters:
        return result
    return replace(result, model=replace(result.model, clusters=clusters))


def _tree(result: Fit) -> tuple[MergeTree, int]:
    """Merges on the sample, and how many of its rows they are of."""
    sample, weights = result.sample, result.summary.sample_weights
    k = result.model.n_components
    places = _rows_to_merge_by(sample, k)
    most = min(_MOST_ROWS, _MOST_POSTERIORS // k)
    if len(places) > most:
        places = places[np.linspace(0, len(places) - 1, most).astype(np.intp)]
    weights = None if weights is None else weights[places]
    rows = result.model.standardisation.apply(sample[places], np.float64).T
    parameters = result.model.parameters
    merge = merge_tree if parameters.noise is None else merge_tree_without_noise
    return merge(sample_posteriors(parameters, rows), weights), len(rows)


def _rows_to_merge_by(sample: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Rows without a missing value, or all where these are few.

    A row that lacks the values which tell two components apart is uncertain however far these are
    from each other.
    """
    complete = np.flatnonzero(~np.isnan(sample).any(axis=1))
    return complete if len(complete) >= _ROWS_OF_A_COMPONENT * k else np.arange(len(sample))
