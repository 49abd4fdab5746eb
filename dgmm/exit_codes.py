"""Exit codes: the number by which a command says how it ended."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line returns, one code for each end."""

    DONE = 0
    SKIPPED = 99
    USAGE = 2
    NOT_CONVERGED = 10
    DRIFT = 20
    DATA_INVALID = 65
    INPUT_NOT_FOUND = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    OUTPUT_EXISTS = 73
    OUTPUT_FAILED = 74
    STOPPED = 75
    JOB_FILE_INVALID = 78
