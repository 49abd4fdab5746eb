"""Writes docs/benchmarks.md and the README's section from saved results; nothing is typed in."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

from benchmarks.goals import SAME_LIKELIHOOD
from benchmarks.measuring import PROJECT, machine_in_words
from benchmarks.results import FOLDER, Measurement, Results, load

TITLES = {
    "pass": "One EM iteration",
    "fit": "A whole fit",
    "disk": "Out of core",
    "overhead": "Overhead",
    "scale": "Scaling",
    "starts": "Where EM begins",
}
NAMES = tuple(TITLES)
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"
PAGE = Path("docs/benchmarks.md")
PICTURE = Path("docs/images/benchmarks.png")


def write_pages(project: Path = PROJECT, folder: Path = FOLDER) -> None:
    """Write the page, the picture and the README's section from what is saved."""
    from benchmarks.picture import draw  # noqa: PLC0415 - Matplotlib is slow to load

    found = [results for name in NAMES if (results := load(name, folder)) is not None]
    if not found:
        print("no results are saved yet: no page is written")
        return
    (project / PAGE).write_text(page(found), encoding="utf-8")
    passes = next((results for results in found if results.name == "pass"), None)
    if passes is None:
        return
    (project / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    draw(passes, project / PICTURE)
    readme = project / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN in text:
        readme.write_text(with_section(text, readme_section(found)), encoding="utf-8")


def page(found: list[Results]) -> str:
    """The whole page: every goal beside what was measured, in the order it was measured in."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; the numbers behind it are in `benchmarks/results/`. Both sides",
        "of a pair run alternately in one go, on the same two cores, with two threads each.",
        "",
    ]
    for results in found:
        lines += [f"## {TITLES[results.name]}", "", _measured_on(results), ""]
        lines += _peers(results)
        for part, group in groupby(results.measurements, key=lambda m: m.part):
            lines += [f"### {part}", "", *_table(list(group)), ""]
        if results.remarks:
            lines += ["Remarks:", "", *(f"- {remark}" for remark in results.remarks), ""]
    return "\n".join(lines).rstrip() + "\n"


def readme_section(found: list[Results]) -> str:
    """One table, speed by peer and family, and the machine it was measured on."""
    passes = next(results for results in found if results.name == "pass")
    lines = [
        f"![How many times as fast an EM iteration is]({PICTURE.as_posix()})",
        "",
        "| against | covariance | dtype | times as fast | goals met |",
        "|---|---|---|---|---|",
        *_summary_of_passes(passes),
        *_summary_of_fits(next((r for r in found if r.name == "fit"), None)),
        "",
        _measured_on(passes),
        "",
        f"Ranges are over the shapes in [{PAGE.as_posix()}]({PAGE.as_posix()}), which has every",
        "goal beside what was measured, missed ones included. `make bench` measures it all again.",
    ]
    return "\n".join(lines)


def with_section(text: str, section: str) -> str:
    """A text with what stands between the marks replaced."""
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def _summary_of_passes(passes: Results) -> list[str]:
    rows = []
    speeds = [m for m in passes.measurements if m.unit == "×" and m.part.count(",") == 2]
    for part in dict.fromkeys(m.part for m in speeds):
        peer, family, dtype = part.split(", ")
        values = [m.value for m in speeds if m.part == part]
        rows.append(f"| {peer} | {family} | {dtype} | {_range(values)} | {_met(speeds, part)} |")
    return rows


def _summary_of_fits(fits: Results | None) -> list[str]:
    if fits is None:
        return []
    timed = [m for m in fits.measurements if m.what.startswith("time to")]
    return [
        f"| scikit-learn, whole fit | {m.part} | | {_range([m.value])} | {_met(timed, m.part)} |"
        for m in timed
    ]


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return _number(low) if len(values) == 1 else f"{_number(low)} to {_number(high)}"


def _met(measurements: list[Measurement], part: str) -> str:
    goals = [m for m in measurements if m.part == part and m.goal is not None]
    return f"{sum(m.is_met is True for m in goals)} of {len(goals)}" if goals else "none set"


def _measured_on(results: Results) -> str:
    about = results.about
    return f"Measured on {machine_in_words(about)}; {about['date']}, commit {about['commit']}."


def _peers(results: Results) -> list[str]:
    told = []
    for name, about in results.about.get("peers", {}).items():
        versions = ", ".join(f"{p} {v}" for p, v in about["versions"].items())
        told.append(f"- {name}: Python {about['python']}, {versions}; {about['kernels']}")
    return [*told, ""] if told else []


def _table(group: list[Measurement]) -> list[str]:
    head = ["| what | measured | goal | | |", "|---|---|---|---|---|"]
    return head + [
        f"| {m.what} | {_number(m.value)} {m.unit} | {_goal(m)} | {m.verdict} | {m.note} |"
        for m in group
    ]


def _goal(m: Measurement) -> str:
    if m.goal is None:
        return ""
    return f"{'≥' if m.at_least else '≤'} {_number(m.goal)}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "never" if value > 0 else str(value)
    if value and abs(value) <= SAME_LIKELIHOOD:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
