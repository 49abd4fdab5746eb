"""Cases 70 to 92: numbers that are missing, extreme, repeated, or more than expected."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_input import Cases, Desk, bits, edit, output, parts_in_two, record, two_clusters

from dgmm.model.model_files import load_model
from dgmm.storage.array_files import read_arrays

CASES = Cases()


@CASES.case(70, "one NaN", 0, 65)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[50, 1] = np.nan
    desk.write_rows(X)
    said = (
        "1 of 120 rows hold values that are not finite (x1: 1 NaN, 0 infinite)",
        "the first in chunk c/1/0, row 50, feature x1. Set data.missing to drop",
    )
    desk.job(65, *said)
    directory = desk.job(0, "1 of 120 rows hold values", name="drop", data={"missing": "drop"})
    assert record(directory)["rows"] == {
        "total": 120,
        "read": 119,
        "dropped": 1,
        "empty": 0,
        "incomplete": 1,
    }
    assert np.flatnonzero(output(directory, "labels") == -1).tolist() == [50]
    directory = desk.job(0, name="marginalise", data={"missing": "marginalise"})
    assert record(directory)["rows"]["read"] == 120
    assert (output(directory, "labels") >= 0).all()


@CASES.case(71, "a column of NaN", 65)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[:, 1] = np.nan
    desk.write_rows(X)
    desk.job(65, "(x1: 120 NaN, 0 infinite), the first in chunk c/0/0, row 0, feature x1")
    said = ("(x1: 120 NaN, 0 infinite)", "none is left: x1 has no finite value at all. Leave such")
    desk.job(65, *said, name="drop", data={"missing": "drop"})


@CASES.case(72, "a chunk of NaN", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[40:80] = np.nan
    said = "40 of 120 rows have no value at all and are left out"
    directory = desk.fits(X, said, data={"missing": "drop"})
    assert record(directory)["rows"]["dropped"] == 40
    assert (np.flatnonzero(output(directory, "labels") == -1) == np.arange(40, 80)).all()


@CASES.case(73, "infinities, told from NaN", 0, 65)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[7, 0], X[8, 0], X[9, 0], X[10, 1] = np.inf, -np.inf, np.nan, np.nan
    desk.write_rows(X)
    said = "4 of 120 rows hold values that are not finite (x0: 1 NaN, 2 infinite; x1: 1 NaN, 0 inf"
    desk.job(65, said, "row 7, feature x0")
    assert record(desk.job(0, name="drop", data={"missing": "drop"}))["rows"]["dropped"] == 4


def at_scale(desk: Desk, scale: float, *said: str) -> None:
    """Rows times a power of two give the labels and posteriors of the rows themselves."""
    X = two_clusters()
    plain = desk.fits(X, name="plain")
    directory = desk.fits(X * scale, *said)
    for name in ("labels", "max_posterior"):
        np.testing.assert_array_equal(output(directory, name), output(plain, name))
    assert math.isfinite(record(directory)["mean_log_likelihood"])
    model = load_model(directory)
    means = load_model(plain).means
    np.testing.assert_allclose(model.means / scale, means, rtol=4 * np.finfo(float).eps)
    assert np.isfinite(model.parameters.covariances).all()


@CASES.case(74, "values of 1e308", 0)
def _(desk: Desk) -> None:
    said = ("variances of x0, x1", "too large for float64", "standardised units")
    at_scale(desk, 2.0**1019, *said)


@CASES.case(75, "values of 1e-304 and 1e-310", 0)
def _(desk: Desk) -> None:
    said = ("variances of x0, x1", "too small for float64", "standardised units")
    at_scale(desk, 2.0**-1010, *said)
    assert parts_in_two(desk.fits(two_clusters() * 1e-310, *said, name="denormal"))


@CASES.case(76, "-0.0 is 0.0", 0)
def _(desk: Desk) -> None:
    X = np.rint(two_clusters())
    X[::3, 0] = 0.0
    plain = desk.fits(X, name="plain")
    X[::6, 0] = -0.0
    assert bits(desk.fits(X)) == bits(plain)


@CASES.case(77, "a constant column", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    X = np.column_stack([X, np.full(120, 7.0)])
    said = "constant in the sample, so they separate no components: x2. Consider leaving them out"
    assert parts_in_two(desk.fits(X, said))


@CASES.case(78, "a column twice", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    said = ("features with equal values in the whole sample: x0 = x2", "leave one of each out")
    assert parts_in_two(desk.fits(np.column_stack([X, X[:, 0]]), *said))


@CASES.case(79, "a column that is a sum of others", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    directory = desk.fits(np.column_stack([X, X.sum(axis=1)]))
    assert parts_in_two(directory)
    assert np.isfinite(load_model(directory).precisions).all()


@CASES.case(80, "offsets of 1e8 and 1e15", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    for offset in (1e8, 1e15):
        directory = desk.fits(X + offset, name=f"{offset:g}")
        assert parts_in_two(directory)
        spread = np.sqrt(load_model(directory).feature_variances())
        # A standard deviation of 60 rows of variance 1, stored in steps of 1/8 at 1e15.
        assert (abs(spread - 1) < 4 / math.sqrt(2 * 60) + 1 / 8).all()


@CASES.case(81, "features of very different scale", 0)
def _(desk: Desk) -> None:
    X, scale = two_clusters(), 2.0 ** np.array([-40, 40])  # 1e-12 and 1e12
    plain = desk.fits(X, name="plain")
    assert bits(desk.fits(X * scale))[1]["labels"] == bits(plain)[1]["labels"]


@CASES.case(82, "all rows alike", 0)
def _(desk: Desk) -> None:
    said = ("constant in the sample, so they separate no components: x0, x1", "all means are alike")
    told = record(desk.fits(np.full((120, 2), 3.0), *said))
    assert told["outcome"] == "DEGENERATE_START"
    assert math.isfinite(told["mean_log_likelihood"])


@CASES.case(83, "fewer distinct rows than components", 0)
def _(desk: Desk) -> None:
    X = np.array([[0.0, 0.0], [9.0, 1.0], [4.0, 7.0]])[np.arange(120) % 3]
    told = record(desk.fits(X, "fewer than 2 of 120 rows: ", model={"n_components": 5}))
    assert sorted(told["label_counts"]) == [0, 0, 40, 40, 40]
    bare = {"n_components": 5, "reg_covar_relative": 0}
    said = (
        "component 0 of 5: no component has a usable covariance: 1e-06 of each",
        "look for const",
    )
    told = record(desk.fits(X, *said, name="bare", model=bare))
    assert told["outcome"] == "COMPONENT_COLLAPSED"
    assert math.isfinite(told["mean_log_likelihood"])


@CASES.case(84, "many ties", 0)
def _(desk: Desk) -> None:
    assert parts_in_two(desk.fits(np.rint(two_clusters()).astype(np.int32)))


@CASES.case(85, "an outlier of 1e12", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[60, 1] = 1e12
    said = (
        "feature x1: standard deviation ",
        "the value farthest out is 1e+12 in chunk c/1/0, row 60. Is it a fill value?",
        "each of these components has fewer than 2 of 120 rows: ",
        " (of 2). Outliers have taken them",
    )
    desk.fits(X, *said)


@CASES.case(86, "sorted rows", 0)
def _(desk: Desk) -> None:
    X = two_clusters(60_000)
    X = X[np.argsort(X[:, 0])]
    told = record(desk.fits(X, initialisation={"sample_rows": 500}))
    assert abs(told["label_counts"][0] - 30_000) < 1000
    assert told["outcome"] == "CONVERGED"


@CASES.case(87, "one feature, two thousand features", 0, 78)
def _(desk: Desk) -> None:
    assert record(desk.fits(two_clusters(d=2)[:, :1]))["label_counts"] != [120, 0]
    desk.write_rows(np.random.default_rng(0).normal(size=(60, 2000)))
    said = (
        "the job does not fit into memory",
        "60 rows x 2000 features",
        "2003001 float64",
        "NOT fit",
    )
    model, cluster = {"n_components": 20}, {"memory_limit": "2GiB"}
    desk.job(78, *said, name="wide", model=model, cluster=cluster)


@CASES.case(88, "one component", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    directory = desk.fits(X, model={"n_components": 1, "reg_covar_relative": 0})
    model = load_model(directory)
    tolerance = len(X) * np.finfo(float).eps
    np.testing.assert_allclose(model.means[0], X.mean(axis=0), rtol=tolerance)
    np.testing.assert_allclose(model.covariances[0], np.cov(X.T, bias=True), rtol=tolerance)


def resident_bytes(which: str) -> int:
    """Memory of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(which)]
    return 1024 * int(line.split()[1])


