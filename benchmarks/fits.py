"""A whole fit, ours and scikit-learn's: same rows, same k, each side's defaults, five seeds.

The clock runs from the call of fit, initialisation included, until our mean log-likelihood over all
rows is the one that scikit-learn ends with for that seed. An iteration tells the likelihood of all
rows when it has read them; one on float32 tiles counts once it is beyond the target by more than
such tiles may err.

scikit-learn takes minutes for one of these fits. Its results are kept in
results/scikit_learn_fits.json and used again for the same rows, version, BLAS kernel and processor;
`python -m benchmarks fit --fill` makes those that are missing, however long it takes. So that a
cached time can be trusted, one iteration of scikit-learn is timed beside it, now and then: where it
took longer then, the kept time counts as so much less.

*Defaults* are those of `sklearn.mixture.GaussianMixture` and of a job file's `model:`. Ours is
judged in float64 (`mixtures`), scikit-learn by its own `score_samples` of the rows in float64; the
fits kept on 2026-11-21 of the photographs, which are float32, were scored in float32.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import goals
from benchmarks.fit_data import DATA_SETS, FitData
from benchmarks.kept_fits import KeptFits, ScikitLearnFit
from benchmarks.measuring import hold_to_two_cores
from benchmarks.our_fits import NEAR, OurFit, our_fit, passes_to_optimum
from benchmarks.peers.environments import PEERS, MissingPeerError
from benchmarks.peers.process import PeerError, PeerProcess
from benchmarks.results import Results
from benchmarks.sampling import in_words, shares_of_time

SEEDS = range(5)
#: No fit of scikit-learn is begun after this much time; what is kept needs none.
_SECONDS_FOR_ALL = 6 * 60.0


def run(results: Results) -> None:
    """Time all data sets, and count passes."""
    begun = time.monotonic()
    for data in DATA_SETS:
        X = data.rows(is_trial=results.is_trial)
        try:
            with PeerProcess(PEERS["scikit-learn"]) as peer:
                results.about.setdefault("peers", {})[peer.name] = peer.about
                kept = KeptFits.of(data, X, peer, is_trial=results.is_trial)
                deadline = begun + _SECONDS_FOR_ALL
                races = [_race(data, X, seed, kept, deadline) for seed in SEEDS]
                _report_pace(results, data, kept)
        except (MissingPeerError, PeerError) as error:
            results.remark(f"{data.name}: {error}")
            continue
        _report(results, data, [race for race in races if race is not None])
        if any(m.is_met is False for m in results.measurements if m.part == data.part):
            results.remark(profile(data, X))
        _report_passes(results, data, X)


def fill() -> None:
    """Let scikit-learn fit whatever is not kept yet; each result is kept as it comes.

    Seed after seed, so that an interrupted filling leaves some seeds of every data set.
    """
    hold_to_two_cores()
    for seed in SEEDS:
        for data in DATA_SETS:
            X = data.rows()
            with PeerProcess(PEERS["scikit-learn"]) as peer:
                kept = KeptFits.of(data, X, peer)
                found = kept.find(seed) or kept.make(seed)
                print(f"{data.name}, seed {seed}: {found}", flush=True)


@dataclass(frozen=True, slots=True)
class Race:
    """One seed: our fit, scikit-learn's, and when ours had reached what theirs ended with."""

    ours: OurFit
    theirs: ScikitLearnFit
    pace_now: float

    @property
    def seconds_to_target(self) -> float:
        """Infinite where ours never got there."""
        return self.ours.seconds_to(self.theirs.mean_log_likelihood)

    @property
    def their_seconds(self) -> float:
        """As many as it would be today, where the machine was slower when the fit was timed."""
        return self.theirs.seconds * min(self.pace_now / self.theirs.seconds_an_iteration, 1.0)

    @property
    def ratio(self) -> float:
        """How many times as fast ours was."""
        return self.their_seconds / self.seconds_to_target


