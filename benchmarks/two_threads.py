"""What the second thread gains in a pass, for every shape; and iterations against oneDAL's.

The goal is of passes, which threads share; an M-step is one thread's work, and stands beside. Both
sides of a pair run alternately. Rounds in which other processes had more than a twentieth of
the processors' time are repeated: beside them a second thread seems to gain nothing.
"""

from __future__ import annotations

from statistics import median

import numpy as np

from benchmarks import goals
from benchmarks.goals import FULL, SHAPES, Shape
from benchmarks.measuring import alternate_undisturbed, ratio_of_pairs, times_within
from benchmarks.mixtures import clustered_rows, start_near
from benchmarks.our_em import OurEM
from benchmarks.passes import is_quick
from benchmarks.peers.environments import PEERS, MissingPeerError
from benchmarks.peers.process import PeerProcess
from benchmarks.results import Results

_BUDGET_S, _TURN_S = 3.0, 0.15
_TRIAL_ROWS = 8192


def run(results: Results) -> None:
    """One thread against two, family by family; then oneDAL."""
    for covariance_type, shapes in SHAPES.items():
        for shape in shapes:
            for dtype in ("float64", "float32"):
                if is_quick(shape) or not results.is_trial:
                    _second_thread(results, covariance_type, shape, dtype)
    try:
        with PeerProcess(PEERS["oneDAL"]) as peer:
            results.about.setdefault("peers", {})["oneDAL"] = peer.about
            for shape in FULL:
                if is_quick(shape) or not results.is_trial:
                    _against_onedal(results, shape, peer)
    except MissingPeerError as error:
        results.remark(str(error))


def _second_thread(results: Results, covariance_type: str, shape: Shape, dtype: str) -> None:
    X, centres = clustered_rows(_n_rows(results, shape), shape.d, shape.k)
    X, start = X.astype(dtype, copy=False), start_near(centres, covariance_type)
    with OurEM(X, start, n_threads=1) as one, OurEM(X, start, n_threads=2) as two:
        for side in (one, two):
            side.catch_up(1)  # compiles; and a tied fit's first pass takes the total scatter
        times = times_within(median(two.passes(2)), _TURN_S, most=40)
        sides = [lambda side=side: side.passes(times) for side in (one, two)]
        sides += [lambda side=side: side.step(times) for side in (one, two)]
        budget = 0.0 if results.is_trial else _BUDGET_S
        (*rounds, one_whole, two_whole), others = alternate_undisturbed(sides, budget=budget)
        whole = ratio_of_pairs(one_whole, two_whole)
    alone, both = (1e3 * median(side) for side in rounds)
    results.measured(
        "a pass on two threads against one",
        f"{covariance_type}, {dtype}, {shape}",
        ratio_of_pairs(*rounds),
        "×",
        goal=goals.SECOND_THREAD,
        note=f"{alone:.1f} ms, {both:.1f} ms; with the M-step {whole:.2f} ×; others had "
        f"{others:.2f} of the processors at most in {len(rounds[0])} rounds",
    )


def _against_onedal(results: Results, shape: Shape, peer: PeerProcess) -> None:
    X, centres = clustered_rows(_n_rows(results, shape), shape.d, shape.k)
    peer.prepare(X, start_near(centres, "full"))
    with OurEM(X, peer.mixture()) as ours:
        theirs_once = median(peer.step())  # warms it up
        ours.catch_up(peer.n_iterations)
        times, times_theirs = times_within(median(ours.step(2))), times_within(theirs_once)

        def theirs() -> list[float]:
            taken = peer.step(times_theirs)
            ours.catch_up(peer.n_iterations)
            return taken

        budget = 0.0 if results.is_trial else _BUDGET_S
        rounds, others = alternate_undisturbed([theirs, lambda: ours.step(times)], budget=budget)
        likelihoods = [side.mixture().mean_log_likelihood(X) for side in (ours, peer)]
    results.measured(
        "an iteration against oneDAL's, full, float64",
        str(shape),
        ratio_of_pairs(*rounds),
        "×",
        goal=goals.AGAINST_ONEDAL.get(shape.d),
        note=f"{1e3 * median(rounds[1]):.1f} ms, {1e3 * median(rounds[0]):.1f} ms; log-likelihoods "
        f"{abs(np.subtract(*likelihoods)):.1e} apart; others had {others:.2f} of the processors at "
        f"most in {len(rounds[0])} rounds",
    )


def _n_rows(results: Results, shape: Shape) -> int:
    return min(shape.n, _TRIAL_ROWS) if results.is_trial else shape.n
