"""The benchmarks' own logic, on few rows and without peers' environments; nothing here is timed."""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from benchmarks import __main__ as command
from benchmarks import goals, passes, start_methods, sweep_cost
from benchmarks.fit_data import FitData
from benchmarks.fits import Race
from benchmarks.kept_fits import KeptFits, ScikitLearnFit
from benchmarks.measuring import alternate, machine, machine_in_words, ratio_of_pairs, times_within
from benchmarks.mixtures import Mixture, clustered_rows, overlapping_rows, start_near
from benchmarks.our_em import OurEM
from benchmarks.our_fits import OurFit, Point, our_fit, passes_to_optimum, passes_until
from benchmarks.peers import environments, process
from benchmarks.peers.environments import PEERS, MissingPeerError, PeerSpec, interpreter
from benchmarks.peers.process import PeerError, PeerProcess
from benchmarks.picture import draw
from benchmarks.products import TILES, Products, Way, features_wide
from benchmarks.results import FOLDER, Results, load
from benchmarks.sampling import in_words, shares_of_time
from benchmarks.scaling_model import Constants, Problem, predict, subtrees_of
from benchmarks.scaling_pages import MARKS, section
from benchmarks.tables import (
    BEGIN,
    END,
    NAMES,
    SCALING_PAGE,
    page,
    readme_section,
    with_section,
    write_pages,
)
from dgmm.data.array_dataset import ArrayDataset
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import family_named
from dgmm.reduction.tree import Subtree, TreeReducer

#: Families that benchmarks measure.
FAMILIES = ("diag", "full", "spherical", "tied")
PROJECT = Path(__file__).resolve().parents[2]
ABOUT = {"processor": "P", "cores": 2, "memory_GiB": 8, "system": "S", "date": "D", "commit": "C"}
ABOUT |= {"dgmm": {"blas": [], "python": "3", "numpy": "2"}, "peers": {}}


def results(tmp_path: Path, name: str = "pass") -> Results:
    found = Results(name, ABOUT, tmp_path)
    took = {"theirs_ms": 50.0, "log_likelihood_ours": -1.0, "log_likelihood_theirs": -1.0}
    part = "scikit-learn, full, float64"
    found.measured(part, "a shape", 25.0, "×", goal=20.0, note="n", detail=took)
    found.measured(part, "another", 7.0, "×", goal=20.0, detail=took)
    found.measured(part, "unset", 1.5, "×", detail=took)
    found.measured(part, "apart", 9.0, "×", goal=1.0, detail=took | {"log_likelihood_ours": -2.0})
    return found


@pytest.fixture
def scikit_learn(monkeypatch: pytest.MonkeyPatch) -> PeerSpec:
    """The peer, in the environment of the tests."""
    monkeypatch.setattr(process, "interpreter", lambda _: Path(sys.executable))
    return PEERS["scikit-learn"]


@pytest.mark.parametrize(
    ("value", "at_least", "is_met"),
    [(2.0, True, True), (1.9, True, False), (2.0, False, True), (2.1, False, False)],
)
def test_a_goal_is_met_on_its_own_side_and_on_the_line(
    tmp_path: Path, value: float, at_least: bool, is_met: bool
) -> None:
    found = Results("pass", {}, tmp_path)
    found.measured("part", "what", value, "×", goal=2.0, at_least=at_least)
    assert found.measurements[0].is_met is is_met


@pytest.mark.parametrize("at_least", [True, False])
def test_what_is_no_number_meets_no_goal(tmp_path: Path, at_least: bool) -> None:
    found = Results("pass", {}, tmp_path)
    found.measured("part", "what", math.nan, "×", goal=2.0, at_least=at_least)
    assert found.measurements[0].is_met is False


