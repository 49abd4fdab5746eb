"""pyarrow, imported when a table is first opened, and its refusals in words."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError, DataNotFoundError, UnavailableError
from dgmm.storage.retry import is_transient

#: Rows that are read at once: of 100 features some 50 MB.
BATCH_ROWS = 65_536


def arrow(part: str = "") -> Any:
    """Pyarrow, or one of its modules (`parquet`, `csv`, `compute`).

    Raises
    ------
    UnavailableError
        If it is not installed.
    """
    name = f"pyarrow.{part}".rstrip(".")
    try:
        importlib.import_module("pyarrow")
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(
            f"tables are read by pyarrow, which cannot be imported: {error}. "
            "pip install 'dgmm[table]' installs it"
        ) from error


@contextmanager
def reading(name: str, remedy: str) -> Iterator[None]:
    """Arrow's and the system's refusals to read a file, with its name and what to do.

    Raises
    ------
    DataNotFoundError
        If the system refuses to open or read the file.
    DataError
        If its content is damaged.
    UnavailableError
        If storage fails in a way that may pass, for longer than it is waited for.
    """
    invalid = arrow("lib").ArrowException
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise DataNotFoundError(f"{name} cannot be read: {error.strerror or error}") from error
    except MemoryError:
        raise
    except (invalid, OSError, EOFError, UnicodeError) as error:
        if is_transient(error):
            raise UnavailableError(
                f"{name} cannot be read: {error}. Run the same command again when the storage is "
                "back (storage.retry_s: how long it is waited for)"
            ) from error
        what = safe_text(str(error).split("\n")[0]).rstrip(".")
        raise DataError(f"{name} cannot be read: {what}. {remedy}") from error
