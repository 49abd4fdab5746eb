"""scikit-learn's whole fits, kept in a file: one takes minutes, and gives the same every time."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_data import FitData
from benchmarks.measuring import processor
from benchmarks.mixtures import Mixture
from benchmarks.peers.process import PeerProcess
from benchmarks.results import FOLDER, write_json

FILE = "scikit_learn_fits.json"


@dataclass(frozen=True, slots=True)
class ScikitLearnFit:
    """One fit with scikit-learn's defaults.

    Attributes
    ----------
    mean_log_likelihood : float
        Of all rows under the parameters it ends with.
    seconds_an_iteration : float
        What one iteration from a start beside the data took on the same day.
    was_kept : bool
        Whether it comes from the file.
    """

    seed: int
    seconds: float
    mean_log_likelihood: float
    n_iterations: int
    is_converged: bool
    seconds_an_iteration: float
    date: str
    was_kept: bool = False


class KeptFits:
    """The fits of one data set by one scikit-learn on one processor; `of` makes it."""

    def __init__(
        self, data: FitData, X: NDArray[Any], peer: PeerProcess, path: Path | None, key: str
    ) -> None:
        self._data, self._X, self._peer, self._path, self._key = data, X, peer, path, key
        self._pace = 0.0

    @classmethod
    def of(
        cls, data: FitData, X: NDArray[Any], peer: PeerProcess, *, is_trial: bool = False
    ) -> KeptFits:
        """The fits of these rows; a trial keeps nothing."""
        key = "; ".join(
            (
                f"{data.name} {X.shape[0]} × {X.shape[1]} {X.dtype}, k = {data.n_components}",
                f"rows {hashlib.sha256(np.ascontiguousarray(X)).hexdigest()[:16]}",
                f"scikit-learn {peer.about['versions']['scikit-learn']}",
                peer.about["kernels"],
                processor(),
            )
        )
        return cls(data, X, peer, None if is_trial else FOLDER / FILE, key)

    def find(self, seed: int) -> ScikitLearnFit | None:
        """The kept fit of a seed, if there is one."""
        found = self._all().get(self._key, {}).get(str(seed))
        return None if found is None else replace(ScikitLearnFit(**found), was_kept=True)

    def make(self, seed: int) -> ScikitLearnFit:
        """Let scikit-learn fit now, and keep what it gives."""
        pace = self.pace_now()
        with tempfile.TemporaryDirectory(prefix="dgmm-fit-") as folder:
            rows = Path(folder) / "rows.npy"
            np.save(rows, self._X)
            answer = self._peer.fit(
                rows,
                n_components=self._data.n_components,
                covariance_type=self._data.covariance_type,
                seed=seed,
            )
        date = datetime.now(UTC).strftime("%Y-%m-%d")
        made = ScikitLearnFit(seed=seed, **answer, seconds_an_iteration=pace, date=date)
        if self._path is not None:
            everything = self._all()
            everything.setdefault(self._key, {})[str(seed)] = asdict(made)
            write_json(self._path, everything)
        return made

    def pace_then(self) -> float | None:
        """Median seconds of an iteration when the kept fits were timed; None where none is kept."""
        kept = self._all().get(self._key, {}).values()
        return median(fit["seconds_an_iteration"] for fit in kept) if kept else None

    def pace_now(self) -> float:
        """Seconds of one iteration of scikit-learn on these rows; measured once."""
        if not self._pace:
            self._peer.prepare(self._X, self._start())
            self._pace = median(self._peer.step() + self._peer.step())
        return self._pace

    def _start(self) -> Mixture:
        """Rows from all over the data, and the covariance of all rows for every component."""
        k, n = self._data.n_components, len(self._X)
        covariance = np.cov(self._X, rowvar=False)
        is_full = self._data.covariance_type == "full"
        return Mixture(
            self._data.covariance_type,
            np.full(k, 1.0 / k),
            self._X[:: n // k][:k].astype(np.float64),
            np.repeat(covariance[None], k, axis=0) if is_full else covariance,
        )

    def _all(self) -> dict[str, Any]:
        if self._path is None or not self._path.is_file():
            return {}
        everything: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return everything