def test_saved_results_come_back_as_they_were(tmp_path: Path) -> None:
    found = results(tmp_path)
    found.remark("a remark")
    found.save()
    again = load("pass", tmp_path)
    assert again is not None
    assert (again.measurements, again.remarks) == (found.measurements, found.remarks)
    assert again.about == found.about
    assert [path.name for path in tmp_path.iterdir()] == ["pass.json"]
    assert load("fit", tmp_path) is None


def test_sides_take_turns() -> None:
    turns: list[str] = []
    sides = [lambda s=s: turns.append(s) or [1.0] for s in "ab"]
    assert alternate(sides, budget=0.0, least=3) == [[1.0] * 3] * 2
    assert "".join(turns) == "ababab"


def test_a_round_counts_with_its_median_and_rounds_with_the_median_of_their_ratios() -> None:
    assert alternate([lambda: [5.0, 1.0, 2.0]], budget=9.0, most=2) == [[2.0, 2.0]]
    # A machine that becomes ten times slower in the third round does not change the ratio.
    assert ratio_of_pairs([4.0, 4.0, 40.0], [2.0, 2.0, 20.0]) == 2.0


def test_quick_work_is_repeated_and_slow_work_is_not() -> None:
    assert [times_within(t) for t in (0.0, 0.001, 0.03, 7.0)] == [10, 10, 3, 1]


def test_the_goals_are_those_of_the_table() -> None:
    def of(peer: str, family: str) -> list[float | None]:
        return [goals.pass_goal(peer, family, d) for d in (2, 16, 32, 64, 128)]

    assert of("scikit-learn", "full") == [20.0, 20.0, 10.0, 5.5, 2.7]
    assert of("oneDAL", "full") == [2.5, 2.5, 2.5, 2.0, 1.6]
    assert of("Spark", "full") == [20.0] * 5
    families = ("tied", "diag", "spherical")
    assert [of("scikit-learn", f)[0] for f in families] == [60.0, 8.0, 12.0]
    assert [of("oneDAL", f)[0] for f in families] == [None, 2.5, None]
    assert of("gmmx", "full") == [None] * 5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_limit_multiplies_by_as_many_features_as_the_family_has(family: str) -> None:
    for d in (2, 7, 128):
        wide = family_named(family).quadratic_width(d) + d + 1
        assert features_wide(family, d) == wide


def test_the_limit_runs_the_products_of_all_rows() -> None:
    way = Way(512, is_wide=True)
    with Products(5000, 3, 6, np.float32, way) as products:
        assert len(products.step(2)) == 2
        assert products.way == way
    with Products(5000, 3, 6, np.float64) as products:
        assert products.way.tile in TILES


