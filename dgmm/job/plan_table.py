"""The text of a plan: the table that `dgmm plan` prints, in MiB."""

from __future__ import annotations

from dataclasses import replace

from dgmm.data.cache_budget import DRIVER_BASE
from dgmm.data.number_words import in_units
from dgmm.errors import JobFileError, UnavailableError
from dgmm.job.memory_plan import MIB, WORKER_BASE, Term
from dgmm.job.plan import Plan


def require_memory(plan: Plan, memory_limit: int | None) -> None:
    """Refuse a job that does not fit, once a worker's limit is known (None: no limit).

    Raises
    ------
    JobFileError
        With the plan.
    UnavailableError
        The same, where the limit is that of somebody else's workers.
    """
    known = replace(plan, memory_limit=memory_limit)
    if known.fits:
        return
    if plan.is_elsewhere and known.fits_the_machine:
        raise UnavailableError(
            f"the job does not fit into the cluster's workers:\n{plan_table(known)}"
        )
    raise JobFileError(f"the job does not fit into memory:\n{plan_table(known)}")


def plan_table(plan: Plan) -> str:
    """All sizes, term by term, and whether they fit."""
    n, d = plan.shape
    most = "at most " if plan.has_fewer_features else ""
    lines = [f"data      {n:,} rows x {most}{d} features, {plan.dtype}, {plan.n_blocks:,} blocks"]
    lines.append(
        f"reads     {in_units(plan.pass_bytes)} a pass before compression, "
        f"{plan.n_passes:,} passes at most"
    )
    lines += [f"{'' if i else 'models':<10}{text}" for i, text in enumerate(plan.models)]
    lines += [f"classes   {plan.classes}"] if plan.classes else []
    lines += _prepared(plan)
    missing = plan.missing.replace("\n", f"\n{'':<10}")
    lines += [f"missing   {missing}"] if missing else []
    lines += [f"model     {plan.inference}"] if plan.inference else []
    lines += [f"earlier   {plan.monitor}"] if plan.monitor else []
    lines += [f"comparing {plan.comparison}"] if plan.comparison else []
    where = f"{plan.n_workers} workers of" if plan.n_workers else "this process with"
    lines.append(f"compute   {where} {plan.threads_per_worker} threads")
    lines += [f"          cluster.kind auto: {plan.kind}, {plan.why}"] if plan.why else []
    lines.append("memory    MiB")
    if plan.n_workers:
        lines += _table("one worker", WORKER_BASE, plan.task, plan.threads_per_worker)
        lines.append(_line(plan.cached_rows, 1))
        lines.append(f"  {'sum':<38}{plan.worker_bytes / MIB:>10,.0f}")
    own = () if plan.n_workers else plan.task
    lines += _table("driver", DRIVER_BASE, own, plan.threads_per_worker)
    lines += [] if plan.n_workers else [_line(plan.cached_rows, 1)]
    lines += [_line(t, 1) for t in plan.driver]
    lines.append(f"  {'sum':<38}{plan.driver_bytes / MIB:>10,.0f}")
    lines.append(f"  {'all processes together':<38}{plan.total_bytes / MIB:>10,.0f}")
    lines += [f"  {line}" for line in _verdict(plan)]
    lines.append(f"outputs   {in_units(plan.output_bytes)} before compression")
    return "\n".join(lines)


def _prepared(plan: Plan) -> list[str]:
    """What is read once before the passes, and what one task of that holds."""
    found = plan.preparation
    if found is None:
        return []
    n = found.n_parts
    often = "once" if found.n_reads == 1 else f"{found.n_reads} times"
    parts = f"{found.kind} in {n:,} part{'s' * (n != 1)}, read {often}"
    written = f"{in_units(found.n_bytes)} before compression go to prepared.zarr"
    lines = [f"prepare   {parts}; {written}", *(f"          {note}" for note in found.notes)]
    lines.append("  one task of preparing, MiB; the larger of it and a task of a pass counts below")
    return lines + [_line(term, 1) for term in found.task]


def _verdict(plan: Plan) -> list[str]:
    """What is needed against what there is, for the process that reads and for the machine."""
    what = "one worker" if plan.n_workers else "this process"
    needed = f"{what} needs {plan.needed_bytes / MIB:,.0f}"
    if plan.memory_limit is None:
        return [f"{needed}; the limit that workers have is asked for when the job starts: fits"]
    limit = f"its limit of {plan.memory_limit / MIB:,.0f}"
    if plan.n_workers:
        usable = f"it may use {plan.usable_share:.0%} of {limit}, {plan.usable_bytes / MIB:,.0f}"
    else:
        usable = f"it may use {limit}"
    least = plan.needed_bytes / plan.usable_share / MIB + 1
    limits = f"{needed}; {usable}: "
    limits += "fits" if plan.fits_its_limit else f"does NOT fit: {_remedy(plan, least)}"
    if plan.fits_the_machine:
        return [limits]
    machine = (
        f"all processes need {plan.least_total_bytes / MIB:,.0f}; this machine has "
        f"{plan.machine_bytes / MIB:,.0f}: does NOT fit: lower "
        + ("n_workers or n_components" if _lowers_workers(plan) else "n_components")
    )
    return [limits, machine]


def _remedy(plan: Plan, least: float) -> str:
    """What to change, by keys that the job may have with its kind of cluster."""
    if plan.is_elsewhere:
        fewer = " or fewer threads" if plan.threads_per_worker > 1 else ""
        return f"give its workers {least:,.0f} MiB or more{fewer}, or lower n_components"
    raised = f"raise memory_limit to {least:,.0f} MiB or more"
    if not plan.n_workers:
        fewer = "n_workers or " if _lowers_workers(plan) else ""
        return f"{raised}, or lower {fewer}n_components"
    automatic = " (auto: lower n_workers)" if _lowers_workers(plan) else ""
    fewer = "threads_per_worker or " if plan.threads_per_worker > 1 else ""
    return f"{raised}{automatic}, or lower {fewer}n_components"


def _lowers_workers(plan: Plan) -> bool:
    return not plan.is_elsewhere and plan.n_places > 1


def _table(title: str, base: int, terms: tuple[Term, ...], times: int) -> list[str]:
    first = Term("interpreter and libraries", base, "measured")
    return [f"  {title}", _line(first, 1), *(_line(t, times) for t in terms)]


def _line(term: Term, times: int) -> str:
    factor = f"{times} x " if times > 1 else ""
    size = f"{times * term.n_bytes / MIB:>10,.1f}"
    return f"    {term.name:<36}{size}   {factor}{term.formula}"
