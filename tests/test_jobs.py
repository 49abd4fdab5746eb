"""The jobs that come with dgmm: the sample they prepare, and each of them from end to end."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import zarr
from scipy import special

PROJECT = Path(__file__).resolve().parent.parent
CROP = 16
INNER = CROP - 2


def load(job: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"jobs_{job.stem}", job)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photos() -> ModuleType:
    return load(PROJECT / "jobs" / "photos.py")


def start(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(PROJECT / "jobs" / "photos.py")]
    command += [str(argument) for argument in arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a path with space") / "photos.zarr"
    done = start("--only-data", "--path", path, "--crop", CROP, "--rows-per-chunk", 100)
    assert done.returncode == 0, done.stderr
    return path


def test_the_sample_is_a_float32_array_of_27_named_features(prepared: Path) -> None:
    array = zarr.open_array(prepared, mode="r")
    assert array.metadata.zarr_format == 3
    assert array.dtype == np.float32
    assert array.shape == (2 * INNER * INNER, 27)
    assert array.chunks == (100, 27)
    names = array.attrs["feature_names"]
    assert names[:4] == ["r-1-1", "g-1-1", "b-1-1", "r-1+0"]
    assert names[12:15] == ["r+0+0", "g+0+0", "b+0+0"]
    assert names[-1] == "b+1+1"
    assert len(set(names)) == 27


def test_the_sample_says_how_its_rows_lie_in_the_images(prepared: Path) -> None:
    attributes = zarr.open_array(prepared, mode="r").attrs
    assert attributes["sample_dims"] == ["image", "row", "column"]
    assert attributes["sample_shape"] == [2, INNER, INNER]


def test_each_row_is_a_pixel_of_the_photograph_and_its_neighbours(
    prepared: Path, photos: ModuleType
) -> None:
    array = zarr.open_array(prepared, mode="r")
    rows = np.asarray(array[:]).reshape(2, INNER, INNER, 27)
    names = list(array.attrs["feature_names"])
    # the largest of m draws of the noise exceeds this once in 10^9 photographs
    bound = float(special.ndtri(1 - 1e-9 / (2 * rows.size))) * photos.NOISE_SD
    for image, photograph in enumerate(photos.photographs(CROP)):
        for name, feature in zip(names, np.moveaxis(rows[image], -1, 0), strict=True):
            row, column = int(name[1:3]), int(name[3:5])
            source = photograph[
                1 + row : 1 + row + INNER, 1 + column : 1 + column + INNER, "rgb".index(name[0])
            ]
            assert np.abs(feature - source).max() < bound


def test_the_noise_has_a_standard_deviation_of_one_grey_level(photos: ModuleType) -> None:
    image = photos.photographs()[0]
    noise = photos.noisy(image, index=0, seed=0) - image
    # sampling error of a standard deviation: sd / sqrt(2 m)
    assert abs(noise.std() - 1.0) < 5 / np.sqrt(2 * noise.size)
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(
    photos: ModuleType, prepared: Path, tmp_path: Path
) -> None:
    def values(seed: int, rows_per_chunk: int) -> bytes:
        path = tmp_path / f"{seed}.zarr"
        photos.prepare(path, photos.Recipe(CROP, seed, rows_per_chunk))
        return np.asarray(zarr.open_array(path, mode="r")[:]).tobytes()

    expected = np.asarray(zarr.open_array(prepared, mode="r")[:]).tobytes()
    assert values(seed=0, rows_per_chunk=77) == expected
    assert values(seed=1, rows_per_chunk=100) != expected


def test_the_two_photographs_bear_different_noise(photos: ModuleType) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    assert not np.array_equal(photos.noisy(image, 0, 0), photos.noisy(image, 1, 0))


def test_the_whole_sample_has_542300_rows_in_chunks_of_4_to_16_mib(photos: ModuleType) -> None:
    images = photos.photographs()
    assert [photos.neighbourhoods(i).shape for i in images] == [(425 * 638, 27)] * 2
    assert 4 <= photos.Recipe().rows_per_chunk * 27 * 4 / 2**20 <= 16


def test_a_sample_that_is_there_is_left_alone(
    photos: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photos.zarr"
    photos.prepare(path, photos.Recipe(CROP))
    before = path.stat().st_ino
    photos.prepare(path, photos.Recipe(CROP))
    assert path.stat().st_ino == before
    assert capsys.readouterr().out.splitlines()[-1] == f"{path} is there already"


@pytest.mark.parametrize("damage", ["a chunk is gone", "another recipe"])
def test_a_sample_that_is_not_the_one_asked_for_is_made_again(
    photos: ModuleType, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "photos.zarr"
    photos.prepare(path, photos.Recipe(CROP, seed=0 if "chunk" in damage else 1))
    if "chunk" in damage:
        (path / "c" / "0" / "0").unlink()
    photos.prepare(path, photos.Recipe(CROP))
    array = zarr.open_array(path, mode="r")
    assert array.attrs["seed"] == 0
    assert array.nchunks_initialized == array.nchunks


def test_an_interrupted_preparation_leaves_nothing_under_the_name_and_is_redone(
    photos: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photos.zarr"

    def interrupted(image: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(photos, "neighbourhoods", interrupted)
        with pytest.raises(KeyboardInterrupt):
            photos.prepare(path, photos.Recipe(CROP))
    assert not path.exists()
    photos.prepare(path, photos.Recipe(CROP))
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos.zarr"]


def test_data_that_this_job_did_not_write_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    refused = start("--only-data", "--path", tmp_path, "--crop", CROP)
    assert refused.returncode == 1
    assert f"{tmp_path} exists and jobs/photos.py did not write it" in refused.stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("words", [("--crop", "2"), ("--crop", "428"), ("--seed", "-1")])
def test_a_number_out_of_range_is_a_usage_error(words: tuple[str, str]) -> None:
    refused = start("--only-data", *words)
    assert refused.returncode == 2
    assert f"{words[1]} is no number from" in refused.stderr


@pytest.mark.slow
def test_the_job_runs_from_end_to_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["--path", tmp_path / "sample.zarr", "--crop", "40"]
    for setting in ("cluster.kind=threads", f"output.path={run}", "output.report=false"):
        words += ["--set", setting]
    command = [sys.executable, PROJECT / "jobs" / "photos.py", *words]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    assert record["rows"]["read"] == 2 * 38 * 38


def test_a_job_ends_with_the_exit_code_of_the_command(tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    ended = start("--path", tmp_path / "sample.zarr", "--crop", CROP, "--job", absent)
    assert ended.returncode == 66, ended.stderr
    assert str(absent) in ended.stderr
