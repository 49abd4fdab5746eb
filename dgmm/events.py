"""Who listens to a job: progress, log files and tests, behind one small protocol.

The loop and the stages of a job tell what happens; they know no terminal and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Listener(Protocol):
    """What a job tells while it runs. Called from the driver's thread, in order."""

    def stage(self, name: str, detail: str) -> None:
        """Take note that a stage begins (`summary`, `542,450 rows of 27 features`)."""

    def trials(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take note of all starts that were tried on the sample; once, also in a run that goes on.

        Parameters
        ----------
        records
            Keys restart, start (its metric and number), mean_log_likelihood (None where components
            were lost) and rows (that this is of).
        """

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Take note that an EM pass has ended.

        Parameters
        ----------
        record
            Keys iteration, restart, mean_log_likelihood, change, kernel, dtype, backend (numpy,
            numba), seconds, rows, step (plain, accelerated, rejected); objective, which is what
            changed, where it is not the likelihood.
        """

    def mixtures(self, record: Mapping[str, Any]) -> None:
        """Take note of how far the mixtures of many classes and folds have come together.

        Parameters
        ----------
        record
            Keys of (mixtures), and begun (those that have starts), or pass, running (mixtures
            that go on), change (the largest of one), seconds, rows.
        """

    def component(self, record: Mapping[str, Any]) -> None:
        """Take note of what happened to a component (reseeded, dropped, variance_floored,
        regularised).

        Parameters
        ----------
        record
            Keys iteration, restart, component (None: all, which share a covariance), kind,
            message.
        """

    def warning(self, text: str) -> None:
        """Take note of something the user should look at."""

    def note(self, text: str) -> None:
        """Take note of something worth a line, such as the dashboard's address."""


class SilentListener:
    """Hears everything and says nothing."""

    def stage(self, name: str, detail: str) -> None:
        """Say nothing."""

    def trials(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Say nothing."""

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Say nothing."""

    def mixtures(self, record: Mapping[str, Any]) -> None:
        """Say nothing."""

    def component(self, record: Mapping[str, Any]) -> None:
        """Say nothing."""

    def warning(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