@CASES.case(89, "five thousand components", 0)
def _(desk: Desk) -> None:
    rng = np.random.default_rng(0)
    X, k = rng.normal(size=(12_000, 2)), 5000
    desk.write_rows(X)
    # So much regularisation that no component of two rows collapses.
    model = {"n_components": k, "covariance_type": "diag", "max_iter": 1, "reg_covar": 0.1}
    start = {"method": "random_from_data", "n_sample_starts": 0}
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    directory = desk.job(0, model=model, initialisation=start)
    grown = resident_bytes("VmHWM") - before
    assert grown < len(X) * k * 8 / 2, grown  # 120 MiB of it are compiled code
    assert set(read_arrays(directory / "sample.npz")) == {"rows"}  # no K × K either


@CASES.case(90, "sample weights", 65)
def _(desk: Desk) -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    desk.write_rows(X)
    faults = {-1.0: "is -1, expected", np.nan: "is nan, expected", 0.0: "all weights are zero"}
    for number, (value, said) in enumerate(faults.items()):
        desk.write_rows(np.full((100, 1), value), f"w{number}.zarr")
        desk.job(65, said, data={"weights": {"array": f"w{number}.zarr", "kind": "importance"}})
    desk.write_rows(np.ones((99, 1)), "short.zarr")
    own = {"array": "short.zarr", "kind": "counts"}
    desk.job(65, "there are 99 weights for 100 rows", data={"weights": own})