@pytest.mark.parametrize("family", FAMILIES)
def test_the_judge_agrees_with_the_definition(family: str) -> None:
    rng = np.random.default_rng(3)
    k, d = 3, 4
    G = rng.normal(size=(k, d, 9))
    full = G @ G.transpose(0, 2, 1) / 9
    shaped = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[family]
    per_component = {
        "full": full,
        "tied": np.repeat(full[:1], k, axis=0),
        "diag": [np.diag(np.diag(S)) for S in full],
        "spherical": [S[0, 0] * np.eye(d) for S in full],
    }[family]
    mixture = Mixture(family, np.array([0.2, 0.3, 0.5]), rng.normal(size=(k, d)), shaped)
    X = rng.normal(size=(50, d))
    each = [
        np.log(w) + multivariate_normal(m, S).logpdf(X)
        for w, m, S in zip(mixture.weights, mixture.means, per_component, strict=True)
    ]
    expected = logsumexp(each, axis=0).mean()
    assert mixture.mean_log_likelihood(X) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_our_side_goes_through_em_one_iteration_at_a_time(family: str, dtype: str) -> None:
    X, centres = clustered_rows(4000, 3, 4)
    X = X.astype(dtype)
    with OurEM(X, start_near(centres, family)) as ours:
        likelihoods = []
        for i in range(4):
            ours.step(2)  # changes nothing
            assert ours.n_iterations == i
            likelihoods.append(ours.mixture().mean_log_likelihood(X))
            ours.catch_up(i + 1)
            assert ours.kernel == f"product-{dtype}"
    assert (np.diff(likelihoods) > 0.0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_both_sides_arrive_at_the_same_likelihood(scikit_learn: PeerSpec, family: str) -> None:
    X, centres = clustered_rows(3000, 3, 4)
    start = start_near(centres, family)
    with PeerProcess(scikit_learn) as peer:
        assert peer.about["versions"]["scikit-learn"]
        assert peer.about["forced"] == []
        peer.prepare(X, start)
        assert peer.mixture().mean_log_likelihood(X) == start.mean_log_likelihood(X)
        with OurEM(X, peer.mixture()) as ours:
            for times in (1, 3):
                assert len(peer.step(times)) == times
            ours.catch_up(peer.n_iterations)
            assert ours.n_iterations == 2
            found = [side.mixture().mean_log_likelihood(X) for side in (ours, peer)]
    assert found[0] == pytest.approx(found[1], abs=1e-10)
    assert found[0] > start.mean_log_likelihood(X) + goals.SAME_LIKELIHOOD


def test_a_peer_that_cannot_do_something_says_so_and_goes_on(scikit_learn: PeerSpec) -> None:
    with PeerProcess(scikit_learn) as peer:
        with pytest.raises(PeerError, match=r"scikit-learn: .*rows"):
            peer.fit(Path("no/rows.npy"), n_components=1, covariance_type="full", seed=0)
        assert peer.is_alive


def test_a_peer_that_does_not_start_is_missing_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, scikit_learn: PeerSpec
) -> None:
    broken = PeerSpec("broken", "no_such_file.py", ())
    with pytest.raises(MissingPeerError, match=r"broken could not be started: .*no_such_file"):
        PeerProcess(broken)


def test_a_peer_without_its_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingPeerError, match="Spark needs Java"):
        interpreter(PEERS["Spark"], tmp_path)


def test_a_peer_that_pip_refuses_is_named_and_tried_again_next_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = iter([0, 1, 0, 0])
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        (tmp_path / "p").mkdir(exist_ok=True)
        return SimpleNamespace(returncode=next(answers), stderr="noise\nno such distribution\n")

    monkeypatch.setattr(environments.subprocess, "run", run)
    spec = PeerSpec("p", "with_p.py", ("p==1",))
    with pytest.raises(MissingPeerError, match="p could not be installed: no such distribution"):
        interpreter(spec, tmp_path)
    for _ in range(2):  # made at the first time, there at the second
        assert interpreter(spec, tmp_path) == tmp_path / "p" / "bin" / "python"
    assert [command[-1] for command in ran] == [str(tmp_path / "p"), "p==1"] * 2


def test_what_a_peer_says_last_is_told_without_this_machines_folders() -> None:
    said = "noise\nImportError: no x in '/home/me/site-packages/x.py' (see https://x.org/a/b)\n"
    told = "ImportError: no x in 'x.py' (see https://x.org/a/b)"
    assert environments.last_line(said) == told
    assert environments.last_line("") == "no message"


def test_no_peer_is_handed_a_forced_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    given = environments.variables()
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(given)
    assert given["OPENBLAS_NUM_THREADS"] == "2"


def test_a_missing_peer_is_a_remark_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(_: PeerSpec) -> Path:
        raise MissingPeerError("gmmx could not be installed: no wheel")

    monkeypatch.setattr(process, "interpreter", missing)
    found = Results("pass", {}, tmp_path)
    passes._Bench(found).peer("gmmx")
    assert found.remarks == ["gmmx could not be installed: no wheel"]
    assert found.measurements == []


