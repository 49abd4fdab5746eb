"""Asks workers, before they get any task, whether they can run dgmm and what they compute with.

Versions come first, in plain values. dgmm's functions travel by reference, so the next question is
put with nothing but built-ins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from dgmm.errors import UnavailableError
from dgmm.execution.versions import ask_versions, version_remedy
from dgmm.runtime.environment import Environment, process_environment
from dgmm.terminal_text import listed
from dgmm.version import __version__

_SHOWN = 4
#: Evaluated on workers: dgmm's version there, or None.
VERSION_PROBE = (
    "__import__('importlib').import_module('dgmm').__version__"
    " if __import__('importlib.util').util.find_spec('dgmm') is not None else None"
)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker reports of itself."""

    name: str
    environment: Environment
    memory_limit: int | None
    #: Share of the limit above which Dask pauses the worker; None where it never does.
    pause_share: float | None = None


def worker_facts(dask_worker: Any) -> WorkerFacts:
    """Collect a worker's facts (runs on the worker; Dask fills the argument in)."""
    memory = dask_worker.memory_manager
    name, limit = str(dask_worker.name), memory.memory_limit
    pause = float(memory.memory_pause_fraction or 0) or None
    if "://" in name:  # Dask's default name is the address, which means nothing in a record
        name = dask_worker.id
    return WorkerFacts(name, _environment_here(), None if limit is None else int(limit), pause)


@cache
def _environment_here() -> Environment:
    """Looked up once a process: a worker that is asked again may be computing."""
    return process_environment()


async def ask_workers(
    client: Any, workers: Sequence[str]
) -> tuple[dict[str, WorkerFacts], dict[str, str]]:
    """Ask some workers for versions and facts, on the client's loop.

    Returns
    -------
    facts : dict
        Of workers that can run this dgmm, by address.
    refused : dict
        Why the others cannot, in a few words, by address. Workers that left are in neither.
    """
    fit, unfit = await ask_versions(client, workers)
    versions = await _ask(client, fit, eval, VERSION_PROBE) if fit else {}
    refused = {a: reason for a, found in versions.items() if (reason := _refusal(found))}
    able = [address for address in versions if address not in refused]
    answers = await _ask(client, able, worker_facts) if able else {}
    facts = {a: found for a, found in answers.items() if isinstance(found, WorkerFacts)}
    broken = {a: f"dgmm fails with {e!r}" for a, e in answers.items() if isinstance(e, Exception)}
    return facts, unfit | refused | broken


async def _ask(client: Any, workers: Sequence[str], *call: Any) -> dict[str, Any]:
    """Answers, or exceptions, of those still there."""
    answers = await client.run(*call, workers=list(workers), on_error="return")
    return {a: answer for a, answer in answers.items() if not isinstance(answer, OSError)}


def _refusal(found: object) -> str | None:
    if found == __version__:
        return None
    if found is None or isinstance(found, ImportError):
        return "dgmm is not installed"
    if isinstance(found, Exception):
        return f"dgmm fails with {found!r}"
    return f"dgmm {found} instead of {__version__}"


def refusal_error(refused: Mapping[str, str]) -> UnavailableError:
    """All refused workers in one sentence, with the remedy."""
    reasons: dict[str, list[str]] = {}
    for address, reason in refused.items():
        reasons.setdefault(reason, []).append(address)
    found = "; ".join(f"{reason} on {listed(where, _SHOWN)}" for reason, where in reasons.items())
    remedy = version_remedy()
    if any("dgmm" in reason for reason in reasons):
        remedy = (
            f"install it in the workers' environment (pip install dgmm=={__version__}), restart "
            "the workers and run the same command again."
        )
    return UnavailableError(
        f"these workers cannot run the job: {found} (expected what the driver has, dgmm "
        f"{__version__} included, on every worker); {remedy}"
    )
