"""Several numbers of components and covariance types: lists and ranges, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dgmm.config import Job, load_job
from dgmm.errors import JobFileError
from dgmm.job.earlier_identities import in_former_names, in_todays_names
from dgmm.job.identity import identity


def load(folder: Path, /, **model: Any) -> Job:
    path = folder / "job.yaml"
    tree = {"data": {"path": "rows.zarr"}, "model": model, "output": {"path": "run"}}
    path.write_text(json.dumps(tree))  # JSON is YAML
    return load_job(path)


@pytest.mark.parametrize(
    ("written", "sizes"),
    [
        ([8, 2, 4], [2, 4, 8]),
        ([8.0, 2], [2, 8]),
        ({"from": 1, "to": 4}, [1, 2, 3, 4]),
        ({"from": 2, "to": 64, "factor": 2}, [2, 4, 8, 16, 32, 64]),
        ({"from": 3, "to": 20, "factor": 2}, [3, 6, 12]),
        ({"from": 5, "to": 5}, [5]),
        ([7], [7]),
        (7, [7]),
    ],
)
def test_numbers_of_components_become_a_sorted_list(
    tmp_path: Path, written: Any, sizes: list[int]
) -> None:
    assert load(tmp_path, n_components=written).models == tuple((k, "full") for k in sizes)


def test_every_type_is_fitted_for_every_number(tmp_path: Path) -> None:
    job = load(tmp_path, n_components=[3, 2], covariance_type=["diag", "full"])
    assert job.models == ((2, "full"), (3, "full"), (2, "diag"), (3, "diag"))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("2-20", "are a list, [2, 4, 8], or a mapping, {from: 1, to: 20}"),
        ("2, 4", "are a list, [2, 4, 8], or a mapping, {from: 1, to: 20}"),
        ([], "the list is empty: write at least one value"),
        ([4, 2, 4], "4 stands in the list more than once: remove one of them"),
        ([2, "x"], "expected whole numbers from 1 to 1,000,000 in the list; 'x' is none"),
        ([2, 0], "expected whole numbers from 1 to 1,000,000 in the list; 0 is none"),
        ({"from": 2}, "to is missing; a range is {from: 1, to: 20}"),
        ({"from": 9, "to": 2}, "from is 9 and to is 2: exchange them"),
        ({"from": 1, "to": 9, "step": 2}, "unknown key 'step'; a range has from, to"),
        ({"from": 1, "to": 9, "factor": 1}, "a whole number of at least 2 for factor"),
        ({"from": 1, "to": 5000}, "5,000 models, and at most 1,000 are fitted at once"),
        (True, "expected a whole number from 1 to 1,000,000 or a list of these"),
    ],
)
def test_what_is_no_number_of_components_is_refused_with_the_remedy(
    tmp_path: Path, written: Any, message: str
) -> None:
    with pytest.raises(JobFileError) as refused:
        load(tmp_path, n_components=written)
    assert "model.n_components" in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ([], "the list is empty"),
        (["full", "full"], "full stands in the list more than once"),
        (["full", "round"], "expected names out of full, tied, diag, spherical, "),
    ],
)
def test_what_is_no_list_of_types_is_refused(tmp_path: Path, written: Any, message: str) -> None:
    with pytest.raises(JobFileError) as refused:
        load(tmp_path, n_components=2, covariance_type=written)
    assert message in str(refused.value)


def test_several_models_need_em_and_starts_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="models are compared after EM"):
        load(tmp_path, n_components=[2, 3], max_iter=0)
    path = tmp_path / "given.yaml"
    path.write_text(
        "data: {path: rows.zarr}\nmodel: {n_components: [2, 3]}\noutput: {path: run}\n"
        "initialisation: {method: given, model: other/model}\n"
    )
    with pytest.raises(JobFileError, match="a given start is of one model"):
        load_job(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"n_components": {"from": 2, "to": 6}},
            "no likelihood for BIC to compare; give the largest: empty components are pruned",
        ),
        (
            {"n_components": 4, "covariance_type": ["full", "tied"]},
            "model.covariance_type: several values contradict inference: variational",
        ),
    ],
)
def test_models_of_variational_inference_are_not_compared(
    tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobFileError) as refused:
        load(tmp_path, **model, inference="variational")
    assert message in str(refused.value)
    assert load(tmp_path, **model, inference="map").models
    assert load(tmp_path, n_components=[4], covariance_type=["tied"], inference="variational")


def test_the_rule_is_part_of_a_job_of_several_models_alone(tmp_path: Path) -> None:
    """A job of one model is the one that it was before there was a rule."""
    assert "selection" not in identity(load(tmp_path, n_components=3))
    assert identity(load(tmp_path, n_components=[3])) == identity(load(tmp_path, n_components=3))
    several = identity(load(tmp_path, n_components={"from": 2, "to": 3}))
    assert several["selection"]["tolerance"] == 0.01
    assert several["selection"]["split_starts"] is True
    former = in_former_names(several)
    assert former["selection"] == {"tolerance": 0.01, "split_starts": True}
    assert in_todays_names(former) == several
    assert in_todays_names(in_former_names(identity(load(tmp_path, n_components=3)))) == identity(
        load(tmp_path, n_components=3)
    )
    assert several["model"]["n_components"] == [2, 3]
