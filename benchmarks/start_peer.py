"""scikit-learn's fits with its defaults, kept in a file: those of the large data take minutes.

What they give does not depend on how busy the machine is, so they are kept with the rows' checksum
and used again. Ten fits of one start each, seeds 0 to 9, are what `n_init=10` makes of other random
numbers: their best is its result, and the first five are single fits to compare with.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np

from benchmarks.results import FOLDER, write_json
from benchmarks.start_data import Array, StartData

N_FITS = 10


class ScikitLearn:
    """Mean log-likelihoods of scikit-learn's fits.

    Parameters
    ----------
    path : Path, optional
        Of the file that they are kept in.
    """

    def __init__(self, path: Path = FOLDER / "scikit_learn_starts.json") -> None:
        self._path = path

    def mean_log_likelihoods(self, data: StartData, X: Array) -> list[float]:
        """Of `N_FITS` fits to rows X (n, d), by seed, nats per row; those not kept are made."""
        key = self._key(data, X)
        found: list[float] = self._kept().get(key, [])
        for seed in range(len(found), N_FITS):
            found.append(_fit(data, X, seed))
            write_json(self._path, self._kept() | {key: found})
        return found

    def _key(self, data: StartData, X: Array) -> str:
        import sklearn  # noqa: PLC0415 - takes a second to import

        rows = hashlib.sha256(np.ascontiguousarray(X)).hexdigest()[:16]
        return f"{data}; rows {rows}; scikit-learn {sklearn.__version__}"

    def _kept(self) -> dict[str, list[float]]:
        if not self._path.is_file():
            return {}
        kept: dict[str, list[float]] = json.loads(self._path.read_text(encoding="utf-8"))
        return kept


def _fit(data: StartData, X: Array, seed: int) -> float:
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - takes a second to import

    peer = GaussianMixture(
        data.n_components, covariance_type=data.covariance_type, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 100 iterations that were not enough
        return float(peer.fit(X).score(X))
