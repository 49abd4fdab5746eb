"""The caller's main module, which every new process imports, and whether its call is guarded."""

from __future__ import annotations

import ast
import multiprocessing.process
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

_STANDARD_INPUT = "<stdin>"


def imported_main() -> Path | None:
    """The file that a new process imports as the caller's main module.

    None where it imports none: in an interactive session, for `python -c`, and for the
    `__main__` of a package, a folder or an archive (as multiprocessing.spawn decides it). The file
    need not exist: a program that is read from standard input is called `<stdin>`.
    """
    main = sys.modules.get("__main__")
    spec_name = str(getattr(getattr(main, "__spec__", None), "name", ""))
    file = getattr(main, "__file__", None)
    if file is None or getattr(sys, "frozen", False):
        return None
    if spec_name == "__main__" or spec_name.endswith(".__main__") or Path(file).stem == "ipython":
        return None
    folder = getattr(multiprocessing.process, "ORIGINAL_DIR", None) or ""
    return Path(folder, file)


def is_standard_input(main: Path) -> bool:
    """Whether the main module was read from standard input, where no other process finds it."""
    return main.name == _STANDARD_INPUT and not main.exists()


def is_surely_unguarded(main: Path) -> bool:
    """Whether the main module is just running a statement that every new process would run too.

    Only a statement outside any condition counts, in a file that compares `__name__` with
    nothing above it: whatever is less certain is left to fail on its own.
    """
    line, statements = _line_of_main(), _statements(main)
    if line is None or statements is None:
        return False
    running = list(_around(statements, line))
    before = [s for s in statements if s.lineno <= line]
    return (
        bool(running) and not any(map(_is_condition, running)) and not any(map(_compares, before))
    )


def is_unguarded(main: Path) -> bool:
    """Whether the running call of the main module stands under no comparison of `__name__`.

    Something else may prevent a new process from running it; so this explains a failure
    that has happened, and refuses nothing. From a thread, any such comparison counts.
    """
    statements = _statements(main)
    if statements is None:
        return False
    line = _line_of_main()
    if line is None:
        return not any(map(_compares, statements))
    leaves_early = any(_compares(s, ast.NotEq) for s in statements if s.lineno <= line)
    around = list(_around(statements, line))
    tests = [s.test for s in around if isinstance(s, ast.If | ast.While)]
    tests += [s.subject for s in around if isinstance(s, ast.Match)]
    is_guarded = any(map(_names, tests)) or any(map(_compares, around[-1:]))
    return not leaves_early and not is_guarded


def _statements(main: Path) -> list[ast.stmt] | None:
    try:
        return ast.parse(main.read_bytes()).body
    except (OSError, ValueError, SyntaxError, RecursionError):
        return None


def _line_of_main() -> int | None:
    """The line of the main module that this thread is running."""
    return next((frame.f_lineno for frame in _frames() if _is_of_main(frame)), None)


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - CPython's documented way to the stack
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_of_main(frame: FrameType) -> bool:
    main = sys.modules.get("__main__")
    is_module = frame.f_code.co_name == "<module>"
    return is_module and main is not None and frame.f_globals is vars(main)


def _around(statements: list[ast.stmt], line: int) -> Iterator[ast.stmt]:
    """The statements that contain a line, from the outermost to the innermost."""
    for statement in statements:
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno):
            yield statement
            yield from _around(_below(statement), line)


def _below(node: ast.AST) -> list[ast.stmt]:
    """The nearest statements inside: of every branch, `except` and `case` clause."""
    found: list[ast.stmt] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            found.append(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            found += _below(child)
    return found


def _is_condition(statement: ast.stmt) -> bool:
    """Whether a statement may be skipped in another process; `if True:` may not."""
    if isinstance(statement, ast.If):
        return not (isinstance(statement.test, ast.Constant) and statement.test.value)
    return isinstance(statement, ast.Match)


def _compares(statement: ast.stmt, operator: type[ast.cmpop] = ast.cmpop) -> bool:
    """Whether `__name__` is compared with something anywhere in a statement."""
    if operator is ast.cmpop and isinstance(statement, ast.Match) and _names(statement.subject):
        return True
    return any(
        isinstance(node, ast.Compare) and _names(node) and isinstance(node.ops[0], operator)
        for node in ast.walk(statement)
    )


def _names(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node))
