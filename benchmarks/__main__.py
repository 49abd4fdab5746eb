"""Runs benchmarks: `python -m benchmarks pass`, or all of them; then writes the pages.

A goal that is missed is reported, and a peer that is missing is named; neither is a failure. A
benchmark that breaks is: the others run all the same, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback

# Before NumPy loads its BLAS, which reads them: a forced kernel would be measured instead.
for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)

from benchmarks.measuring import hold_to_two_cores, machine, machine_in_words  # noqa: E402 - see above
from benchmarks.results import Results  # noqa: E402 - the same

#: What `make bench WHAT=` takes, and the module it runs.
BENCHMARKS = {
    "pass": "passes",
    "threads": "two_threads",
    "scoring": "scoring",
    "earlier": "earlier",
    "fit": "fits",
    "disk": "disk",
    "overhead": "overhead",
    "scale": "scaling",
    "starts": "starts",
    "methods": "start_methods",
    "high_dimensions": "high_dimensions",
    "missing": "missing_values",
    "weights": "weights",
    "prepare": "preparing",
    "sweep": "sweep_cost",
    "choose": "choosing",
    "many": "many_components",
    "guard": "row_guard",
    "small": "small_calls",
}


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for."""
    chosen = _arguments(argv)
    if chosen.what == "pages":
        _write_pages()
        return 0
    if chosen.fill:
        importlib.import_module("benchmarks.fits").fill()
        return 0
    names = list(BENCHMARKS) if chosen.what == "all" else [chosen.what]
    broken = [name for name in names if not _run(name, is_trial=chosen.trial)]
    if not chosen.trial:
        _write_pages()
    if broken:
        print(f"did not run to the end: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    what = ["all", *BENCHMARKS, "pages"]
    parser.add_argument("what", nargs="?", default="all", choices=what)
    parser.add_argument(
        "--trial",
        action="store_true",
        help="few rows, nothing saved: shows whether everything runs (pass and fit)",
    )
    parser.add_argument(
        "--fill",
        action="store_true",
        help="only let scikit-learn make the whole fits that are not kept yet (an hour and more)",
    )
    return parser.parse_args(argv)


def _run(name: str, *, is_trial: bool) -> bool:
    """Whether a benchmark ran to its end; what it measured is saved then, else kept aside."""
    hold_to_two_cores()
    results = Results(name, machine(), is_trial=is_trial)
    print(f"{name}: {machine_in_words(results.about)}", flush=True)
    begun = time.monotonic()
    try:
        importlib.import_module(f"benchmarks.{BENCHMARKS[name]}").run(results)
    except Exception:  # noqa: BLE001 - the others are to run all the same
        traceback.print_exc()
        if not is_trial:
            print(f"{name}: what it measured until then is in {results.save_aside()}")
        return False
    results.about["minutes"] = round((time.monotonic() - begun) / 60.0, 1)
    goals = [m for m in results.measurements if m.goal is not None]
    met = sum(m.is_met is True for m in goals)
    print(f"{name}: {met} of {len(goals)} goals met, {results.about['minutes']} minutes")
    if not is_trial:
        print(f"{name}: saved as {results.save()}")
    return True


def _write_pages() -> None:
    from benchmarks.tables import write_pages  # noqa: PLC0415 - needs Matplotlib, which others do not

    write_pages()


if __name__ == "__main__":
    sys.exit(main())
