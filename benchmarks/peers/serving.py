"""The peer's end of the conversation: a JSON line in, a JSON line out. Runs in its environment.

Rows and parameters travel as .npy and .npz files, so that both sides have the same numbers.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import traceback
from importlib import metadata
from typing import Any, Protocol

import numpy as np

N_THREADS = 2


class Peer(Protocol):
    """EM of one library, an iteration at a time.

    Attributes
    ----------
    packages
        Distributions whose versions are told.
    n_iterations
        M-steps since the start.
    """

    packages: tuple[str, ...]
    n_iterations: int

    def prepare(self, X: Any, start: dict[str, Any], covariance_type: str) -> None:
        """Stand at a start; `start` has weights, means, covariances and precisions."""

    def step(self, times: int) -> list[float]:
        """Do one iteration `times` times from the same parameters; seconds of each."""

    def mixture(self) -> dict[str, Any]:
        """Arrays weights, means and covariances of where EM stands now."""

    def kernels(self) -> str:
        """What the library's linear algebra runs on."""


def serve(peer: Peer) -> None:
    """Answer until stdin ends. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = _answer(peer, **json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side names it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(peer: Any, do: str, **words: Any) -> dict[str, Any]:
    if do == "about":
        return about(peer)
    if do == "prepare":
        with np.load(words["start"], allow_pickle=False) as arrays:
            start = {name: arrays[name] for name in arrays.files}
        peer.prepare(np.load(words["rows"]), start, words["covariance_type"])
        return {}
    if do == "step":
        taken = peer.step(words["times"])
        return {"seconds": taken, "n_iterations": peer.n_iterations}
    if do == "mixture":
        found = peer.mixture()
        np.savez(words["path"], **{k: np.asarray(v, np.float64) for k, v in found.items()})
        return {"n_iterations": peer.n_iterations}
    if do == "fit":
        return dict(peer.fit(np.load(words.pop("rows")), **words))
    raise ValueError(f"{do} is not known")


def about(peer: Peer) -> dict[str, Any]:
    """Versions, kernels and forced variables of this process."""
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in (*peer.packages, "numpy")},
        "kernels": peer.kernels(),
        "forced": sorted(v for v in os.environ if v.startswith("OPENBLAS_CORE")),
    }


def numpy_kernels() -> str:
    """The kernel of NumPy's BLAS, by threadpoolctl: `openblas SkylakeX, 2 threads`."""
    from threadpoolctl import threadpool_info  # noqa: PLC0415 - not every environment has it

    told = {
        f"{lib['internal_api']} {lib.get('architecture', '')}, {lib['num_threads']} threads"
        for lib in threadpool_info()
        if lib["user_api"] == "blas" and "numpy" in lib["filepath"]
    }
    return "; ".join(sorted(told))


def clocked(action: Any) -> tuple[float, Any]:
    """Seconds of an action, and what it gave."""
    begun = time.perf_counter()
    result = action()
    return time.perf_counter() - begun, result
