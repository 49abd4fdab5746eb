"""Whether a cluster's processes can exchange anything with this one, asked in plain values alone.

Nothing of dgmm's, and nothing pickled, is sent for it: the scheduler and every worker answer the
question for their versions from Dask's own code. Between Pythons of different minor versions
bytecode and pickles do not fit; workers have died of it by signal 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distributed import versions as dask_versions

from dgmm.errors import UnavailableError

#: Packages whose messages have to fit, with the number of parts of a version that must agree.
_PARTS = {"dask": 2, "distributed": 2, "msgpack": 1, "cloudpickle": 1, "numpy": 1}
_REMEDY = (
    "run dgmm with the same Python and Dask as the scheduler and its workers, or start those in "
    "this environment, and run the same command again."
)


def own_versions() -> dict[str, Any]:
    """What this process would answer."""
    found: dict[str, Any] = dask_versions.get_versions()
    return found


def version_refusal(found: Mapping[str, Any]) -> str | None:
    """Why nothing can be exchanged with a process that gave this answer; None if it can."""
    own = own_versions()
    problems = []
    here, there = _python(own), _python(found)
    if _leading(here, 2) != _leading(there, 2):
        problems.append(f"Python {there} instead of {here}")
    for package, parts in _PARTS.items():
        here, there = (str(v.get("packages", {}).get(package)) for v in (own, found))
        if there == "None" and package == "numpy":
            continue  # a scheduler needs none, and a worker without it is refused with dgmm
        if _leading(here, parts) != _leading(there, parts):
            problems.append(f"{package} {there} instead of {here}")
    return ", ".join(problems) or None


def _python(found: Mapping[str, Any]) -> str:
    return ".".join(str(found.get("host", {}).get("python", "unknown")).split(".")[:3])


def _leading(version: str, parts: int) -> list[str]:
    return version.split(".")[:parts]


async def ask_versions(client: Any, workers: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Ask workers, on the client's loop.

    Returns
    -------
    answered : list of str
        Addresses of those whose versions fit; workers that left are not among them.
    refused : dict
        Why the others do not, by address.
    """
    message = {"op": "versions"}
    asked = {"msg": message, "workers": list(workers), "on_error": "return_pickle"}
    answers = await client.scheduler.broadcast(**asked)
    known = {address: found for address, found in answers.items() if isinstance(found, dict)}
    refused = {a: reason for a, found in known.items() if (reason := version_refusal(found))}
    return [address for address in known if address not in refused], refused


def require_scheduler(client: Any) -> None:
    """Refuse a scheduler whose versions do not fit.

    Raises
    ------
    UnavailableError
        With both versions.
    """

    async def answer() -> Any:
        return await client.scheduler.versions()

    reason = version_refusal(client.sync(answer))
    if reason is not None:
        raise UnavailableError(
            f"the scheduler at {client.scheduler.address} cannot be used: {reason} here; {_REMEDY}"
        )


def version_remedy() -> str:
    """What to do about versions that do not fit."""
    return _REMEDY
