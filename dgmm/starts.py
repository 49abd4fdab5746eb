"""The starts of a fit: parameters that a method draws for every restart; failing ones are noted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.blocks import Run
from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.errors import ComponentError, DgmmError
from dgmm.execution.executor import Executor, split_runs
from dgmm.initialisation import AllRows, StartRequest, start, start_over_all_rows
from dgmm.parameters import Parameters
from dgmm.random_streams import Stage, stream
from dgmm.resumption import Resumption
from dgmm.survey import FitSettings, Survey

#: Makes parameters under a standardisation: how a caller hands in a start of its own.
Given = Callable[[Standardisation], Parameters]
#: Changes a method's start: how a caller hands in a part of one.
Adjust = Callable[[Parameters, Standardisation], Parameters]


#: A restart, and the number of its start on the sample where it has several.
Key = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """What was drawn for each restart, and why restarts without any start failed."""

    drawn: dict[int, tuple[Parameters, ...]]
    failed: dict[int, str]


def starts_on_sample(
    known: Survey,
    settings: FitSettings,
    rows: NDArray[np.float64],
    n_sample_starts: int,
    here: Executor,
    given: Given | None,
    adjust: Adjust | None,
) -> Starts:
    """Starts of every restart; failing ones are noted and the others go on.

    Parameters
    ----------
    known, settings
        The data, and what is asked for.
    rows : (m, d)
        The sample, or a share of it, to draw from.
    n_sample_starts
        Starts of each restart, drawn side by side; 0 is one that no rehearsal follows.
    here
        Runs tasks in this process, where the sample is.
    given, adjust
        The start for `method="given"`, and what is applied to every drawn start.

    Raises
    ------
    DgmmError
        If the only restart fails.
    ComponentError
        If every one fails.
    """
    own = given(known.standardisation) if given is not None else None

    def draw(key: Key) -> Parameters:
        k = settings.n_components
        rng = stream(Stage.INITIALISATION, settings.seed, k, *key)
        begun = start(settings.method, rows, known.family, k, known.regularisation, rng, given=own)
        return begun if adjust is None else adjust(begun, known.standardisation)

    several = len(rows) < len(known.sample) and settings.method != "hierarchical"
    keys = _keys(settings.n_init, n_sample_starts)
    return _sorted_out(_attempts(draw, keys, here, side_by_side=several))


def starts_over_all_rows(
    dataset: Dataset,
    executor: Executor,
    known: Survey,
    settings: FitSettings,
    adjust: Adjust | None,
    kept: Resumption,
) -> Starts:
    """One start of every restart, from reads that all of them share.

    Raises
    ------
    DgmmError
        If the only restart's start is refused by `adjust`.
    ComponentError
        If every one is.
    """
    k, restarts = settings.n_components, range(settings.n_init)
    requests = [
        StartRequest(
            known.sample,
            known.family,
            k,
            known.regularisation,
            stream(Stage.INITIALISATION, settings.seed, k, restart),
        )
        for restart in restarts
    ]
    n_dropped = known.summary.n_dropped
    rows = AllRows(dataset, executor, known.standardisation, n_dropped, kept)
    drawn = start_over_all_rows(settings.method, rows, requests, settings.seed, restarts)

    def adjusted(key: Key) -> Parameters:
        begun = drawn[key[0]]
        return begun if adjust is None else adjust(begun, known.standardisation)

    return _sorted_out({key: _or_error(adjusted, key) for key in _keys(settings.n_init, 0)})


def _keys(n_init: int, n_sample_starts: int) -> list[Key]:
    """What tells the streams of all starts from one another: the restart first."""
    if n_sample_starts == 0:
        return [(restart,) for restart in range(n_init)]
    return [(restart, number) for restart in range(n_init) for number in range(n_sample_starts)]


def _attempts(
    draw: Callable[[Key], Parameters], keys: list[Key], here: Executor, *, side_by_side: bool
) -> dict[Key, Parameters | DgmmError]:
    """What was drawn, or what went wrong, in the order of the keys.

    Starts on a few rows are drawn side by side, those on the whole sample one by one, and Ward's
    trees as well: each holds a copy of its rows, or their distances.
    """

    def attempt(run: Run) -> list[Parameters | DgmmError]:
        return [_or_error(draw, key) for key in keys[run.start : run.stop]]

    runs = split_runs(len(keys), len(keys) if side_by_side else 1)
    ended = sorted(here.run(attempt, runs), key=lambda pair: pair[0])
    return dict(zip(keys, (result for _, own in ended for result in own), strict=True))


def _or_error(draw: Callable[[Key], Parameters], key: Key) -> Parameters | DgmmError:
    try:
        return draw(key)
    except DgmmError as error:
        return error


def _sorted_out(attempts: dict[Key, Parameters | DgmmError]) -> Starts:
    """Starts by restart; a restart has failed where none of its starts was drawn."""
    drawn: dict[int, tuple[Parameters, ...]] = {}
    faults: dict[int, DgmmError] = {}
    for (restart, *_), result in attempts.items():
        if isinstance(result, DgmmError):
            faults.setdefault(restart, result)
        else:
            drawn[restart] = (*drawn.get(restart, ()), result)
    if not drawn:
        first = next(iter(faults.values()))
        raise (
            first if len(faults) == 1 else ComponentError(f"every start failed; the first: {first}")
        )
    return Starts(drawn, {i: str(error) for i, error in faults.items() if i not in drawn})
