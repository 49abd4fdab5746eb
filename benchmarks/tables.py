"""Writes docs/benchmarks.md and the README's section from saved results; nothing is typed in."""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.goals import SAME_LIKELIHOOD
from benchmarks.measuring import PROJECT, machine_in_words
from benchmarks.results import FOLDER, Measurement, Results, load
from benchmarks.scaling_pages import MARKS as SCALING_MARKS
from benchmarks.scaling_pages import section as scaling_section

TITLES = {
    "pass": "One EM iteration",
    "threads": "One thread and two, and oneDAL",
    "scoring": "Labels, posteriors and log densities",
    "earlier": "Passes against an earlier commit",
    "fit": "A whole fit",
    "disk": "Out of core",
    "overhead": "Overhead",
    "scale": "Scaling",
    "starts": "Where EM begins, against scikit-learn",
    "methods": "Starts on a sample and over all rows",
    "high_dimensions": "Very many features",
    "missing": "Passes over rows with missing values",
    "weights": "Passes over weighted rows",
    "prepare": "Preparing rows",
    "sweep": "A pass that several models share",
    "choose": "What jobs of several models choose",
    "many": "Many components",
    "guard": "Rows that are far out",
    "small": "Small data",
}
NAMES = tuple(TITLES)
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"
PAGE = Path("docs/benchmarks.md")
PICTURE = Path("docs/images/benchmarks.png")
SCALING_PAGE = Path("docs/scaling.md")


def write_pages(project: Path = PROJECT, folder: Path = FOLDER) -> None:
    """Write the page, the picture and the README's section from what is saved."""
    from benchmarks.picture import draw  # noqa: PLC0415 - Matplotlib is slow to load

    found = [results for name in NAMES if (results := load(name, folder)) is not None]
    if not found:
        print("no results are saved yet: no page is written")
        return
    (project / PAGE).write_text(page(found), encoding="utf-8")
    scaled = next((results for results in found if results.name == "scale"), None)
    if scaled is not None:
        _replace_section(project / SCALING_PAGE, SCALING_MARKS, scaling_section(scaled))
    passes = next((results for results in found if results.name == "pass"), None)
    if passes is None:
        return
    (project / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    draw(passes, project / PICTURE)
    _replace_section(project / "README.md", (BEGIN, END), readme_section(found))


def _replace_section(page: Path, marks: tuple[str, str], section: str) -> None:
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if marks[0] in text:
        page.write_text(with_section(text, section, marks), encoding="utf-8")


def page(found: list[Results]) -> str:
    """The whole page: every goal beside what was measured, part by part."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; the numbers behind it are in `benchmarks/results/`. Both sides",
        "of a pair run alternately in one go, on the same two cores, with two threads each; only",
        "scikit-learn's whole fits, which take minutes, are timed once and kept.",
        "",
    ]
    for name in NAMES:
        results = next((r for r in found if r.name == name), None)
        if results is None:
            lines += [f"## {TITLES[name]}", "", "Not measured yet.", ""]
            continue
        lines += [f"## {TITLES[results.name]}", "", _measured_on(results), ""]
        lines += _peers(results)
        for part in dict.fromkeys(m.part for m in results.measurements):
            rows = [m for m in results.measurements if m.part == part]
            lines += [f"### {part}", "", *_table(rows), ""]
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
        "A goal counts as met where both sides also arrive at the same likelihood, within",
        f"{SAME_LIKELIHOOD:g} nats.",
        *_declined(passes),
        "",
        _measured_on(passes),
        "",
        f"Ranges are over the shapes in [{PAGE.as_posix()}]({PAGE.as_posix()}), which has every",
        "goal beside what was measured, missed ones included. `make bench` measures it all again.",
    ]
    return "\n".join(lines)


def with_section(text: str, section: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """A text with what stands between the marks replaced."""
    begin, end = marks
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    return f"{before}{begin}\n\n{section}\n\n{end}{after}"


def _speeds(passes: Results) -> list[Measurement]:
    """How many times as fast as a peer, for each shape."""
    return [m for m in passes.measurements if "theirs_ms" in m.detail]


def _summary_of_passes(passes: Results) -> list[str]:
    rows = []
    speeds = _speeds(passes)
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


def _declined(passes: Results) -> list[str]:
    """For how many of the shapes in float32 a fit would not take float32."""
    singles = [m for m in _speeds(passes) if m.part.endswith("float32")]
    n_declined = sum(not m.detail.get("guard_allows", True) for m in singles)
    if not n_declined:
        return []
    return [
        f"In {n_declined} of the {len(singles)} comparisons in float32 a fit would take float64,",
        "for the digits; the benchmark does not.",
    ]


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return _number(low) if len(values) == 1 else f"{_number(low)} to {_number(high)}"


def _met(measurements: list[Measurement], part: str) -> str:
    goals = [m for m in measurements if m.part == part and m.goal is not None]
    met = sum(m.is_met is True and _is_same_likelihood(m) for m in goals)
    return f"{met} of {len(goals)}" if goals else "none set"


def _is_same_likelihood(m: Measurement) -> bool:
    ours, theirs = (m.detail.get(f"log_likelihood_{side}", 0.0) for side in ("ours", "theirs"))
    return bool(abs(ours - theirs) <= SAME_LIKELIHOOD)


def _measured_on(results: Results) -> str:
    about = results.about
    when = f"{about['date']}, in {about.get('minutes', 'some')} minutes, commit {about['commit']}"
    return f"Measured on {machine_in_words(about)}; {when}."


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
