"""Feature names: what the data give, made safe to print and to compare; else x0, x1, x2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dgmm.errors import DataError
from dgmm.terminal_text import listed, printable

#: Longest name; a report has no use for more.
MAX_NAME_LENGTH = 200
_SHOWN = 5


def feature_names_from(given: object, n_features: int, source: str) -> tuple[str, ...]:
    """One safe, unique name a feature.

    Parameters
    ----------
    given
        A list of `n_features` unique strings, or None for x0, x1, …
    n_features
        Columns of the data.
    source
        Where the names stand, for messages.

    Raises
    ------
    DataError
        If the names are not such a list.
    """
    if given is None:
        return tuple(f"x{i}" for i in range(n_features))
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise DataError(
            f"{source}: expected a list of {n_features} strings, found {type(given).__name__}"
        )
    faulty = [i for i, name in enumerate(given) if not isinstance(name, str) or not name.strip()]
    if faulty:
        raise DataError(
            f"{source}: entry {faulty[0]} is not a name but {safe_text(repr(given[faulty[0]]))}; "
            f"expected a list of {n_features} non-empty strings"
        )
    if len(given) != n_features:
        raise DataError(f"{source}: {len(given)} names for {n_features} features")
    repeated = [name for name, count in Counter(given).items() if count > 1]
    if repeated:
        shown = listed((repr(safe_text(name)) for name in repeated), _SHOWN)
        raise DataError(f"{source}: names have to be unique, found more than once: {shown}")
    return _told_apart([safe_text(name) for name in given])


def are_positions(names: Sequence[str]) -> bool:
    """Whether features have no names of their own: they are called x0, x1 and so on."""
    return all(name == f"x{i}" for i, name in enumerate(names))


def safe_text(text: str) -> str:
    """Text without control characters, cut to 200 characters."""
    shown = printable(text[: MAX_NAME_LENGTH + 1], "?")
    return shown if len(shown) <= MAX_NAME_LENGTH else shown[: MAX_NAME_LENGTH - 1] + "…"


def _told_apart(names: list[str]) -> tuple[str, ...]:
    """Names that became equal when they were made safe get their index."""
    counts = Counter(names)
    return tuple(
        name if counts[name] == 1 else f"{name[: MAX_NAME_LENGTH - 12]} [{i}]"
        for i, name in enumerate(names)
    )