@CASES.case(91, "more rows than float32 counts", 0)
def _(desk: Desk) -> None:
    n_copies, rows = 17, 2**20
    X = (np.arange(rows, dtype=np.float32) % 4).reshape(-1, 1)
    desk.write_rows(X, chunks=(rows, 1))
    edit("rows.zarr/zarr.json", shape=[n_copies * rows, 1])
    for copy in range(1, n_copies):
        Path(f"rows.zarr/c/{copy}").mkdir()
        shutil.copy("rows.zarr/c/0/0", f"rows.zarr/c/{copy}/0")
    only = {"max_posterior": False, "log_density": False}
    directory = desk.job(0, model={"n_components": 1, "max_iter": 1}, output=only)
    assert record(directory)["label_counts"] == [n_copies * rows]
    assert n_copies * rows > 2**24
    assert load_model(directory).means[0] == pytest.approx(1.5, rel=1e-12)


@CASES.case(92, "a row of which nothing is known", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[33] = np.nan
    wanted = {"anomaly_quantile": 0.1, "responsibilities": True}
    directory = desk.fits(X, data={"missing": "drop"}, output=wanted)
    assert output(directory, "labels")[33] == output(directory, "anomaly")[33] == -1
    for name in ("max_posterior", "log_density", "responsibilities"):
        values = output(directory, name).reshape(120, -1)
        assert np.isnan(values[33]).all()
        assert np.isfinite(np.delete(values, 33, axis=0)).all()
    assert pytest.approx(1) == output(directory, "responsibilities")[0].sum()
