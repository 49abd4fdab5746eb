"""Which file or variable of the user's Dask configuration holds what Dask cannot start with.

Dask reads them as it is imported, in the driver and in every worker, so that they cannot be left
out; its errors often name neither the file nor the key.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from dgmm.errors import UnavailableError

#: A copy of a whole configuration, in base 64, that one Dask process hands to another.
_INHERITED = "DASK_INTERNAL_INHERIT_CONFIG"
_LONGEST_SHOWN = 60


def require_usable_configuration() -> None:
    """Read the configuration as every worker will.

    Raises
    ------
    UnavailableError
        If Dask cannot, with the file or variable and the key.
    """
    import dask  # noqa: PLC0415 - may be what fails

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that Dask has renamed
            dask.config.refresh(config={})
    except Exception as error:
        raise configuration_error(error) from error


def configuration_error(error: Exception) -> UnavailableError:
    """The error for a configuration that Dask could not start with."""
    text = " ".join(str(error).split())
    found = "; ".join(_faults()) or text
    cause = type(error).__name__ if found == text else f"{type(error).__name__}: {text}"
    return UnavailableError(
        f"Dask cannot start with its configuration: {found} ({cause}). Dask reads YAML with its "
        "own keys from the file or folder of DASK_CONFIG, from ~/.config/dask and /etc/dask, and "
        "variables DASK_...: correct or remove what is named, or use cluster.kind: threads"
    )


def _faults() -> Iterator[str]:
    """Every value that Dask cannot start with, with its source."""
    try:
        import dask  # noqa: PLC0415 - it is what failed, if it could not read a file
    except Exception:  # noqa: BLE001 - its text names the file, or else the variable is:
        if os.environ.get(_INHERITED):
            yield f"the variable {_INHERITED} may be no copy of a configuration"
        return
    defaults = dask.config.merge(*dask.config.defaults)
    for source, config in _sources():
        for key, value, expected in _faulty(config, defaults):
            shown = repr(value)
            shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
            yield f"{source} sets {key} to {shown}, expected {expected}"


def _sources() -> Iterator[tuple[str, Mapping[str, Any]]]:
    import dask  # noqa: PLC0415 - see _faults

    for path, config in dask.config.collect_yaml(dask.config.paths, return_paths=True):
        yield str(path), config
    for name, value in os.environ.items():
        if name.startswith("DASK_"):
            yield f"the variable {name}", dask.config.collect_env({name: value})


def _faulty(
    config: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, Any, str]]:
    """Key, value and what was expected, of what is no section and of loggers without a level."""
    yield from _no_sections(config, defaults, "")
    distributed = config.get("distributed")
    for prefix, section in (("", config), ("distributed.", distributed)):
        if isinstance(section, Mapping):
            yield from _faulty_logging(prefix, section)


def _no_sections(
    config: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any, str]]:
    for key, value in config.items():
        default = defaults.get(str(key).replace("_", "-"))
        if not isinstance(default, Mapping) or not default:
            continue
        if isinstance(value, Mapping):
            yield from _no_sections(value, default, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value, "a mapping"


def _faulty_logging(prefix: str, section: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    file = section.get("logging-file-config")
    if file is not None and not os.path.isfile(str(file)):  # noqa: PTH113 - any text may stand here
        yield f"{prefix}logging-file-config", file, "a file that exists"
    levels = section.get("logging")
    if levels is None:
        return
    if not isinstance(levels, Mapping):
        yield f"{prefix}logging", levels, "a mapping"
    elif "version" in levels:
        yield f"{prefix}logging", dict(levels), "what logging.config.dictConfig accepts"
    else:
        for name, level in levels.items():
            if not _is_level(level):
                yield f"{prefix}logging.{name}", level, "a level such as info or warning"


def _is_level(level: Any) -> bool:
    return isinstance(level, int) or str(level).upper() in logging.getLevelNamesMapping()
