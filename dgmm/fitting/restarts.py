"""The starts of a fit: parameters that a method draws for every restart; failing ones are noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.errors import ComponentError, DgmmError
from dgmm.fitting.em.saved_progress import SavedProgress
from dgmm.fitting.initialisation import (
    INITIALISERS,
    METRICS,
    AllRows,
    StartCompute,
    StartRequest,
    distance_scale,
    start,
    start_over_all_rows,
)
from dgmm.fitting.noise_start import rows_for_starts, with_noise
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.parameters import Parameters
from dgmm.random_streams import Stage, stream
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import split_ranges

#: Makes parameters under a standardisation: how a caller hands in a start of its own.
UserStart = Callable[[Standardisation], Parameters]
#: Changes a method's start: how a caller hands in a part of one.
StartTransform = Callable[[Parameters, Standardisation], Parameters]

#: Starts of each restart where the setting is `auto`: four in each metric...
AUTO_STARTS = 4 * len(METRICS)
#: ...and two, k-means' alone, where all rows are fewer than free parameters: likelihood is then
#: highest where components are spikes on a few rows, and a longer search finds more of those.
FEW_STARTS = 2 * len(METRICS)
#: Of the starts of k-means in one metric the first so many are k-means'; the others are its seeds
#: alone, which vary more: where clusters have heavy tails, Lloyd's iterations find the same again.
REFINED_STARTS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """One start: where it stands among all, how it was drawn, and its parameters.

    Attributes
    ----------
    restart, number
        The restart, and the start's number within it.
    metric
        The metric of the distances it was drawn with (`dgmm.fitting.initialisation.METRICS`), or
        the method's name where it follows none.
    """

    restart: int
    number: int
    metric: str
    parameters: Parameters

    @property
    def name(self) -> str:
        """What tells it from the other starts of its restart."""
        metric, refined, _ = self.metric.partition(" refined")
        return f"{metric} {self.number}{refined}"


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """What was drawn for each restart, and why restarts without any start failed."""

    drawn: tuple[Start, ...]
    failed: dict[int, str]

    def of(self, restart: int) -> tuple[Start, ...]:
        """Those of one restart."""
        return tuple(one for one in self.drawn if one.restart == restart)

    @property
    def restarts(self) -> tuple[int, ...]:
        """Restarts that have a start, in order."""
        return tuple(sorted({one.restart for one in self.drawn}))


@dataclass(frozen=True, slots=True)
class _Key:
    """Where a start stands, and its metric."""

    restart: int
    number: int
    metric: str


def n_starts(settings: FitSettings, n_wanted: int) -> int:
    """Starts of each restart that are drawn.

    Parameters
    ----------
    settings
        What is asked for.
    n_wanted
        Starts that EM on the sample would take; 0 is one in each metric for all rows.
    """
    initialiser = INITIALISERS.named(settings.method)
    if not initialiser.follows_metric:
        return n_wanted or 1
    if initialiser.one_per_metric:
        return min(n_wanted or len(METRICS), len(METRICS))
    return n_wanted or len(METRICS)


def starts_on_sample(
    prepared: PreparedFit,
    settings: FitSettings,
    rows: NDArray[np.float64],
    n_wanted: int,
    here: Executor,
    given: UserStart | None,
    adjust: StartTransform | None,
    weights: NDArray[np.float64] | None = None,
) -> Starts:
    """Starts of every restart; failing ones are noted and the others go on.

    Parameters
    ----------
    prepared, settings
        The data, and what is asked for.
    rows : (m, d)
        The sample, or a share of it, to draw from; NaN where a value is missing.
    n_wanted
        Starts of each restart (`n_starts`).
    here
        Runs tasks in this process, where the sample is.
    given, adjust
        The start for `method="given"`, and what is applied to every drawn start.
    weights : (m,), optional
        What each row stands for; the same of all by default.

    Raises
    ------
    DgmmError
        If the only start fails.
    ComponentError
        If every one fails.
    """
    own = given(prepared.standardisation) if given is not None else None
    is_share = len(rows) < len(prepared.sample)
    rows, weights = rows_for_starts(prepared, rows, weights)
    follows = INITIALISERS.named(settings.method).follows_metric
    scales, whole = _scales(prepared) if follows else {}, prepared.filled(rows)
    observed = None if whole is rows else rows

    def draw(key: _Key) -> Parameters:
        k = settings.n_components
        rng = stream(Stage.INITIALISATION, settings.seed, k, key.restart, key.number)
        is_rough = key.number >= REFINED_STARTS * len(METRICS)
        method = "k-means++" if settings.method == "kmeans" and is_rough else settings.method
        begun = start(
            *(method, whole, prepared.family, k, prepared.regularisation, rng),
            given=own,
            scale=scales.get(key.metric),
            weights=weights,
            observed=observed,
            compute=compute,
        )
        if adjust is not None:
            begun = adjust(begun, prepared.standardisation)
        return with_noise(begun, prepared.noise)

    is_light = not INITIALISERS.named(settings.method).one_per_metric
    several = is_share and is_light
    compute = StartCompute(prepared.backend, None if several else here)
    return _sorted_out(_attempts(draw, _keys(settings, n_wanted), here, side_by_side=several))


def starts_over_all_rows(
    dataset: Dataset,
    executor: Executor,
    prepared: PreparedFit,
    settings: FitSettings,
    n_wanted: int,
    adjust: StartTransform | None,
    progress: SavedProgress,
) -> Starts:
    """One start in each metric for every restart, from reads that all of them share.

    Raises
    ------
    DgmmError
        If the only start is refused by `adjust`.
    ComponentError
        If every one is.
    """
    k, keys, scales = settings.n_components, _keys(settings, n_wanted), _scales(prepared)
    requests = [
        StartRequest(
            prepared.sample,
            prepared.family,
            k,
            prepared.regularisation,
            stream(Stage.INITIALISATION, settings.seed, k, key.restart, key.number),
            scale=scales[key.metric],
            weights=prepared.summary.sample_weights,
        )
        for key in keys
    ]
    n_dropped = prepared.summary.n_dropped
    rows = AllRows(
        *(dataset, executor, prepared.standardisation, n_dropped, progress),
        n_partial=prepared.summary.n_partial,
        fill=None if prepared.fill is None else prepared.fill.columns,
    )
    names = [(key.restart, key.number) for key in keys]
    found = start_over_all_rows(settings.method, rows, requests, settings.seed, names)
    drawn = dict(zip(keys, found, strict=True))

    def adjusted(key: _Key) -> Parameters:
        own = drawn[key] if adjust is None else adjust(drawn[key], prepared.standardisation)
        return with_noise(own, prepared.noise)

    return _sorted_out({key: _or_error(adjusted, key) for key in keys})


def _scales(prepared: PreparedFit) -> Mapping[str, NDArray[np.float64]]:
    known = prepared.distance_scales
    return measured_scales(prepared) if known is None else known


def measured_scales(prepared: PreparedFit) -> dict[str, NDArray[np.float64]]:
    """The scale of distances in each metric, from the sample."""
    sample, weights = rows_for_starts(prepared, prepared.sample, prepared.summary.sample_weights)
    return {m: distance_scale(m, prepared.standardisation, sample, weights) for m in METRICS}


def _keys(settings: FitSettings, n_wanted: int) -> list[_Key]:
    """All starts, restart by restart; those of a restart take the metrics in turn."""
    has_metric = INITIALISERS.named(settings.method).follows_metric
    metrics = METRICS if has_metric else (settings.method,)
    return [
        _Key(restart, number, metrics[number % len(metrics)])
        for restart in range(settings.n_init)
        for number in range(n_starts(settings, n_wanted))
    ]


def _attempts(
    draw: Callable[[_Key], Parameters], keys: list[_Key], here: Executor, *, side_by_side: bool
) -> dict[_Key, Parameters | DgmmError]:
    """What was drawn, or what went wrong, in the order of the keys.

    Starts on a few rows are drawn side by side, those on the whole sample one by one, and Ward's
    trees as well: each holds a copy of its rows, or their distances.
    """

    def attempt(blocks: BlockRange) -> list[Parameters | DgmmError]:
        return [_or_error(draw, key) for key in keys[blocks.start : blocks.stop]]

    runs = split_ranges(len(keys), len(keys) if side_by_side else 1)
    ended = sorted(here.run(attempt, runs), key=lambda pair: pair[0])
    return dict(zip(keys, (result for _, own in ended for result in own), strict=True))


def _or_error(draw: Callable[[_Key], Parameters], key: _Key) -> Parameters | DgmmError:
    try:
        return draw(key)
    except DgmmError as error:
        return error


def _sorted_out(attempts: dict[_Key, Parameters | DgmmError]) -> Starts:
    """Starts in their order; a restart has failed where none of its starts was drawn."""
    drawn: list[Start] = []
    faults: dict[int, DgmmError] = {}
    for key, result in attempts.items():
        if isinstance(result, DgmmError):
            faults.setdefault(key.restart, result)
        else:
            drawn.append(Start(key.restart, key.number, key.metric, result))
    if not drawn:
        first = next(iter(faults.values()))
        raise (
            first if len(faults) == 1 else ComponentError(f"every start failed; the first: {first}")
        )
    have = {one.restart for one in drawn}
    return Starts(tuple(drawn), {i: str(error) for i, error in faults.items() if i not in have})