def test_a_pair_is_measured_judged_and_profiled_where_it_misses(
    monkeypatch: pytest.MonkeyPatch, scikit_learn: PeerSpec, tmp_path: Path
) -> None:
    shapes = {"tied": (goals.Shape(3000, 2, 3),)}
    monkeypatch.setattr(passes, "SHAPES", shapes)
    monkeypatch.setattr(passes.goals, "pass_goal", lambda *_: math.inf)
    found = Results("pass", {}, tmp_path)
    bench = passes._Bench(found)
    bench.peer("scikit-learn")
    ratio, ratio32, *differences = found.measurements
    assert [ratio.part, ratio32.part] == [
        "scikit-learn, tied, float64",
        "scikit-learn, tied, float32",
    ]
    assert ratio.value > 0.0
    assert ratio.detail["kernel"] == "product-float64"
    assert all(m.is_met for m in differences)
    assert len(differences) == 2
    assert len(found.remarks) == 2
    assert "products alone" in found.remarks[0]


def test_compiled_passes_are_measured_against_those_of_numpy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(passes, "SHAPES", {"diag": (goals.Shape(3000, 2, 3),)})
    found = Results("pass", {}, tmp_path)
    passes._Bench(found).compiled()
    family, most = found.measurements
    assert (family.what, most.what) == ("diag, 3,000 × 2, k = 3", "the most of them")
    assert most.value == family.value > 0.0
    assert family.note.count("numpy ") >= 1  # the side that it is compared with


def test_every_listed_shape_is_measured_against_scikit_learn_in_both_dtypes() -> None:
    cases = list(passes.cases_of("scikit-learn"))
    assert len(cases) == len(set(cases)) == 2 * (7 + 3 + 4 + 4)
    assert {c.covariance_type for c in passes.cases_of("oneDAL")} == {"full", "diag"}
    assert [str(c.shape) for c in passes.cases_of("Spark")] == [str(s) for s in goals.FULL]
    assert all(c.dtype == "float32" for c in passes.cases_of("gmmx"))


def test_a_profile_adds_up_and_names_what_ran() -> None:
    X, centres = clustered_rows(20_000, 4, 8)
    with OurEM(X, start_near(centres, "full")) as ours:
        shares = shares_of_time(lambda: ours.step(60))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert any("." in place for place in shares)
    assert "the rest 30%" in in_words({"a.b": 0.7, "c.d": 0.3}, most=1)


def test_a_target_is_reached_by_the_first_pass_that_shows_it() -> None:
    ours = OurFit(9.0, -1.0, (Point(1.0, -3.0), Point(2.0, -2.0), Point(3.0, -1.5)))
    assert [ours.seconds_to(t) for t in (-2.5, -2.0, -1.2, -0.5)] == [2.0, 2.0, 9.0, math.inf]
    assert [passes_until([-3.0, -2.0], t) for t in (-9.0, -2.0, 0.0)] == [1.0, 2.0, math.inf]


def test_our_fit_notes_its_passes_over_all_rows_and_is_judged() -> None:
    X = overlapping_rows(3000, 2, 3, seed=1, tied=False)
    ours = our_fit(X, 3, "full", seed=0)
    times = [point.seconds for point in ours.points]
    assert times == sorted(times)
    assert times[-1] <= ours.seconds
    assert ours.mean_log_likelihood >= ours.points[-1].mean_log_likelihood - 1e-9
    assert ours.seconds_to(ours.points[0].mean_log_likelihood) == times[0]


def test_passes_to_the_optimum_are_counted_from_one_start() -> None:
    X = overlapping_rows(3000, 2, 3, seed=1, tied=True)
    counted = passes_to_optimum(X, 3, "tied")
    assert counted.optimum == max(counted.reached[w] for w in list(counted.reached)[:2])
    assert counted.passes["plain EM"] >= 1.0


