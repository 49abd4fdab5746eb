"""The sample jobs for other kinds of input: each writes its sample, runs, and gives results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from dgmm import load_model
from dgmm.cli.entry_point import run as dgmm
from dgmm.model.mixture_model import MixtureModel

PROJECT = Path(__file__).resolve().parent.parent

#: What AnnData itself does that pandas 3.1 warns of.
_OF_ANNDATA = "ignore:The 'future.infer_string' option is deprecated"


def run(name: str, sample: str, folder: Path) -> dict[str, Any]:
    """run.json of a sample job, with its sample and its run directory in a folder."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        _OF_ANNDATA,
        str(PROJECT / "jobs" / f"{name}.py"),
    ]
    command += ["--path", str(folder / sample)]
    for setting in (f"output.path={folder / 'run'}", "cluster.kind=threads", "output.report=false"):
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads((folder / "run" / "run.json").read_text())
    return record


def rows(folder: Path) -> pd.DataFrame:
    """All results of a table, in the order of its parts."""
    return pd.concat([pd.read_parquet(path) for path in sorted((folder / "run/rows").iterdir())])


def test_the_ocean_gives_a_map_with_the_coordinates_of_its_input(tmp_path: Path) -> None:
    record = run("ocean", "ocean.nc", tmp_path)
    with (
        xr.open_dataset(tmp_path / "ocean.nc") as ocean,
        xr.open_zarr(tmp_path / "run" / "maps.zarr", chunks=None) as maps,
    ):
        for name in ("lat", "lon"):
            assert maps[name].identical(ocean[name])
        assert maps.labels.dims == ("lat", "lon")
        has_value = ocean.temperature.notnull().any("depth")
        assert ((maps.labels >= 0) == has_value).all()
        assert record["rows"]["dropped"] == int((~has_value).sum()) > 0


def test_profiles_are_labelled_as_by_scikit_learn_behind_its_own_components(
    tmp_path: Path,
) -> None:
    record = run("profiles", "profiles.nc", tmp_path)
    names = [f"{name}_pc{i}" for name in ("temperature", "salinity") for i in (1, 2, 3)]
    assert record["data"]["feature_names"] == names
    with (
        xr.open_dataset(tmp_path / "profiles.nc") as profiles,
        xr.open_zarr(tmp_path / "run" / "maps.zarr", chunks=None) as maps,
    ):
        assert adjusted_rand_score(profiles.kind.values, maps.labels.values.astype(int)) >= 0.9
        variables = [profiles.temperature.values, profiles.salinity.values]
    scores = [
        PCA(3, svd_solver="full").fit_transform(StandardScaler().fit_transform(variable))
        for variable in variables
    ]
    random = {"initialisation.method": "random_from_data", "initialisation.n_sample_starts": 0}
    start = fitted(tmp_path, "start", {"model.max_iter": 0, "on_not_converged": "ignore", **random})
    given = {"initialisation.method": "given", "initialisation.model": tmp_path / "start" / "model"}
    labels = fitted(tmp_path, "again", given).predict(np.hstack(variables))
    peer = GaussianMixture(
        4,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=start.precisions,
        max_iter=1000,
        tol=1e-6,
    )
    assert adjusted_rand_score(peer.fit_predict(np.hstack(scores)), labels) >= 0.9


def fitted(folder: Path, name: str, settings: dict[str, Any]) -> MixtureModel:
    """The model that the job of the profiles gives with other settings."""
    places = {"data.path": folder / "profiles.nc", "output.path": folder / name}
    here = {"cluster.kind": "threads", "output.report": "false"}
    words = [f"{key}={value}" for key, value in {**places, **here, **settings}.items()]
    command = ["run", "--quiet", str(PROJECT / "config" / "profiles.yaml")]
    assert dgmm([*command, *(word for pair in words for word in ("--set", pair))]) == 0
    return load_model(folder / name)


def test_flights_come_back_by_their_ids_a_file_a_month(tmp_path: Path) -> None:
    record = run("flights", "flights", tmp_path)
    found = rows(tmp_path)
    assert len(list((tmp_path / "run" / "rows").iterdir())) == 12
    assert found.flight_id.str.len().eq(7).all()
    assert sorted(found.flight_id) == [f"{number:07d}" for number in range(336_776)]
    assert (found.label == -1).sum() == record["rows"]["dropped"] > 0


def test_cells_come_back_by_their_names(tmp_path: Path) -> None:
    run("cells", "cells.h5ad", tmp_path)
    found = rows(tmp_path)
    digits = load_digits().target
    assert len(found) == len(digits)
    assert adjusted_rand_score(digits, found.label) >= 0.5


def test_stars_count_with_what_is_known_of_them(tmp_path: Path) -> None:
    record = run("stars", "stars.parquet", tmp_path)
    stars = pd.read_parquet(tmp_path / "stars.parquet")
    found = rows(tmp_path)
    assert (found.label >= 0).all()
    assert list(found.name) == list(stars.name)
    assert record["data"]["feature_names"] == ["color", "magnitude", "speed"]
    dwarfs = stars.magnitude.to_numpy() > 10.0
    dwarfs &= stars.color.to_numpy() < 0.3
    dwarfs &= ~stars["color.mask"].to_numpy()
    label = np.bincount(found.label[dwarfs]).argmax()
    assert (found.label[dwarfs] == label).mean() >= 0.9


def test_speakers_are_recognised_by_utterances_that_were_not_fitted(tmp_path: Path) -> None:
    record = run("classify", "speech.parquet", tmp_path)
    found = record["classification"]
    assert record["data"]["feature_names"] == ["c1", "c2", "c3", "c4", "c5"]
    assert found["rows_without_class"] == 50
    assert found["held_out"]["accuracy"] < found["groups"]["held_out"]["accuracy"]
    assert found["groups"]["held_out"]["accuracy"] >= 0.99
    groups = pd.read_csv(tmp_path / "run" / "groups.csv")
    assert groups.predicted.iloc[-1] == "speaker 6"
    assert np.isnan(groups["class"].map({"speaker 6": 6}).iloc[-1])
