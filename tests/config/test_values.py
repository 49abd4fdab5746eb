"""What a job file may say, and what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dgmm.config import Job, load_job, to_yaml
from dgmm.config.values import parse_bytes
from dgmm.errors import JobFileError
from dgmm.fitting.prior_settings import PRIOR_KEYS

JOB = """\
data: {path: data/x.zarr}
model: {n_components: 8}
output: {path: runs/x}
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(content: str | bytes, *overrides: str, kind: str = "run", **environment: str) -> Job:
    Path("job.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_job("job.yaml", overrides, kind=kind, environment=environment)


def test_three_keys_are_enough_and_the_rest_has_the_documented_defaults():
    assert load(JOB).resolved() == {
        "version": 1,
        "task": "fit",
        "data": {
            "path": "data/x.zarr",
            "format": "auto",
            "array": None,
            "columns": None,
            "id": None,
            "describe": None,
            "csv": {"delimiter": None, "decimal": None, "null_values": None, "encoding": None},
            "variables": None,
            "sample_dims": None,
            "feature_dims": None,
            "select": None,
            "concat_dim": None,
            "weights": {"array": None, "column": None, "cos": None, "kind": None},
            "classes": None,
            "groups": None,
            "prepare": "auto",
            "missing": "error",
            "absent_chunks": "error",
        },
        "model": {
            "n_components": 8,
            "covariance_type": "full",
            "tol": 1e-4,
            "max_iter": 200,
            "n_init": 1,
            "reg_covar": 0.0,
            "reg_covar_relative": "auto",
            "acceleration": "squarem",
            "on_collapse": "reseed",
            "component_order": "start",
            "noise": False,
            "freeze": [],
            "inference": "maximum_likelihood",
            **dict.fromkeys(PRIOR_KEYS),
            "weight_concentration_prior_type": "dirichlet_process",
            "path": None,
        },
        "selection": {
            "criterion": "bic",
            "folds": 5,
            "fold_rows": 1,
            "tolerance": 0.01,
            "stability": False,
            "split_starts": True,
        },
        "classes": {"priors": "data", "folds": 0, "unknown": None},
        "merging": {"max_entropy": 0.01, "min_overlap": 0.05, "n_clusters": None},
        "comparison": False,
        "anomalies": dict.fromkeys(("quantile", "rate", "log_density", "top")),
        "monitor": {
            "against": None,
            "on_drift": "warn",
            "hellinger": 0.07,
            "weight": 0.02,
            "anomaly_ratio": 2.0,
            "significance": 3.0,
        },
        "adapt": {"relevance": None, "parameters": ["means"]},
        "initialisation": {
            "method": "kmeans",
            "sample_rows": "auto",
            "n_sample_starts": "auto",
            "model": None,
        },
        "cluster": {
            "kind": "auto",
            "n_workers": "auto",
            "threads_per_worker": 1,
            "memory_limit": "auto",
            "address": None,
            "scheduler_file": None,
        },
        "compute": {"backend": "auto"},
        "output": {
            "path": "runs/x",
            "if_exists": "resume",
            "labels": True,
            "max_posterior": True,
            "log_density": True,
            "anomaly_quantile": None,
            "zarr_format": "auto",
            "table": "auto",
            "map": "auto",
            "responsibilities": False,
            "clusters": False,
            "class_posteriors": True,
            "imputed": False,
            "residual": True,
            "report": "auto",
        },
        "preprocess": None,
        "checkpoint": {"every_s": 60.0},
        "storage": {"retry_s": 600.0},
        "on_not_converged": "warn",
        "seed": 0,
    }


NUMBERS = {
    "1e-6": ("model.tol", 1e-6),
    "1E-6": ("model.tol", 1e-6),
    "+.5": ("model.tol", 0.5),
    "0": ("model.tol", 0.0),
    "8.0": ("model.n_components", 8),
    "1e3": ("model.n_components", 1000),
    "0x10": ("model.n_components", 16),
    "0o10": ("model.n_components", 8),
    "1000000": ("model.n_components", 1_000_000),
    str(2**63 - 1): ("seed", 2**63 - 1),
}


@pytest.mark.parametrize(("text", "expected"), NUMBERS.items(), ids=NUMBERS)
def test_numbers_are_read_by_the_rules_of_yaml_1_2(text, expected):
    path, value = expected
    section, _, key = path.rpartition(".")
    job = load(JOB, f"{path}={text}").resolved()
    found = (job[section] if section else job)[key]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", ["no", "off", "y", "12:30:00", "2024-01-01", "1_000", "0b1"])
def test_words_that_other_loaders_convert_stay_words(name):
    assert load(JOB.replace("runs/x", name)).output.path == name


def test_no_iteration_is_allowed():
    assert load(JOB, "model.max_iter=0").model.max_iter == 0


def test_a_byte_order_mark_and_carriage_returns_change_nothing():
    assert load(b"\xef\xbb\xbf" + JOB.replace("\n", "\r\n").encode()) == load(JOB)


def test_an_empty_section_is_a_section_of_defaults():
    assert load(JOB + "cluster:\ninitialisation: # kmeans\n") == load(JOB)


def test_an_anchor_may_be_used_again():
    job = load(
        'data: {path: &p "a"}\nmodel: {n_components: 1}\noutput: {path: b, if_exists: error}\n'
    )
    assert job.data.path == "a"
    shared = load(JOB + "seed: &n 4\ncluster: {n_workers: *n}\n", "seed=5")
    assert (shared.seed, shared.cluster.n_workers) == (5, 4)
    named = load("data: {&key path: a}\nmodel: {n_components: 1}\noutput: {path: *key}\n")
    assert named.output.path == "path"


def test_text_takes_variables_from_the_environment_and_only_text():
    job = load(
        "data: {path: 'data/${NAME}.zarr', array: '$${NAME} costs $5'}\n"
        "model: {n_components: 8}\n"
        "output:\n  path: runs/${DATE}-${NAME}\n",
        NAME="x y",
        DATE="${NAME}",
    )
    assert job.data.path == "data/x y.zarr"
    assert job.data.array == "${NAME} costs $5"
    assert job.output.path == "runs/${NAME}-x y"  # what comes in is not searched again


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("RUN_DATE", "2024-06-01")
    Path("job.yaml").write_text(JOB.replace("runs/x", '"runs/${RUN_DATE}"'))
    assert load_job("job.yaml").output.path == "runs/2024-06-01"


def test_an_override_replaces_what_the_file_says_or_leaves_out():
    job = load(JOB, "model.tol=1e-5", "data.array='01'", "seed=3", "seed=4", "output.labels=false")
    assert (job.model.tol, job.data.array, job.seed, job.output.labels) == (1e-5, "01", 4, False)
    assert job.model.n_components == 8


def test_an_override_replaces_a_fault_of_the_file():
    content = JOB.replace("n_components: 8", "n_components: 08").replace("runs/x", '"${UNSET}"')
    assert load(content, "model.n_components=9", "output.path=runs/y").model.n_components == 9


def test_an_override_may_replace_a_section():
    job = load(
        JOB + "cluster: {n_workers: 3}\n", "cluster={kind: threads}", "model={n_components: 2}"
    )
    assert (job.cluster.kind, job.cluster.n_workers, job.model.n_components) == (
        "threads",
        "auto",
        2,
    )


def test_a_running_cluster_is_named_by_address_or_file():
    job = load(JOB, "cluster.address=tcp://[::1]:8786")
    assert job.resolved()["cluster"] == {"address": "tcp://[::1]:8786"}
    job = load(JOB, "cluster={scheduler_file: s.json, address: null}")
    assert job.resolved()["cluster"] == {"scheduler_file": "s.json"}


SIZES = {
    "1000": 1000,
    "4GiB": 4 * 2**30,
    "4 GB": 4 * 10**9,
    "1.001kB": 1001,
    "9007199254740993B": 9007199254740993,
    "1.5KiB": 1536,
    "2kB": 2000,
    "2KB": 2000,
    "3B": 3,
    "1TiB": 2**40,
    "4G": None,
    "-1GiB": None,
    "GiB": None,
    "1e9": None,
    "1 000": None,
}


@pytest.mark.parametrize(("text", "n_bytes"), SIZES.items(), ids=SIZES)
def test_sizes_are_powers_of_1024_with_i_and_of_1000_without(text, n_bytes):
    assert parse_bytes(text) == n_bytes


def test_a_memory_limit_becomes_bytes():
    assert load(JOB, "cluster.memory_limit=4GiB").cluster.memory_limit == 4 * 2**30
    assert load(JOB, "cluster.memory_limit=1e9").cluster.memory_limit == 10**9
    assert load(JOB, "cluster.memory_limit=auto").cluster.memory_limit == "auto"


def test_a_job_to_predict_names_a_model_and_nothing_of_a_fit():
    job = load(JOB.replace("n_components: 8", "path: runs/m"), kind="predict")
    assert job.command == "predict"
    assert job.resolved()["model"] == {"path": "runs/m"}
    assert load(JOB.replace("n_components: 8", "path: runs/m"), kind="any") == job
    assert load(JOB, kind="any").command == "run"


def test_a_null_quantile_asks_for_nothing_and_contradicts_nothing():
    nothing = ("output.log_density=false", "output.anomaly_quantile=null")
    assert load(JOB, *nothing).output.anomaly_quantile is None
    predicts = JOB.replace("n_components: 8", "path: runs/m")
    assert load(predicts, *nothing, kind="predict").output.anomaly_quantile is None
    assert load(JOB, "output.anomaly_quantile=0.1").output.anomaly_quantile == 0.1


def test_a_prediction_may_flag_by_a_rate_or_a_density_and_needs_no_array_for_the_latter():
    predicts = JOB.replace("n_components: 8", "path: runs/m")
    rate = load(predicts, "anomalies.rate=0.1", kind="predict").anomaly_rule
    assert (rate.share, rate.threshold) == (0.1, None)
    fixed = ("output.log_density=false", "anomalies.log_density=-7")
    given = load(predicts, *fixed, kind="predict").anomaly_rule
    assert (given.share, given.threshold) == (None, -7.0)
    assert load(JOB, *fixed).anomaly_rule == given
    assert load(JOB, "output.anomaly_quantile=0.1").anomaly_rule.share == 0.1
    assert load(JOB).anomaly_rule.value is None


def test_a_job_never_changes():
    job = load(JOB)
    with pytest.raises(ValidationError, match="frozen"):
        job.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        job.model.tol = 3.0


SAME_JOB = [
    "output.table=true",
    "output.map=false",
    "output.zarr_format=2",  # a run directory compares the format in force
    "model.max_iter=500",
    "cluster.kind=threads",
    "cluster.n_workers=3",
    "output.report=false",
    "output.path=runs/elsewhere",
    "output.if_exists=error",
    "on_not_converged=error",
    "model.tol=1.0e-4",
]
ANOTHER_JOB = [
    "data.path=data/y.zarr",
    "data.array=a",
    "data.path=[data/x.zarr, data/y.zarr]",
    "data.columns=[a]",
    "data.id=[a]",
    "data.describe=[a]",
    "data.csv.delimiter=;",
    "data.variables=[a]",
    "data.sample_dims=[a]",
    "data.feature_dims=[a]",
    "data.select={a: [0, 1]}",
    "data.concat_dim=a",
    "data.missing=drop",
    "data.absent_chunks=fill",
    "model.n_components=9",
    "model.covariance_type=diag",
    "model.tol=1e-5",
    "model.n_init=2",
    "model.reg_covar=1",
    "model.reg_covar_relative=1",
    "model.acceleration=none",
    "model.on_collapse=drop",
    "model.component_order=weight",
    "initialisation.method=random",
    "initialisation.sample_rows=5",
    "initialisation.n_sample_starts=0",
    "compute.backend=numpy",
    "output.labels=false",
    "output.max_posterior=false",
    "output.log_density=false",
    "output.anomaly_quantile=0.1",
    "anomalies.quantile=0.1",
    "anomalies.rate=0.1",
    "anomalies.log_density=-9",
    "anomalies.top=100",
    "output.responsibilities=true",
    "seed=1",
]


@pytest.mark.parametrize("override", SAME_JOB)
def test_how_and_where_a_job_runs_is_no_part_of_its_identity(override):
    assert load(JOB, override).fingerprint_fields() == load(JOB).fingerprint_fields()


@pytest.mark.parametrize("override", ANOTHER_JOB)
def test_what_a_job_computes_is_its_identity(override):
    assert load(JOB, override).fingerprint_fields() != load(JOB).fingerprint_fields()


def test_the_identity_of_a_prediction_is_data_model_and_products():
    def fields(*overrides: str) -> dict[str, object]:
        content = JOB.replace("n_components: 8", "path: runs/m")
        return load(content, *overrides, kind="predict").fingerprint_fields()

    assert fields("seed=3", "initialisation.method=random") == fields()
    assert fields("model.path=runs/n") != fields()
    assert set(fields()) == {"data", "model", "compute", "outputs"}


NAMES = st.text(min_size=1, max_size=20).filter(
    lambda text: (
        not set("\0$`").intersection(text)
        and "://" not in text
        and text[0] != "~"
        and text.isprintable()
    )
)


@settings(deadline=None)  # the first job of a process builds the schema
@given(
    array=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    tol=st.floats(0, allow_nan=False, allow_infinity=False),
    seed=st.integers(0, 2**63 - 1),
    path=NAMES,
)
def test_a_resolved_job_reads_back_as_the_same_job(array, tol, seed, path):
    job = Job.model_validate(
        {
            "data": {"path": "data/x.zarr", "array": array},
            "model": {"n_components": 8, "tol": tol},
            "output": {"path": f"runs/x{path}"},
            "seed": seed,
        }
    )
    assert load(to_yaml(job.resolved())) == job


@pytest.mark.parametrize(
    "text", ["no", "1e-6", "012", "null", "", "a: b", "${X}", "a\nb", "ü", "~"]
)
def test_text_that_yaml_would_read_otherwise_is_quoted(text):
    written = to_yaml({"data": {"path": "d", "array": text or "x"}})
    assert load(JOB.replace("data: {path: data/x.zarr}\n", written)).data.array == (text or "x")


TINY = "data: {path: x}\nmodel: {n_components: 2}\noutput: {path: r}\n"


@pytest.mark.parametrize("key", ["output.path", "data.path", "cluster.scheduler_file"])
@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("runs/$TODAY", "write ${TODAY}"),
        ("$HOME/runs", "write ${HOME}"),
        ("runs/a_$_x", "write ${_x}"),
        ("runs/$(date +%F)", "environment variable and write ${NAME}"),
        ("runs/`date`", "environment variable and write ${NAME}"),
        ("runs/$$", "write ${$}"),
        ("runs/$2", "write ${$}"),
        ("runs/$@-$*", "write ${$}"),
        ("runs/a$?", "write ${$}"),
        ("runs/$#", "write ${$}"),
        ("runs/$!b", "write ${$}"),
        ("runs/$-", "write ${$}"),
        ("runs/$[2*3]", "write ${$}"),
        ("runs/$((2*3))", "write ${$}"),
        ("runs/5$", "write ${$}"),
        ("runs/%JOB_DAY%", "write ${JOB_DAY}"),
    ],
)
def test_what_a_shell_would_replace_in_a_path_is_refused_with_the_remedy(key, path, remedy):
    with pytest.raises(JobFileError, match=re.escape(remedy)):
        load(TINY, f"{key}={path}")


