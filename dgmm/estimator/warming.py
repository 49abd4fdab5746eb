"""All compiled code, compiled before it is needed: `dgmm warm`, for images of containers.

Code is compiled for types of arguments, not for sizes: small fits of each kind need all there is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import OutputFailedError
from dgmm.estimator.gaussian_mixture import GaussianMixture
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.fitting.initialisation.start_compute import StartCompute
from dgmm.mixture.backends import get, require
from dgmm.mixture.covariance import FAMILIES
from dgmm.random_streams import Stage, stream

#: Rows, and features, of what is fitted.
_SHAPE = (600, 3)
_FLOATS = ("float64", "float32")


@dataclass(frozen=True, slots=True)
class Warmed:
    """What `warm` left.

    Attributes
    ----------
    folder
        Where the code is kept.
    n_functions, n_compiled, n_found
        Functions; how often one was compiled for types of arguments, and found compiled.
    seconds
        What it took.
    """

    folder: str
    n_functions: int
    n_compiled: int
    n_found: int
    seconds: float


def warm(report: Callable[[str], None]) -> Warmed:
    """Compile every function of the package for all types of arguments, into Numba's cache.

    Parameters
    ----------
    report
        Called with a line for each group of fits: what was compiled for it.

    Raises
    ------
    UnavailableError
        If Numba is absent or cannot be used.
    OutputFailedError
        If no cache can be written.
    """
    require("numba")
    from dgmm.mixture.backends import numba_cache  # noqa: PLC0415 - loads Numba, which is optional

    begun, before = perf_counter(), numba_cache.compilation()
    folder = _writable_folder(numba_cache)
    for title, uses in _groups():
        since, so_far = perf_counter(), numba_cache.compilation()
        for use in uses:
            use()
        now = numba_cache.compilation()
        found, made = now.n_loaded - so_far.n_loaded, now.n_compiled - so_far.n_compiled
        report(f"{title}: {made} compiled, {found} found, {perf_counter() - since:.1f} s")
    if failure := numba_cache.failed_write():
        raise OutputFailedError(f"compiled code could not be written to {folder}: {failure}")
    now = numba_cache.compilation()
    return Warmed(
        folder,
        now.n_functions,
        now.n_compiled - before.n_compiled,
        now.n_loaded - before.n_loaded,
        perf_counter() - begun,
    )


def _writable_folder(numba_cache: Any) -> str:
    folder: str | None = numba_cache.cache_folder()
    if folder is None:
        raise OutputFailedError(
            f"compiled code cannot be kept: {' and '.join(numba_cache.places())} cannot be "
            "written. Set the environment variable NUMBA_CACHE_DIR to a folder that can be, here "
            "and where dgmm runs"
        )
    return folder


def _groups() -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """What needs all code, by what it needs it for."""
    families = [{"covariance_type": name} for name in FAMILIES]
    weights = np.linspace(0.5, 1.0, _SHAPE[0])
    for dtype in _FLOATS:
        rows = np.sin(1.7 * np.arange(np.prod(_SHAPE)) ** 1.1).reshape(_SHAPE).astype(dtype)
        fits = partial(_fit_and_score, rows, None)
        yield f"{dtype} rows", [partial(fits, family) for family in families]
        yield f"{dtype} rows with weights", [partial(_fit_and_score, rows, weights, families[0])]
        gaps = rows.copy()
        gaps[::5, 0] = gaps[1::7, 1] = np.nan
        marginal = [family | {"missing": "marginalise"} for family in families]
        fits = partial(_fit_and_score, gaps, None)
        yield f"{dtype} rows with missing values", [partial(fits, case) for case in marginal]
        mapped = partial(_fit_and_score, _read_only(rows), None, families[0])
        holed = partial(_fit_and_score, _read_only(gaps), None)
        of_gaps = [partial(holed, case) for case in marginal]
        yield f"{dtype} rows that are read-only", [mapped, *of_gaps]
        kinds = (rows, _read_only(rows))
        yield f"{dtype} rows far from others", [partial(_split, kind) for kind in kinds]
        yield f"{dtype} distances of starts", [partial(_cluster, rows)]


def _read_only(rows: NDArray[Any]) -> NDArray[Any]:
    """The same rows, of another type in compiled code, such as those of a mapped file."""
    same = rows.view()
    same.flags.writeable = False
    return same


def _fit_and_score(
    rows: NDArray[Any], weights: NDArray[np.float64] | None, parameters: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters that are none
        mixture = GaussianMixture(
            2,
            init_params="random_from_data",
            n_sample_starts=1,
            max_iter=5,
            random_state=0,
            backend="numba",
            n_threads=1,
            **parameters,
        )
        mixture.fit(rows, sample_weight=weights)
        mixture.score_samples(rows)
        mixture.predict_proba(rows)


def _cluster(rows: NDArray[Any]) -> None:
    """What starts take of many rows, in the type that they have."""
    centred = CentredRows.of(rows.astype(np.float64))
    compute, is_single = StartCompute("numba"), rows.dtype == np.float32
    own, points = compute.over(centred, is_single=is_single), centred.take(np.arange(4))
    seeding = own.seeding(2)
    seeding.add(np.arange(2))
    seeding.draw(2, stream(Stage.INITIALISATION, 0))
    lloyd(own, points)
    own.cells().add(points)
    clusters = own.clusters(points)
    clusters.move(points + np.eye(len(points), 1))  # few of them: code of its own
    compute.merged(centred.take(np.arange(40)), np.ones(40), 2, is_single=is_single)


def _split(rows: NDArray[Any]) -> None:
    """What tells rows that are far from those that are not."""
    standardising = np.ones(rows.shape[1]), np.zeros(rows.shape[1])
    get("numba").squared_norms((rows, *standardising), np.empty(len(rows)))