def _race(data: FitData, X: Any, seed: int, kept: KeptFits, deadline: float) -> Race | None:
    """Both fits of one seed, ours first; None where scikit-learn's is not kept and time is up."""
    theirs = kept.find(seed)
    if theirs is None and time.monotonic() > deadline:
        return None
    ours = our_fit(X, data.n_components, data.covariance_type, seed)
    race = Race(ours, theirs or kept.make(seed), kept.pace_now())
    print(
        f"  {data.name}, seed {seed}: ours {ours.seconds:.2f} s to {ours.mean_log_likelihood:.5f}, "
        f"theirs {race.theirs.seconds:.1f} s to {race.theirs.mean_log_likelihood:.5f} in "
        f"{race.theirs.n_iterations} iterations, reached after {race.seconds_to_target:.2f} s",
        flush=True,
    )
    return race


def _report(results: Results, data: FitData, races: list[Race]) -> None:
    if not races:
        results.remark(
            f"{data.name}: no fit of scikit-learn is kept and there was no time for one; "
            "`python -m benchmarks fit --fill` makes them"
        )
        return
    n_kept = sum(race.theirs.was_kept for race in races)
    dates = sorted({race.theirs.date for race in races if race.theirs.was_kept})
    note = f"median of {len(races)} seeds"
    if n_kept:
        note += f"; {n_kept} of scikit-learn's times are of {', '.join(dates)}"
    ours = [race.ours.mean_log_likelihood for race in races]
    theirs = [race.theirs.mean_log_likelihood for race in races]
    detail = {
        "seconds_to_target": [race.seconds_to_target for race in races],
        "ours_seconds": [race.ours.seconds for race in races],
        "theirs_seconds": [race.theirs.seconds for race in races],
        "theirs_seconds_today": [race.their_seconds for race in races],
        "theirs_iterations": [race.theirs.n_iterations for race in races],
        "ours_log_likelihood": ours,
        "theirs_log_likelihood": theirs,
    }
    results.measured(
        data.part,
        "time to scikit-learn's likelihood",
        median(race.ratio for race in races),
        "×",
        goal=goals.FIT[data.name],
        note=f"{median(race.seconds_to_target for race in races):.2f} s against "
        f"{median(race.their_seconds for race in races):.1f} s "
        f"({median(race.theirs.seconds for race in races):.1f} by the clock then), {note}",
        detail=detail,
    )
    results.measured(
        data.part,
        "whole fit",
        median(race.their_seconds / race.ours.seconds for race in races),
        "×",
        note=f"{median(race.ours.seconds for race in races):.2f} s until fit returns",
    )
    results.measured(
        data.part,
        "median final log-likelihood beyond theirs",
        median(ours) - median(theirs),
        "nats",
        goal=0.0,
        note=f"{median(ours):.5f} against {median(theirs):.5f}",
    )


def profile(data: FitData, X: Any) -> str:
    """Where the time of a fit goes, in words."""
    fits: list[OurFit] = []
    shares = shares_of_time(
        lambda: fits.append(our_fit(X, data.n_components, data.covariance_type, SEEDS[0]))
    )
    ended = ", ".join(f"{point.seconds:.2f}" for point in fits[0].points)
    return (
        f"missed: {data.name}: a fit takes {fits[0].seconds:.2f} s; its passes over all rows ended "
        f"after {ended} s; the threads were found in {in_words(shares, most=12)}"
    )


def _report_pace(results: Results, data: FitData, kept: KeptFits) -> None:
    """What became of the machine since scikit-learn's fits were timed."""
    then = kept.pace_then()
    if then is None:
        return
    now = kept.pace_now()
    results.measured(
        data.part,
        "scikit-learn's iteration, now to then",
        now / then,
        "×",
        note=f"{now:.2f} s now, {then:.2f} s when its fits were timed",
    )


def _report_passes(results: Results, data: FitData, X: Any) -> None:
    """Passes over all rows to the optimum that one start leads to, less 1e-4 nats."""
    counted = passes_to_optimum(X, data.n_components, data.covariance_type)
    for way, passes in counted.passes.items():
        results.measured(
            data.part,
            f"passes to the optimum − {NEAR:g}, {way}",
            passes,
            "passes",
            note=f"optimum {counted.optimum:.5f}; this way came to {counted.reached[way]:.5f} in "
            f"{counted.made[way]} passes",
        )
