"""One EM iteration, ours and the peers': E-step and M-step over rows in memory, two threads a side.

Both sides begin at the same parameters and go through the same iterations; then the judge of
`mixtures` says how likely the rows are under what each found. Beside each pair runs the limit: the
pair's matrix products alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks import goals
from benchmarks.goals import LARGE, SHAPES, SIMPLER, Shape
from benchmarks.measuring import alternate, ratio_of_pairs, times_within
from benchmarks.mixtures import Mixture, clustered_rows, start_near
from benchmarks.our_em import OurEM
from benchmarks.peers.environments import PEERS, MissingPeerError
from benchmarks.peers.process import PeerError, PeerProcess
from benchmarks.products import Products, Way, features_wide
from benchmarks.results import Results

#: A peer without goals is left out once this much time has gone.
_SECONDS_FOR_ALL = 12 * 60.0
#: No round of a pair is begun after this, once there are enough of them.
_SECONDS_FOR_A_PAIR = 2.5
#: A side whose turn takes longer than this has two rounds, any other three at least.
_LONG_TURN = 4.0
#: gmmx holds an array n × k × d and copies of it.
_GMMX_BYTES = 600e6
_TRIAL_SIZE = 512  # features times components
_TRIAL_ROWS, _TRIAL_ROWS_PER_COMPONENT = 8192, 200  # fewer, and components collapse


@dataclass(frozen=True, slots=True)
class Case:
    """What is fitted: family, shape and dtype."""

    covariance_type: str
    shape: Shape
    dtype: str

    @property
    def features_wide(self) -> int:
        """p."""
        return features_wide(self.covariance_type, self.shape.d)


def cases_of(peer: str) -> Iterator[Case]:
    """What a peer can do, and is measured at."""
    for covariance_type, shapes in SHAPES.items():
        for shape in shapes:
            for dtype in ("float64", "float32"):
                case = Case(covariance_type, shape, dtype)
                if _PEER_TAKES[peer](case):
                    yield case


def is_quick(shape: Shape) -> bool:
    """Whether a trial takes this shape."""
    return shape.d * shape.k <= _TRIAL_SIZE


_PEER_TAKES = {
    "scikit-learn": lambda _: True,
    "oneDAL": lambda case: case.dtype == "float64" and case.covariance_type in {"full", "diag"},
    "Spark": lambda case: case.dtype == "float64" and case.covariance_type == "full",
    "gmmx": lambda case: (
        case.dtype == "float32"
        and case.covariance_type in {"full", "diag"}
        and 4.0 * case.shape.n * case.shape.k * case.shape.d <= _GMMX_BYTES
    ),
    "bob.learn.em": lambda case: (
        case.dtype == "float64" and case.covariance_type == "diag" and case.shape in SIMPLER
    ),
}


#: What is left out of the cases that a peer could be given, and why.
_NOT_TRIED = {
    "gmmx": f"it holds arrays of rows × components × features; those beyond "
    f"{_GMMX_BYTES / 1e6:.0f} MB are not tried",
    "bob.learn.em": "k = 1024 is not tried",
}


def run(results: Results) -> None:
    """Measure our own precisions against each other, then every peer."""
    bench = _Bench(results)
    for covariance_type, shapes in SHAPES.items():
        for shape in shapes:
            if is_quick(shape) or not results.is_trial:
                bench.precisions(covariance_type, shape)
    bench.compiled()
    for name in _PEER_TAKES:
        bench.peer(name)


class _Bench:
    """One run: where it writes, when it began, what it knows already."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._begun = time.monotonic()
        self._ways: dict[Case, Way] = {}
        self._profiled: set[Case] = set()

    def precisions(self, covariance_type: str, shape: Shape) -> None:
        """Ours in float32 against ours in float64, and both against their products alone."""
        double, single = (Case(covariance_type, shape, t) for t in ("float64", "float32"))
        X, start = self._rows(double)
        with (
            OurEM(X, start) as ours,
            OurEM(X.astype(np.float32), start) as ours32,
            self._products(double) as products,
            self._products(single) as products32,
        ):
            for em in (ours, ours32):
                em.catch_up(1)
            times = times_within(median(ours.step(2)), 0.05)
            sides = [lambda s=s: s.step(times) for s in (ours, ours32, products, products32)]
            rounds = alternate(sides, budget=1.5, most=7)
            self._report_precisions(double, rounds, ours32)

    def compiled(self) -> None:
        """The passes that a fit would choose against NumPy's, in float64: a shape a family."""
        part, gains = "dgmm, compiled against NumPy", []
        for covariance_type, (shape, *_) in SHAPES.items():
            X, start = self._rows(Case(covariance_type, shape, "float64"))
            with OurEM(X, start) as ours, OurEM(X, start, "numpy") as plain:
                for em in (ours, plain):
                    em.catch_up(1)  # compiles; and a tied fit's first pass takes the total scatter
                rounds = alternate([ours.step, plain.step], budget=1.0, most=7)
            gains.append(ratio_of_pairs(rounds[1], rounds[0]))
            note = f"{ours.backend} {1e3 * median(rounds[0]):.1f} ms, "
            note += f"{plain.backend} {1e3 * median(rounds[1]):.1f} ms"
            what = f"{covariance_type}, {shape}"
            self._results.measured(part, what, gains[-1], "×", note=note)
        most = "the most of them"
        self._results.measured(part, most, max(gains), "×", goal=goals.COMPILED_GAIN)

    def _report_precisions(self, case: Case, rounds: list[list[float]], ours32: OurEM) -> None:
        both = [1e3 * median(side) for side in rounds]
        what = str(case.shape)
        self._results.measured(
            f"dgmm, {case.covariance_type}",
            what,
            ratio_of_pairs(rounds[0], rounds[1]),
            "×",
            goal=goals.FLOAT32_GAIN,
            note=f"float32 {both[1]:.1f} ms, float64 {both[0]:.1f} ms; products alone "
            f"{both[3]:.1f} and {both[2]:.1f} ms{_declined(ours32)}",
            detail={
                "float64_ms": both[0],
                "float32_ms": both[1],
                "products_float64_ms": both[2],
                "products_float32_ms": both[3],
            },
        )
        self._profile_if_missed(Case(case.covariance_type, case.shape, "float32"), ours32, both[3])
        if case.shape == LARGE and case.covariance_type == "spherical":
            self._results.measured(
                f"dgmm, {case.covariance_type}",
                f"{what}, float32",
                case.shape.n / median(rounds[1]),
                "rows/s",
                goal=goals.SPHERICAL_ROWS_PER_SECOND,
            )
            self._profile_if_missed(
                Case(case.covariance_type, case.shape, "float32"), ours32, both[3]
            )

    def peer(self, name: str) -> None:
        """All cases of one peer; where it is missing, its name and the reason."""
        try:
            with PeerProcess(PEERS[name]) as peer:
                self._results.about.setdefault("peers", {})[name] = peer.about
                print(f"  {name}: {peer.about}", flush=True)
                differences = self._cases(peer)
        except MissingPeerError as error:
            self._results.remark(str(error))
            return
        differs = PEERS[name].differs
        for part, difference in differences.items():
            self._results.measured(
                part,
                "log-likelihoods, largest difference",
                difference,
                "nats",
                goal=None if differs else goals.SAME_LIKELIHOOD,
                at_least=False,
                note="after the same iterations from the same start, judged in float64"
                + (f"; {differs}" if differs else ""),
            )

    def _cases(self, peer: PeerProcess) -> dict[str, float]:
        differences: dict[str, float] = {}
        if peer.name in _NOT_TRIED:
            self._results.remark(f"{peer.name}: {_NOT_TRIED[peer.name]}")
        for case in cases_of(peer.name):
            if self._results.is_trial and not is_quick(case.shape):
                continue
            part = f"{peer.name}, {case.covariance_type}, {case.dtype}"
            goal = goals.pass_goal(peer.name, case.covariance_type, case.shape.d)
            is_late = time.monotonic() - self._begun > _SECONDS_FOR_ALL
            if goal is None and is_late and part in differences:
                self._results.remark(f"{part}, {case.shape}: left out, the time was up")
                continue
            try:
                difference = self._pair(peer, case, part, goal)
            except PeerError as error:
                self._results.remark(f"{part}, {case.shape}: {error}")
                if not peer.is_alive:
                    return differences
                continue
            differences[part] = max(differences.get(part, 0.0), difference)
        return differences

    def _pair(self, peer: PeerProcess, case: Case, part: str, goal: float | None) -> float:
        """Measure one pair; how far apart the log-likelihoods are in the end."""
        X, start = self._rows(case)
        peer.prepare(X, start)
        with OurEM(X, peer.mixture()) as ours, self._products(case) as products:
            begun = time.monotonic()
            theirs_once = median(peer.step())  # warms it up
            turn = time.monotonic() - begun
            ours.catch_up(peer.n_iterations)
            times = times_within(median(ours.step(2)))
            times_theirs = times_within(theirs_once)

            def theirs() -> list[float]:
                taken = peer.step(times_theirs)
                ours.catch_up(peer.n_iterations)
                return taken

            rounds = alternate(
                [lambda: ours.step(times), theirs, lambda: products.step(times)],
                budget=_SECONDS_FOR_A_PAIR,
                least=2 if turn > _LONG_TURN else 3,
                most=9,
            )
            likelihoods = [side.mixture().mean_log_likelihood(X) for side in (ours, peer)]
            self._report_pair(part, case, goal, rounds, likelihoods, ours, peer)
        return abs(likelihoods[0] - likelihoods[1])

    def _report_pair(
        self,
        part: str,
        case: Case,
        goal: float | None,
        rounds: list[list[float]],
        likelihoods: list[float],
        ours: OurEM,
        peer: PeerProcess,
    ) -> None:
        ms = [1e3 * median(side) for side in rounds]
        ratios = sorted(b / a for a, b in zip(rounds[0], rounds[1], strict=True))
        self._results.measured(
            part,
            str(case.shape),
            median(ratios),
            "×",
            goal=goal,
            note=f"{ratios[0]:.3g} to {ratios[-1]:.3g} in {len(ratios)} rounds; "
            f"{ms[0]:.1f} ms against {ms[1]:.1f} ms, products alone {ms[2]:.1f} ms; "
            f"log-likelihood {likelihoods[0]:.7f}, {likelihoods[1]:.7f}{_declined(ours)}",
            detail={
                "ours_ms": ms[0],
                "theirs_ms": ms[1],
                "products_ms": ms[2],
                "log_likelihood_ours": likelihoods[0],
                "log_likelihood_theirs": likelihoods[1],
                "n_iterations": peer.n_iterations,
                "ratios": ratios,
                "kernel": ours.kernel,
                "backend": ours.backend,
                "guard_allows": ours.guard_allows(),
            },
        )
        self._profile_if_missed(case, ours, ms[2])

    def _profile_if_missed(self, case: Case, ours: OurEM, products_ms: float) -> None:
        """Say once for a case where its time goes, if the goal measured last is missed."""
        if self._results.measurements[-1].is_met is not False or case in self._profiled:
            return
        self._profiled.add(case)
        from benchmarks.stages import profile  # noqa: PLC0415 - needs Numba, which is optional

        n = self._n_rows(case.shape)
        self._results.remark(profile(case.covariance_type, case.shape, n, ours, products_ms))

    def _rows(self, case: Case) -> tuple[Any, Mixture]:
        shape = case.shape
        X, centres = clustered_rows(self._n_rows(shape), shape.d, shape.k)
        return X.astype(case.dtype, copy=False), start_near(centres, case.covariance_type)

    def _products(self, case: Case) -> Products:
        shape = case.shape
        n = self._n_rows(shape)
        made = Products(n, shape.k, case.features_wide, case.dtype, self._ways.get(case))
        self._ways[case] = made.way
        return made

    def _n_rows(self, shape: Shape) -> int:
        if not self._results.is_trial:
            return shape.n
        return min(shape.n, max(_TRIAL_ROWS, _TRIAL_ROWS_PER_COMPONENT * shape.k))


def _declined(ours: OurEM) -> str:
    """What to say where a fit's guard would not take this kernel."""
    return "" if ours.guard_allows() else f"; a fit's guard would decline {ours.kernel} here"
