"""Where a scheduler is: the address in its file, its scheme, and who may reach it."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path

from dgmm.errors import UnavailableError
from dgmm.storage.atomic_files import parse_json
from dgmm.storage.regular_files import MOST_METADATA_BYTES, read_regular


def read_address(path: Path, timeout: float) -> str:
    """The address in a scheduler file; batch systems may start us before the scheduler wrote it.

    Raises
    ------
    UnavailableError
        If the file does not come, is not one, or names a scheme that is not supported.
    """
    deadline = time.monotonic() + timeout
    while not _is_there(path):
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"there is no scheduler file {path} (waited {timeout:g} s); start the scheduler "
                f"with: dask scheduler --scheduler-file {path}"
            )
        time.sleep(0.1)
    try:
        address = str(parse_json(read_regular(path, MOST_METADATA_BYTES))["address"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnavailableError(
            f"{path} is not a scheduler file ({_reason(error)}); expected the JSON that "
            "dask scheduler --scheduler-file writes"
        ) from error
    _refuse_scheme(address, path)
    return address


def _is_there(path: Path) -> bool:
    """Whether anything has that name: waiting turns no FIFO into a file, and grants no access."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:  # reading reports why
        return True
    return True


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or repr(error)


def _refuse_scheme(address: str, path: Path) -> None:
    scheme, separator, _ = address.partition("://")
    if separator and scheme != "tcp":
        reason = "encrypted clusters (tls) are" if scheme == "tls" else "such clusters are"
        raise UnavailableError(
            f"the scheduler of {path} is at {address!r}; expected tcp://HOST:PORT: {reason} not "
            "built yet"
        )


def exposure(address: str) -> str | None:
    """The warning for a scheduler that others may reach; None for one on the loopback."""
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost" or _is_loopback(host):
        return None
    return (
        f"the scheduler at {address} is reached over a network without encryption or "
        "authentication: whoever reaches it can read the rows and run code on the workers. Use it "
        "within a network you trust"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
