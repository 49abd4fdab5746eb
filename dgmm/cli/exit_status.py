"""Exit code, status and reason of a command, and its last line on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgmm.errors import TRACE_KEPT, DgmmError, StoppedError
from dgmm.exit_codes import ExitCode
from dgmm.terminal_text import printable


@dataclass(slots=True)
class Invocation:
    """What is known of a command while it runs.

    Attributes
    ----------
    directory
        The run directory, once the job is known.
    """

    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """The result of one command.

    Attributes
    ----------
    exit_code
        What the process returns.
    status
        `done`, `failed` or `stopped`; empty where no line is printed (`--help`).
    message
        The reason; details on lines below it.
    directory
        The run directory, where there is one.
    """

    exit_code: ExitCode
    status: str = ""
    message: str = ""
    directory: Path | None = None

    def lines(self) -> list[str]:
        """Details first, and last the line `status: reason (run directory)`."""
        if not self.status:
            return []
        reason, *details = [printable(line) for line in self.message.splitlines()] or [""]
        place = f" ({printable(str(self.directory))})" if self.directory is not None else ""
        return [*details, f"{self.status}: {reason}{place}"]


def exit_status_of(error: BaseException, invocation: Invocation) -> ExitStatus:
    """Exit code, status and message of an error."""
    directory = invocation.directory
    if isinstance(error, KeyboardInterrupt | StoppedError):
        return ExitStatus(ExitCode.STOPPED, "stopped", _stop_reason(error, directory), directory)
    if isinstance(error, DgmmError):
        return ExitStatus(error.exit_code, "failed", str(error), directory)
    reason = printable(str(error).partition("\n")[0])
    is_kept = TRACE_KEPT in getattr(error, "__notes__", ())
    trace = TRACE_KEPT if is_kept else "set DGMM_TRACEBACK=1 to see the traceback"
    text = f"internal error: {type(error).__name__}: {reason}; {trace}"
    return ExitStatus(ExitCode.INTERNAL, "failed", text, directory)


def _stop_reason(error: BaseException, directory: Path | None) -> str:
    """The signal's name, and for a run how to continue it."""
    reason = "Ctrl-C received" if isinstance(error, KeyboardInterrupt) else str(error)
    return reason if directory is None else f"{reason}; run the same command again to continue"
