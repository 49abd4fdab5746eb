"""Why worker processes cannot be started here: found before they are, or explained by the cause."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from dgmm.errors import UnavailableError
from dgmm.execution.main_module import (
    imported_main,
    is_standard_input,
    is_surely_unguarded,
    is_unguarded,
)

_GUARD = '`if __name__ == "__main__":`'
_REMEDY = f"Put the call under {_GUARD}, or use cluster.kind: threads"


def refuse_where_no_process_can_start() -> None:
    """Refuse to start worker processes where they would fail, or run the caller's script again.

    Raises
    ------
    UnavailableError
        In a process that is itself starting, in a daemonic process, and in a script whose call of
        dgmm is not guarded, or that is no file: each worker process imports that script.
    """
    process = multiprocessing.current_process()
    script = imported_main()
    if getattr(process, "_inheriting", False):
        raise UnavailableError(
            f"this process is a worker that imports {script or 'the main script'}, which starts "
            f"worker processes again. {_REMEDY}"
        )
    if process.daemon:
        raise UnavailableError(
            f"worker processes cannot be started from {process.name}: it is a daemonic process (of "
            "a multiprocessing pool, or a Dask worker), and those may have no children. Use "
            "cluster.kind: threads, or call dgmm from the main process"
        )
    if script is not None:
        _refuse_script(script)


def _refuse_script(script: Path) -> None:
    if is_standard_input(script):
        raise UnavailableError(
            "the program is read from standard input (<stdin>), and each worker process imports "
            f"the main script from its file. Save it as a file, with the call under {_GUARD}, or "
            "use cluster.kind: threads"
        )
    if not script.is_file():
        raise UnavailableError(
            f"the main script {script} is not there any more, and each worker process imports it. "
            "Restore it, or use cluster.kind: threads"
        )
    if is_surely_unguarded(script):
        raise UnavailableError(
            f"{script} starts worker processes outside {_GUARD}. Each worker "
            f"imports the script and would run it again. {_REMEDY}"
        )


def start_error(n_workers: int, error: BaseException) -> UnavailableError:
    """The error for a local cluster that did not start, with the innermost cause in its text."""
    causes = [error]
    while (inner := causes[-1].__cause__ or causes[-1].__context__) and inner not in causes:
        causes.append(inner)
    deepest = next((cause for cause in reversed(causes) if str(cause)), error)
    text = " ".join(str(deepest).split()) or type(deepest).__name__
    error_text = f"{text} ({type(deepest).__name__})"
    script = imported_main()
    if script is not None and is_unguarded(script):
        return UnavailableError(
            f"the local cluster of {n_workers} workers did not start: each worker imports "
            f"{script}, which calls dgmm outside {_GUARD} and would do so again there "
            f"(Dask: {error_text}). {_REMEDY}"
        )
    return UnavailableError(
        f"the local cluster of {n_workers} workers did not start: {error_text}. Try cluster.kind: "
        "threads, or fewer workers."
    )