@pytest.mark.parametrize("path", ["runs/a~b", "runs/100%", "runs/%Y-%m", "runs/gr%C3%BC%C3%9F"])
def test_tildes_and_percent_signs_are_characters_of_a_path(path):
    assert load(TINY, f"output.path={path}").output.path == path


def test_a_dollar_of_a_path_is_written_with_braces_and_reads_back():
    job = load(TINY, "output.path=runs/5${$}", "data.path=${$}{AREA}/x$${B}")
    assert (job.output.path, job.data.path) == ("runs/5$", "${AREA}/x${B}")
    assert load(to_yaml(job.resolved())) == job


def test_what_the_environment_puts_into_a_path_is_not_searched_again():
    job = load(TINY, "output.path=runs/${AREA}", AREA="b$C%DAY%`$(x)$7")
    assert job.output.path == "runs/b$C%DAY%`$(x)$7"
    aliased = "data: {path: x, array: &p '${AREA}'}\nmodel: {n_components: 2}\noutput: {path: *p}\n"
    assert load(aliased, AREA="d$E").output.path == "d$E"


@pytest.mark.parametrize("key", ["output.path", "data.path", "initialisation.model"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_in_a_path_is_refused_by_its_name(key, value):
    with pytest.raises(JobFileError, match="the environment variable NIGHT is set but empty"):
        load(TINY, f"{key}=runs/${{AREA}}/${{NIGHT}}", AREA="a", NIGHT=value)


def test_an_empty_variable_is_seen_through_an_alias():
    content = "data: &d {path: 'x${NIGHT}'}\nmodel: {n_components: 2}\noutput: *d\n"
    with pytest.raises(JobFileError) as caught:
        load(content, NIGHT="")
    assert str(caught.value).count("NIGHT is set but empty") == 2


@pytest.mark.parametrize("line_break", ["\n", "\r"])
def test_a_line_break_in_a_path_is_refused_wherever_it_comes_from(line_break):
    with pytest.raises(JobFileError, match="on one line"):
        load(TINY, "output.path=runs/${NIGHT}", NIGHT=f"a{line_break}b")
