"""What a user sees while a job runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from dgmm.cli.streams import UnbreakableStream, print_line
from dgmm.events import Listener
from dgmm.terminal_text import printable

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def progress(*, quiet: bool = False, n_init: int = 1) -> Iterator[Listener]:
    """The listener that fits stderr.

    Parameters
    ----------
    quiet : bool
        Whether to print warnings only.
    n_init : int
        Restarts of the fit; with more than one, lines name it.
    """
    is_watched = UnbreakableStream(sys.stderr).isatty() and os.environ.get("TERM") != "dumb"
    if quiet:
        yield QuietLines()
        return
    with ExitStack() as stack:
        lines = PlainLines(n_init=n_init)
        if is_watched:
            lines = LiveProgress(stack.enter_context(live_display()), n_init=n_init)
        stack.callback(lines.end_components)
        yield lines


class QuietLines:
    """Prints warnings and nothing else, on stderr."""

    def stage(self, name: str, detail: str) -> None:
        """Not printed."""

    def trials(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Not printed: a note names the start that is selected."""

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Not printed."""

    def mixtures(self, record: Mapping[str, Any]) -> None:
        """Not printed."""

    def component(self, record: Mapping[str, Any]) -> None:
        """Not printed: run.json has it."""

    def warning(self, text: str) -> None:
        """Print the warning."""
        self._line(f"warning: {text}")

    def note(self, text: str) -> None:
        """Not printed."""

    def _line(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        print_line(printable(text), sys.stderr)


#: Lines printed of components to which the same happens in one iteration.
_MOST_COMPONENT_LINES = 3


class PlainLines(QuietLines):
    """Prints every event on stderr, a line each; of many components' alike the first few.

    Parameters
    ----------
    n_init : int
        Restarts of the fit.
    """

    def __init__(self, n_init: int = 1) -> None:
        self._n_init = n_init
        self._kind: str | None = None
        self._n_alike = 0

    def stage(self, name: str, detail: str) -> None:
        """Print the stage that begins."""
        self._line(f"{name}: {detail}" if detail else name)

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Print the iteration, its likelihood and rate."""
        self._line(iteration_words(record, self._n_init))

    def mixtures(self, record: Mapping[str, Any]) -> None:
        """Print how far all mixtures have come."""
        self._line(mixtures_words(record))

    def component(self, record: Mapping[str, Any]) -> None:
        """Print what happened to a component; where it happens to many, count the others."""
        kind = record.get("kind")
        if kind is None or kind != self._kind:
            self.end_components()
        self._kind, self._n_alike = kind, self._n_alike + 1
        if self._n_alike <= _MOST_COMPONENT_LINES:
            self._print(str(record["message"]))

    def end_components(self) -> None:
        """Print how many components more the same happened to, if any."""
        n_more = self._n_alike - _MOST_COMPONENT_LINES
        self._kind, self._n_alike = None, 0
        if n_more > 0:
            more = f"{n_more:,} component{'s' * (n_more > 1)} more"
            self._print(f"... and {more} (events.jsonl has all)")

    def note(self, text: str) -> None:
        """Print the note."""
        self._line(text)

    def _line(self, text: str) -> None:
        self.end_components()
        self._print(text)


class LiveProgress(PlainLines):
    """Prints every event; iterations replace each other in one live line.

    Parameters
    ----------
    display : rich.progress.Progress
        Running.
    n_init : int
        Restarts of the fit.
    """

    def __init__(self, display: Progress, n_init: int = 1) -> None:
        super().__init__(n_init)
        self._display = display
        self._task = display.add_task("starting", total=None)

    def stage(self, name: str, detail: str) -> None:
        """Print the stage that begins, and show it in the live line."""
        super().stage(name, detail)
        self._display.reset(self._task, total=None, description=printable(name))

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Show the iteration in the live line."""
        self.end_components()
        self._display.update(self._task, description=iteration_words(record, self._n_init))

    def mixtures(self, record: Mapping[str, Any]) -> None:
        """Show in the live line how far all mixtures have come."""
        self.end_components()
        self._display.update(self._task, description=mixtures_words(record))

    def _print(self, text: str) -> None:
        from rich.text import Text  # noqa: PLC0415 - only on a terminal

        self._display.console.print(Text(printable(text)))


@contextmanager
def live_display() -> Iterator[Progress]:
    """A bar without end (how many iterations EM needs is not known), the words, the time so far."""
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import (  # noqa: PLC0415 - only on a terminal
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        BarColumn(bar_width=12),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("ETA unknown"),
    )
    console = Console(file=UnbreakableStream(sys.stderr))  # type: ignore[arg-type] # writes text
    with Progress(*columns, console=console, transient=True) as display:
        yield display


def iteration_words(record: Mapping[str, Any], n_init: int = 1) -> str:
    """`iteration 2: mean log-likelihood -12.345678, change 1.2e-05, 812,000 rows/s (from sd 5)`."""
    restart = f"restart {record['restart']}, " if n_init > 1 else ""
    if "n_components" in record:
        fold = f" without fold {record['fold']}" if record.get("fold") is not None else ""
        k = record["n_components"]
        model = f"{k} {record['covariance_type']} component{'s' * (k > 1)}{fold}"
        restart = f"{model}, {restart}"
    begun = f" (from {record['start']})" if record.get("start") else ""
    change, rate = record.get("change"), _rate(record)
    moved = f"change {change:.2g}, " if change is not None and change == change else ""  # noqa: PLR0124 - NaN
    words = f"mean log-likelihood {record['mean_log_likelihood']:.6f}, "
    if (objective := record.get("objective")) is None:
        words += moved
    else:  # what the change is of
        words = f"objective {objective:.6f}, {moved}{words}"
    return f"{restart}iteration {record['iteration']}: {words}{rate}{begun}"


def mixtures_words(record: Mapping[str, Any]) -> str:
    """`pass 12: 138 of 550 mixtures go on, largest change 0.0012, 3,490 rows/s`."""
    if "pass" not in record:
        return f"{record['begun']:,} of {record['of']:,} mixtures have starts"
    change = record["change"]
    moved = f"largest change {change:.2g}, " if change is not None else ""
    going = f"{record['running']:,} of {record['of']:,} mixtures go on"
    return f"pass {record['pass']}: {going}, {moved}{_rate(record)}"


def _rate(record: Mapping[str, Any]) -> str:
    seconds = record.get("seconds") or 0.0
    return f"{record['rows'] / seconds:,.0f} rows/s" if seconds > 0 else "rate unknown"
