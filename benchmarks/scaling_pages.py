"""What the model says of many workers, and the tables of docs/scaling.md: written, not typed in."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from benchmarks.scaling_model import Constants, Problem, Shape, predict
from dgmm.mixture.covariance import family_named

if TYPE_CHECKING:
    from benchmarks.results import Measurement, Results

CHECKED, FORETOLD = "the model over what was measured", "predicted"
#: Constants of the model that are measured: unit, how many of them a second has, words.
CONSTANTS = {
    "scheduler_task": ("ms", 1e3, "scheduler, a task"),
    "driver_task": ("ms", 1e3, "driver, a task"),
    "scheduler_byte": ("ns", 1e9, "scheduler, a byte of a result"),
    "driver_byte": ("ns", 1e9, "driver, a byte of a result"),
    "read_byte": ("ns", 1e9, "worker, a byte read"),
    "latency": ("ms", 1e3, "pass of one empty task"),
}
#: Mixtures whose iterations are predicted; their number of rows is the smallest.
PREDICTED = (
    Shape("full", 10**9, 16, 32),
    Shape("full", 10**9, 32, 128),
    Shape("spherical", 10**9, 128, 1024),
)
ROWS, WORKERS = (10**9, 10**10, 10**11), (10, 100, 1000)
MARKS = "<!-- tables: written by make bench WHAT=scale -->", "<!-- end of tables -->"


def predict_all(
    results: Results, shape: Shape, row_seconds: float, m_step: float, constants: Constants
) -> None:
    """Seconds of an iteration for each number of rows and workers."""
    width = family_named(shape.covariance_type).width(shape.d)
    mixture = f"{shape.covariance_type}, d = {shape.d}, k = {shape.k}"
    for n, n_workers in product(ROWS, WORKERS):
        problem = Problem(n, shape.d, shape.k, width, row_seconds, m_step, n_workers)
        said = predict(problem, constants)
        results.measured(
            FORETOLD,
            f"{mixture}, {n:,} rows, {n_workers:,} workers",
            said.total,
            "s",
            note=f"bound by the {said.bound_by}; a row {1e6 * row_seconds:.2f} µs of one thread",
            detail={
                "mixture": mixture,
                "rows": n,
                "workers": n_workers,
                "bound_by": said.bound_by,
                "row_us": 1e6 * row_seconds,
            },
        )


def section(results: Results) -> str:
    """The constants, the checks and the predictions of one run, as tables."""
    lines = [
        f"Measured {results.about['date']}, commit {results.about['commit']}.",
        "",
        "| constant | |",
        "|---|---|",
        *(
            f"| {m.what} | {m.value:.2g} {m.unit} |"
            for m in results.measurements
            if "constant" in m.detail
        ),
        "",
        "Model over measured: processor seconds of driver and scheduler, the clock for passes.",
        "",
        "| what | ratio | |",
        "|---|---|---|",
        *(
            f"| {m.what} | {m.value:.2f} | {m.note} |"
            for m in results.measurements
            if m.part == CHECKED
        ),
        "",
        "Predicted seconds of an iteration. *s*: the scheduler sets the pace, *d*: the driver,",
        "else the workers do.",
        "",
        f"| mixture, time a row of one thread | rows | {_heads()} |",
        f"|---|---|{'---|' * len(WORKERS)}",
        *_predictions([m for m in results.measurements if m.part == FORETOLD]),
    ]
    return "\n".join(lines)


def _heads() -> str:
    return " | ".join(f"{n:,} workers" for n in WORKERS)


def _predictions(found: list[Measurement]) -> list[str]:
    rows: dict[tuple[str, int], list[str]] = {}
    for m in found:
        mark = {"scheduler": " *s*", "driver": " *d*"}.get(m.detail["bound_by"], "")
        mixture = f"{m.detail['mixture']}, {m.detail['row_us']:.2f} µs"
        rows.setdefault((mixture, m.detail["rows"]), []).append(f"{m.value:,.0f}{mark}")
    return [
        f"| {mixture} | {n:,} | {' | '.join(seconds)} |" for (mixture, n), seconds in rows.items()
    ]
