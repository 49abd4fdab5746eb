"""The JSON Schema for editors, and the job files that come with dgmm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dgmm.config import json_schema, load_job
from dgmm.config.schema import REGISTRIES
from dgmm.config.yaml_reader import read_yaml
from dgmm.outcome import Outcome

FOLDER = Path(__file__).resolve().parents[2] / "config"
REQUIRED = {"data.path", "model.n_components", "output.path"}


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of a job, dotted, with its schema."""
    schema = json_schema()
    for name, entry in schema["properties"].items():
        section = schema["$defs"].get(entry.get("$ref", "").rpartition("/")[2], {})
        yield name, section | entry
        if section:
            for key, value in section["properties"].items():
                yield f"{name}.{key}", value


def flat(job: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in job.items():
        found[name] = value
        if isinstance(value, dict):
            found |= {f"{name}.{key}": item for key, item in value.items()}
    return found


@pytest.mark.parametrize(("key", "schema"), list(properties()), ids=lambda value: str(value)[:30])
def test_every_key_is_described(key, schema):
    assert schema["description"].rstrip().endswith((".", "`data`", "below"))


def test_unknown_keys_are_errors_to_editors_too():
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in schema["$defs"].values())


def test_bounds_and_choices_reach_the_schema():
    entries = dict(properties())
    components = entries["model.n_components"]["anyOf"][0]
    assert components == {"type": "integer", "minimum": 1, "maximum": 1_000_000}
    one, several = entries["model.covariance_type"]["anyOf"]
    assert (
        one["enum"]
        == several["items"]["enum"]
        == [
            *("full", "tied", "diag", "spherical"),
            *("tied_diag", "tied_spherical"),
        ]
    )
    assert entries["model.tol"] == entries["model.tol"] | {"minimum": 0, "default": 1e-4}
    assert entries["seed"]["maximum"] == 2**63 - 1


def environment_of(name: str) -> dict[str, str]:
    variables = {
        "connect.yaml": {"DASK_SCHEDULER_ADDRESS": "tcp://127.0.0.1:8786"},
        "nightly.yaml": {"NIGHT": "2026-01-31"},
    }
    return variables.get(name, {})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_a_job_file_that_comes_with_dgmm_is_valid(path):
    job = load_job(path, kind="any", environment=environment_of(path.name))
    assert job.command == ("predict" if path.name == "predict.yaml" else "run")


def test_the_job_files_are_those_that_the_documentation_names():
    names = {path.name for path in FOLDER.glob("*.yaml")}
    assert names >= {"photos.yaml", "predict.yaml", "connect.yaml", "reference.yaml"}


def test_predict_uses_the_model_of_the_sample_job():
    sample = load_job(FOLDER / "photos.yaml")
    prediction = load_job(FOLDER / "predict.yaml", kind="predict")
    assert prediction.model.path == f"{sample.output.path}/model"
    assert prediction.data == sample.data


def test_a_cluster_needs_its_address_from_the_environment():
    job = load_job(FOLDER / "connect.yaml", environment=environment_of("connect.yaml"))
    assert job.cluster.address == "tcp://127.0.0.1:8786"


def reference() -> dict[str, Any]:
    text = (FOLDER / "reference.yaml").read_text(encoding="utf-8")
    return flat(read_yaml(text, "reference.yaml", {}, lines=True).value)


def test_the_reference_names_every_key_and_no_other():
    assert set(reference()) == {key for key, _ in properties()}


def test_the_reference_gives_every_default():
    found = reference()
    defaults = {
        key: schema["default"]
        for key, schema in properties()
        if "$ref" not in schema and key not in REQUIRED
    }
    assert len(defaults) > 25
    assert {key: found[key] for key in defaults} == defaults


def test_reference_and_schema_name_every_end_without_convergence():
    text = (FOLDER / "reference.yaml").read_text(encoding="utf-8")
    comment = text.partition("on_not_converged: ")[2].partition("\n\n")[0]
    described = dict(properties())["on_not_converged"]["description"]
    # A fit of numbers that are not finite leaves no model: it fails, whatever the job says.
    ends = {o.name for o in Outcome if o.is_usable and not o.has_converged}
    for words in (comment, described):
        assert "every end without convergence" in words.lower()
        assert set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", words)) == ends


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.key)
def test_the_reference_names_every_choice_that_is_built_in(registry):
    text = (FOLDER / "reference.yaml").read_text(encoding="utf-8")
    key = registry.key.rpartition(".")[2]
    comment = re.split(r"\n  \w+:", text.partition(f"\n  {key}: ")[2])[0]
    assert set(registry) <= set(re.findall(r"[\w+-]+", comment))


def test_every_line_of_the_reference_with_a_key_has_a_comment():
    lines = (FOLDER / "reference.yaml").read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if line and "#" not in line]
    assert bare == []
