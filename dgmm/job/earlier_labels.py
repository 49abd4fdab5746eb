"""How an earlier run's model and this run's label the same rows, those of the sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.selected_features import SelectedFeatures
from dgmm.fitting.comparison.label_agreement import contingency
from dgmm.fitting.comparison.label_matrix import LabelMatrix, noise_label
from dgmm.fitting.fit import Fit
from dgmm.job.directory import RunDirectory
from dgmm.job.earlier_run import EarlierModel
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.monitoring import rows_of_earlier
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.overlap import MOST_COMPONENTS, sample_labels

#: Rows of the sample, within so many posteriors: at 10 features about a second.
_MOST_ROWS, _MOST_POSTERIORS = 100_000, 32 * 1024 * 1024


def note_earlier_labels(
    job: Job,
    rows: Dataset,
    result: Fit,
    earlier: EarlierModel | None,
    directory: RunDirectory,
    recording: RecordingListener,
) -> None:
    """Record the label matrix of the model that the job monitors and the fitted one.

    For at most `MOST_COMPONENTS` labels of each: the matrix grows with the square of their number.
    """
    if earlier is None:
        return
    model, before = result.model, earlier.model
    if (k := max(model.n_labels, before.n_labels)) > MOST_COMPONENTS:
        recording.note(
            f"labels of {k:,} components are not compared with the earlier model's: more than "
            f"{MOST_COMPONENTS:,}"
        )
        return
    recording.stage("label_matrix", f"labels of {earlier.path} and of this run, on the sample")
    most = min(_MOST_ROWS, _MOST_POSTERIORS // max(model.n_labels, before.n_labels))
    sample = result.sample[_evenly(len(result.sample), most)]
    taken, _ = rows_of_earlier(job, rows, earlier, "monitor.against")
    seen = sample[:, taken.columns] if isinstance(taken, SelectedFeatures) else sample
    counts = contingency(
        _labels(before, seen), _labels(model, sample), (before.n_labels, model.n_labels)
    )
    found = LabelMatrix.of(counts, (noise_label(before), noise_label(model)))
    directory.record["drift"]["labels"] = found.record()
    recording.note(
        f"{100 * found.moved:.3g} % of {found.n_rows:,} rows of the sample are in another cluster "
        f"than under the earlier model; adjusted Rand index {found.adjusted_rand_index:.3f}"
    )
    recording.end_stage()
    directory.write()


def _labels(model: MixtureModel, rows: NDArray[np.generic]) -> NDArray[np.int64]:
    return sample_labels(model.parameters, model.standardisation.apply(rows, np.float64).T)


def _evenly(n: int, most: int) -> NDArray[np.intp]:
    if n <= most:
        return np.arange(n)
    return np.linspace(0, n - 1, most).astype(np.intp)