def test_a_kept_fit_is_found_for_the_same_rows_only(
    monkeypatch: pytest.MonkeyPatch, scikit_learn: PeerSpec, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.kept_fits.FOLDER", tmp_path)
    data = FitData("full", "full", 3)
    X = overlapping_rows(2000, 2, 3, seed=1, tied=False)
    with PeerProcess(scikit_learn) as peer:
        kept = KeptFits.of(data, X, peer)
        assert kept.find(0) is None
        assert kept.pace_then() is None
        made = kept.make(0)
        again = KeptFits.of(data, X, peer)
        found = again.find(0)
        assert found is not None
        assert found.was_kept
        assert (found.seconds, found.n_iterations) == (made.seconds, made.n_iterations)
        assert again.pace_then() == made.seconds_an_iteration
        assert again.find(1) is None
        assert KeptFits.of(data, X + 1.0, peer).find(0) is None


def test_the_page_shows_every_measurement_with_goal_and_verdict(tmp_path: Path) -> None:
    found = results(tmp_path)
    found.remark("gmmx is missing")
    text = page([found])
    assert "| a shape | 25 × | ≥ 20 | met | n |" in text
    assert "| another | 7 × | ≥ 20 | missed |  |" in text
    assert "| unset | 1.5 × |  |  |  |" in text
    assert "- gmmx is missing" in text
    assert machine_in_words(ABOUT) in text


def test_the_readme_gets_one_table_and_one_picture_and_keeps_the_rest(tmp_path: Path) -> None:
    section = readme_section([results(tmp_path)])
    assert section.count("![") == 1
    assert "| scikit-learn | full | float64 | 1.5 to 25 | 1 of 3 |" in section
    text = with_section(f"above\n{BEGIN}\nold\n{END}\nbelow\n", section)
    assert "old" not in text
    assert text.startswith("above\n")
    assert text.endswith("below\n")
    assert with_section(text, section) == text


def test_the_picture_is_drawn_from_the_results(tmp_path: Path) -> None:
    draw(results(tmp_path), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_pages_are_what_the_saved_results_say(tmp_path: Path) -> None:
    """The committed page and section are the script's own, unless nothing has been measured yet."""
    found = [saved for name in NAMES if (saved := load(name, FOLDER)) is not None]
    if not found:
        write_pages(tmp_path, tmp_path)
        assert list(tmp_path.iterdir()) == []
        return
    assert (PROJECT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == page(found)
    if any(saved.name == "pass" for saved in found):
        readme = (PROJECT / "README.md").read_text(encoding="utf-8")
        assert with_section(readme, readme_section(found)) == readme
    scaled = next((saved for saved in found if saved.name == "scale"), None)
    if scaled is not None:
        text = (PROJECT / SCALING_PAGE).read_text(encoding="utf-8")
        assert with_section(text, section(scaled), MARKS) == text


@pytest.mark.parametrize(("now", "counted"), [(2.0, 100.0), (1.0, 50.0), (4.0, 100.0)])
def test_a_kept_time_of_a_slower_hour_counts_as_less(now: float, counted: float) -> None:
    theirs = ScikitLearnFit(0, 100.0, -1.0, 5, is_converged=True, seconds_an_iteration=2.0, date="")
    ours = OurFit(10.0, -0.5, (Point(4.0, -1.5), Point(5.0, -0.9)))
    race = Race(ours, theirs, now)
    assert race.their_seconds == counted
    assert race.ratio == counted / 5.0


def test_a_peer_that_does_not_answer_is_ended(scikit_learn: PeerSpec) -> None:
    with PeerProcess(scikit_learn) as peer:
        peer._process.send_signal(signal.SIGSTOP)
        with pytest.raises(PeerError, match=r"did not answer within 0\.1 s"):
            peer._ask(0.1, do="about")
        assert not peer.is_alive


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_parts_of_a_row_panel_are_timed(family: str, dtype: str) -> None:
    stages = pytest.importorskip("benchmarks.stages", reason="it needs Numba, which is optional")
    parts = stages.nanoseconds_a_row(family, 3, 5, dtype)
    assert {"standardising", "log densities", "softmax", "moments"} <= set(parts)
    assert ("norms" in parts) == (family == "spherical")
    assert all(taken > 0.0 for taken in parts.values())


def test_a_prediction_follows_the_slowest_role() -> None:
    """By hand: the workers' half, and a third of what the other two do beside them."""
    constants = Constants(0.001, 0.002, 0.0, 0.0, read_byte=1e-9, latency=0.01)
    problem = Problem(10**9, 16, 32, 153, row_seconds=1e-6, m_step=0.5, n_workers=10)
    said = predict(problem, constants)
    assert said.worker == pytest.approx(10**9 * (1e-6 + 16 * 4 * 1e-9) / 10)
    assert said.scheduler == pytest.approx(0.002 * problem.n_tasks)
    assert said.bound_by == "worker"
    waves = (said.scheduler + said.driver) / 3
    assert said.total == pytest.approx(said.worker + waves + 0.5 + 0.01)
    crowded = predict(replace(problem, n_workers=10**6, n_rows=10**8), constants)
    assert crowded.bound_by == "scheduler"


@pytest.mark.parametrize(("run", "count"), [((0, 8), 1), ((1, 8), 3), ((3, 4), 1), ((5, 13), 4)])
def test_runs_are_so_many_subtrees(run: tuple[int, int], count: int) -> None:
    """5; 6-7; 8-11; 12."""
    assert subtrees_of(*run) == count
    whole = TreeReducer[Ones](16)
    for block in range(*run):
        whole.add(Subtree(0, block, Ones()))
    assert len(whole.subtrees()) == count


class Ones:
    """A value whose merging is nothing."""

    def merge(self, _: Ones) -> Ones:
        return self


def test_the_machine_is_told_in_plain_values() -> None:
    about = machine()
    assert json.loads(json.dumps(about)) == about
    assert about["processor"] in machine_in_words(about)


def test_a_benchmark_that_breaks_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run(found: Results) -> None:
        ran.append(found.name)
        found.measured("part", "what", 1.0, "×", goal=2.0)
        if found.name == "pass":
            raise RuntimeError("broken")

    monkeypatch.setattr(command.importlib, "import_module", lambda _: SimpleNamespace(run=run))
    monkeypatch.setattr(Results, "save", lambda found: tmp_path / found.name)
    monkeypatch.setattr(Results, "path", property(lambda found: tmp_path / f"{found.name}.json"))
    monkeypatch.setattr(command, "_write_pages", lambda: None)
    assert command.main(["all"]) == 1
    aside = load("pass", tmp_path / "broken")
    assert aside is not None
    assert [m.what for m in aside.measurements] == ["what"]
    assert ran == list(command.BENCHMARKS)
    assert "did not run to the end: pass" in capsys.readouterr().err
    assert command.main(["fit"]) == 0  # a missed goal is no failure
    with pytest.raises(SystemExit, match="2"):
        command.main(["nonsense"])


def test_every_benchmark_has_its_place_on_the_page() -> None:
    assert tuple(command.BENCHMARKS) == NAMES


@pytest.mark.parametrize("method", ["kmeans", "kmeans_parallel"])
def test_a_start_is_told_with_its_cost_and_where_em_ends(method: str) -> None:
    X, _ = clustered_rows(3000, 2, 3)
    with ThreadExecutor(1) as executor:
        found = start_methods._started(
            ArrayDataset(X), executor, FitSettings(3, "full", method=method)
        )
    assert 0.0 < found.sum_of_squares < 4.0
    assert found.log_likelihood > -6.0
    assert found.n_iterations > 0


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_components_of_a_sweep_are_as_wide_in_every_feature(family: str) -> None:
    """Also where k variances of d features have the shape of a matrix."""
    for k in (1, 4, sweep_cost.N_FEATURES):
        p = sweep_cost.parameters(family, k)
        spread = p.family.variances(p.covariances, k, sweep_cost.N_FEATURES)
        np.testing.assert_array_equal(spread, np.ones((k, sweep_cost.N_FEATURES)))
