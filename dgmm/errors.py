"""One error class for each way a command can fail, each with its exit code.

Imports nothing but the codes, so that every package may raise them. Messages say what was found
and expected, where, and what to do.
"""

from __future__ import annotations

from dgmm.exit_codes import ExitCode

#: Noted on an error whose traceback lies in the run directory.
TRACE_KEPT = "the traceback is in error.txt there"


class DgmmError(Exception):
    """What a user can fix; carries the exit code of the command line."""

    exit_code = ExitCode.INTERNAL


class UsageError(DgmmError):
    """The command line's words are off."""

    exit_code = ExitCode.USAGE


class DataError(DgmmError, ValueError):
    """The data, or a model, are not what they have to be."""

    exit_code = ExitCode.DATA_INVALID


class DataTypeError(DataError, TypeError):
    """What was given is of a type that is not read; a TypeError, as scikit-learn's is."""


class InputNotFoundError(DgmmError):
    """An input is absent or cannot be read."""

    exit_code = ExitCode.INPUT_NOT_FOUND


class DataNotFoundError(InputNotFoundError, DataError):
    """The rows are absent or cannot be read: no array lies where they were looked for."""


class UnavailableError(DgmmError):
    """No scheduler, no workers, workers or storage that fail, or an optional package is absent."""

    exit_code = ExitCode.UNAVAILABLE


class PoisonBlocksError(UnavailableError):
    """Blocks of rows that end every worker process that works on them.

    Parameters
    ----------
    ended
        How many workers they ended.
    blocks
        The first block and the one after the last.
    rows
        The first row and the one after the last, where the data are known.
    """

    def __init__(self, ended: str, blocks: tuple[int, int], rows: tuple[int, int] | None) -> None:
        self.ended, self.blocks = ended, blocks
        where = _numbered("block", *blocks) + (f" ({_numbered('row', *rows)})" if rows else "")
        super().__init__(
            f"{where} ended {ended}. Expected workers to survive every block: raise "
            "cluster.memory_limit if they ran out of memory, else look for a damaged chunk or a "
            "crashing codec in these rows"
        )


def _numbered(noun: str, start: int, stop: int) -> str:
    return f"{noun} {start}" if stop == start + 1 else f"{noun}s {start} to {stop - 1}"


class OutputExistsError(DgmmError):
    """The output path holds another job, is locked, or cannot be created."""

    exit_code = ExitCode.OUTPUT_EXISTS


class OutputFailedError(DgmmError):
    """Writing failed after the run had begun (disk full, read-only)."""

    exit_code = ExitCode.OUTPUT_FAILED


class StoppedError(BaseException):
    """A signal ended the command; the same command goes on.

    Like KeyboardInterrupt no Exception: whoever handles errors of data or of Dask lets it pass.
    """

    exit_code = ExitCode.STOPPED


class JobFileError(DgmmError):
    """The job file does not say what a job needs; all faults are listed at once."""

    exit_code = ExitCode.JOB_FILE_INVALID


class ComponentError(DgmmError, ValueError):
    """No mixture can be made of these rows (a start failed, every component collapsed)."""

    exit_code = ExitCode.DATA_INVALID


class NotFittedError(DgmmError, ValueError, AttributeError):
    """The estimator was asked for results before `fit`; a ValueError, as scikit-learn's is."""


class ConvergenceWarning(UserWarning):
    """The fit ended without convergence; the text says why and what to do."""
