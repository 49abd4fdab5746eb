"""Why worker processes cannot be started here: found before they are, or told by the cause."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from dgmm.errors import UnavailableError

_REMEDY = 'Put the call under `if __name__ == "__main__":`, or use cluster.kind: threads'


def refuse_where_no_process_can_start() -> None:
    """Refuse to start worker processes where they would fail, or run the caller's script again.

    Raises
    ------
    UnavailableError
        In a process that is itself starting, in a daemonic process, and in a script whose call of
        dgmm is not guarded: each worker process imports that script.
    """
    process = multiprocessing.current_process()
    script = _main_script()
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
    if script is not None and _is_unguarded(script):
        raise UnavailableError(
            f'{script} starts worker processes outside `if __name__ == "__main__":`. Each worker '
            f"imports the script and would run it again. {_REMEDY}"
        )


def _main_script() -> Path | None:
    """The file that a new process would import as the caller's main module, if any."""
    main = sys.modules.get("__main__")
    spec_name = getattr(getattr(main, "__spec__", None), "name", None)
    file = getattr(main, "__file__", None)
    if spec_name is not None or file is None or getattr(sys, "frozen", False):
        return None  # python -m, an interactive session, one executable: nothing is run again
    path = Path(file)
    return path if path.suffix == ".py" and path.is_file() else None


def _is_unguarded(script: Path) -> bool:
    """Whether the main module is just running a statement that every new process would run too.

    Only a statement outside any condition is judged, in a file without a condition on `__name__`
    above it: whatever is less certain is left to fail on its own.
    """
    line = next((frame.f_lineno for frame in _frames() if _is_of_main(frame)), None)
    if line is None:
        return False
    try:
        statements = ast.parse(script.read_text("utf-8")).body
    except (OSError, ValueError, SyntaxError):
        return False
    running = [s for s in statements if s.lineno <= line <= (s.end_lineno or s.lineno)]
    before = [s for s in statements if s.lineno <= line]
    is_conditional = any(isinstance(s, ast.If | ast.Match) for s in running)
    return bool(running) and not is_conditional and not any(map(_asks_for_the_name, before))


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - CPython's documented way to the stack
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_of_main(frame: FrameType) -> bool:
    main = sys.modules.get("__main__")
    is_module = frame.f_code.co_name == "<module>"
    return is_module and main is not None and frame.f_globals is vars(main)


def _asks_for_the_name(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If):
        return False
    names = [node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)]
    return "__name__" in names


def start_error(n_workers: int, error: BaseException) -> UnavailableError:
    """The error for a local cluster that did not start, with the innermost cause in its text."""
    causes = [error]
    while (inner := causes[-1].__cause__ or causes[-1].__context__) and inner not in causes:
        causes.append(inner)
    told = next((cause for cause in reversed(causes) if str(cause)), error)
    text = " ".join(str(told).split()) or type(told).__name__
    hint = "Try cluster.kind: threads, or fewer workers."
    if (script := _main_script()) is not None and "__name__" not in _source(script):
        hint = f"{script} has no such guard, and each worker imports it. {_REMEDY}."
        text += '; worker processes need `if __name__ == "__main__":` in the main script'
    return UnavailableError(
        f"the local cluster of {n_workers} workers did not start: {text} "
        f"({type(told).__name__}). {hint}"
    )


def _source(script: Path) -> str:
    try:
        return script.read_text("utf-8", errors="replace")
    except OSError:
        return ""
