"""A peer that runs beside this process and answers one request at a time."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.mixtures import Mixture
from benchmarks.peers.environments import (
    MissingPeerError,
    PeerSpec,
    interpreter,
    last_line,
    variables,
)

_PATIENCE = 30.0  # seconds to end by itself
_PATIENT_S = 300.0  # for one answer, but whole fits


class PeerError(Exception):
    """A peer answered with an error, or not at all."""


class PeerProcess:
    """One peer, from its start to `close`.

    Raises
    ------
    MissingPeerError
        If it cannot be installed or started.
    """

    def __init__(self, spec: PeerSpec) -> None:
        self.name = spec.name
        python = interpreter(spec)
        script = Path(__file__).resolve().parent / spec.script
        self._folder = tempfile.TemporaryDirectory(prefix="dgmm-peer-")
        self._place = Path(self._folder.name)
        self._log = (self._place / "stderr").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=variables(),
            cwd=self._place,
        )
        try:
            self.about: dict[str, Any] = self._ask(do="about")
        except PeerError as error:
            self.close()
            raise MissingPeerError(f"{spec.name} could not be started: {error}") from error

    def prepare(self, X: NDArray[Any], start: Mixture) -> None:
        """Hand over rows and a start."""
        rows = self._place / "rows.npy"
        np.save(rows, X)
        path = start.save(self._place / "start.npz")
        self._ask(
            do="prepare", rows=str(rows), start=str(path), covariance_type=start.covariance_type
        )
        self._covariance_type = start.covariance_type
        rows.unlink()

    def step(self, times: int = 1) -> list[float]:
        """Let it take one iteration, `times` times; seconds of each."""
        answer = self._ask(do="step", times=times)
        self.n_iterations = int(answer["n_iterations"])
        return [float(taken) for taken in answer["seconds"]]

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def mixture(self) -> Mixture:
        """Where it stands."""
        path = self._place / "mixture.npz"
        self._ask(do="mixture", path=str(path))
        return Mixture.load(path, self._covariance_type)

    def fit(self, rows: Path, **words: Any) -> dict[str, Any]:
        """A whole fit; see the peer's own `fit`."""
        return self._ask(math.inf, do="fit", rows=str(rows), **words)

    def _ask(self, seconds: float = _PATIENT_S, **request: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise PeerError(f"{self.name} has no pipes")
        try:
            with self._ended_after(seconds):
                stdin.write(json.dumps(request) + "\n")
                stdin.flush()
                line = stdout.readline()
        except OSError as error:
            raise PeerError(f"{self.name} went away: {self._last_words()}") from error
        if not line:
            raise PeerError(f"{self.name} went away: {self._last_words()}")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise PeerError(f"{self.name} answered with no JSON: {line[:80]!r}") from error
        if "error" in answer:
            raise PeerError(f"{self.name}: {last_line(answer['error'])}")
        return answer

    @contextlib.contextmanager
    def _ended_after(self, seconds: float) -> Iterator[None]:
        """End the peer if it has not answered by then.

        Raises
        ------
        PeerError
            If it was ended.
        """
        if math.isinf(seconds):
            yield
            return
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self._process.kill()
            self._process.wait()

        watch = threading.Timer(seconds, end)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            watch.join()
        if is_late.is_set():
            raise PeerError(f"{self.name} did not answer within {seconds:g} s")

    def _last_words(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return last_line(self._log.read())

    def close(self) -> None:
        """End it: the end of its input is the end of its work."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
