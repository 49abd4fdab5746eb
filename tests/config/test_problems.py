"""What a job file may not say: each case of bad input ends in one plain message, with its place."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from dgmm.config import load_job
from dgmm.errors import DgmmError, InputNotFoundError, JobFileError, UsageError
from dgmm.exit_codes import ExitCode

JOB = """\
data: {path: data/x.zarr}
model: {n_components: 8}
output: {path: runs/x}
"""

ALIAS_BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def with_model(text: str) -> str:
    return JOB.replace("n_components: 8", text)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def faults_of(
    content: str | bytes, overrides: tuple[str, ...] = (), kind: str = "run"
) -> list[str]:
    """The lines of the error, heading first."""
    data = content if isinstance(content, bytes) else content.encode()
    Path("job.yaml").write_bytes(data)
    with pytest.raises(JobFileError) as error:
        load_job("job.yaml", overrides, kind=kind, environment={"TAKEN": "runs/y"})
    assert error.value.exit_code == ExitCode.JOB_FILE_INVALID
    return str(error.value).splitlines()


CASES = {
    "empty file": ("", "1:1: the file is empty; a job needs data.path, model.n_components"),
    "comments only": ("# nothing\n", "1:1: the file is empty"),
    "list at the top": ("- a\n- b\n", "1:1: found a list, expected keys and values"),
    "scalar at the top": ("word\n", '1:1: found "word", expected keys and values'),
    "two documents": (JOB + "---\na: 1\n", "4:1: a second document (---) begins here"),
    "tab": ("data:\n\tpath: x\n", "2:1: ", "indent with spaces, not tabs"),
    "duplicate key": (JOB + "seed: 1\nseed: 2\n", "5:1: seed: ", "twice, first on line 4"),
    "duplicate key in a section": (
        with_model("n_components: 8, tol: 1, tol: 2"),
        "2:34: model.tol: this key stands twice, first on line 2",
    ),
    "unknown key": (
        with_model("n_component: 8, n_components: 8"),
        "2:9: model.n_component: unknown key (did you mean n_components?)",
    ),
    "unknown section": (JOB + "outputs: {}\n", "4:1: outputs: ", "(did you mean output?)"),
    "key of another section": (
        JOB + "n_components: 3\n",
        "4:1: n_components: unknown key (did you mean model.n_components?)",
    ),
    "missing section": (JOB.replace("data:", "#"), "2:1: data: missing, expected a mapping with"),
    "missing path": (
        JOB.replace("path: data/x.zarr", ""),
        "1:7: data.path: missing, expected text",
    ),
    "missing n_components": (
        with_model("tol: 1"),
        "2:8: model.n_components: missing, expected a whole number from 1 to 1,000,000",
    ),
    "section that is a word": (
        JOB + "cluster: local\n",
        '4:10: cluster: found "local", expected a',
    ),
    "octal or decimal": (JOB + "seed: 012\n", "4:7: seed: found 012, a number with a leading zero"),
    "text for a number": (with_model('n_components: "8"'), '2:23: model.n_components: found "8"'),
    "half a component": (with_model("n_components: 8.5"), "2:23: model.n_components: found 8.5"),
    "no component": (with_model("n_components: 0"), "found 0, expected a whole number from 1 to"),
    "negative components": (with_model("n_components: -3"), "found -3, expected a whole number"),
    "too many components": (with_model("n_components: 10000000000000000000000000"), "found 1000"),
    "too many, as a float": (with_model("n_components: 1e25"), "found 1e+25, expected a whole"),
    "an endless number": (with_model(f"n_components: {'9' * 5000}"), "a number of 5000 characters"),
    "true components": (with_model("n_components: true"), "found true, expected a whole number"),
    "wrong family": (
        with_model("n_components: 8, covariance_type: fulll"),
        '2:43: model.covariance_type: found "fulll", expected one of full, tied, diag, spherical',
        "spherical or a list of these (did you mean full?)",
    ),
    "negative tol": (with_model("n_components: 8, tol: -1"), "found -1, expected a number of at"),
    "nan tol": (with_model("n_components: 8, tol: .nan"), "found nan, expected a number"),
    "infinite tol": (with_model("n_components: 8, tol: .inf"), "found inf, expected a number"),
    "true tol": (with_model("n_components: 8, tol: true"), "found true, expected a number"),
    "negative max_iter": (with_model("n_components: 8, max_iter: -1"), "found -1"),
    "no start": (with_model("n_components: 8, n_init: 0"), "found 0"),
    "negative reg_covar": (with_model("n_components: 8, reg_covar: -1e-9"), "found -1e-09"),
    "negative seed": (JOB + "seed: -1\n", "4:7: seed: found -1"),
    "seed of 2^63": (JOB + f"seed: {2**63}\n", "4:7: seed: found 9223372036854775808"),
    "yes for true": (JOB.replace("runs/x", "runs/x, labels: yes"), 'found "yes", expected true or'),
    "quantile 0": (JOB.replace("runs/x", "runs/x, anomaly_quantile: 0"), "found 0, expected a num"),
    "quantile 1": (JOB.replace("runs/x", "runs/x, anomaly_quantile: 1"), "found 1, expected a num"),
    "memory without a unit": (JOB + "cluster: {memory_limit: 4Gib}\n", "a size such as 4GiB"),
    "no memory": (JOB + "cluster: {memory_limit: 0}\n", "4:25: cluster.memory_limit: found 0"),
    "no workers": (JOB + "cluster: {n_workers: 0}\n", "4:22: cluster.n_workers: found 0"),
    "address": (JOB + "cluster: {address: nowhere}\n", "tcp://HOST:PORT"),
    "newer version": (JOB + "version: 99\n", "4:10: version: ", "made for a newer dgmm"),
    "version 0": (JOB + "version: 0\n", "4:10: version: found 0"),
    "YAML 1.1": ("%YAML 1.1\n---\n" + JOB, "YAML 1.2: remove the %YAML line"),
    "Latin-1": (JOB.encode() + b"# caf\xe9\n", "4:6: byte 0xe9 is not UTF-8"),
    "UTF-16": (JOB.encode("utf-16"), "1:1: byte 0xff is not UTF-8"),
    "YAML 1.3": ("%YAML 1.3\n---\n" + JOB, "1:1: this is not YAML: version minor part can only be"),
    "control character": (JOB + "x: \x1b[31m\n", "4:4: a control character ('\\x1b')"),
    "alias bomb": (ALIAS_BOMB, "more than 10,000 values, aliases included"),
    "aliases of a key given again and again": (
        "a: &a [" + "1," * 4_000 + "]\n" + "b: *a\n" * 1_000,
        "3:4: more than 10,000 values, aliases included",
    ),
    "aliases nested in aliases": (
        "k0: &k0 [1]\n" + "".join(f"k{i}: &k{i} [*k{i - 1}]\n" for i in range(1, 60)),
        "50:12: nested more than 50 deep",
    ),
    "alias of nothing": (JOB + "seed: *s\n", "4:7: seed: *s is not defined above"),
    "alias of itself": (JOB + "cluster: &c {n_workers: *c}\n", "*c is not defined above"),
    "deep nesting of keys": ("? " * 3000 + "a", "1:103: nested more than 50 deep"),
    "deep nesting": ("a: " + "[" * 3000, "nested more than 50 deep"),
    "large file": (b" " * 50_000_000, "larger than 1,048,576 bytes"),
    "many values": ("a: [" + "1," * 200_000 + "]", "more than 10,000 values"),
    "Python object": (
        JOB + "x: !!python/object/apply:os.system [touch hacked]\n",
        "4:4: x: tags are not accepted: remove !!python/object/apply:os.system",
    ),
    "standard tag": (JOB + "seed: !!int 3\n", "4:7: seed: tags are not accepted: remove !!int"),
    "key that is a list": (JOB + "? [a]\n: 1\n", "4:3: (key 1): a key must be a plain word"),
    "unclosed quote": (JOB + "x: 'y\n", "4:4: ", "while scanning a quoted scalar"),
    "unclosed brace": ("data: {\n", "2:1: while parsing a flow"),
    "unset variable": (
        JOB.replace("runs/x", '"runs/${UNSET}"'),
        "3:16: output.path: the environment variable UNSET is not set",
    ),
    "unclosed variable": (JOB.replace("runs/x", '"runs/${TAKEN"'), "3:16: ", "expected ${NAME}"),
    "bare variable in braces": (JOB.replace("runs/x", "${TAKEN}"), "put quotes around text with"),
    "number from a variable": (
        with_model('n_components: "${TAKEN}"'),
        'found "${TAKEN}", expected',
    ),
    "columns and variables": (
        JOB.replace("x.zarr", "x.zarr, columns: [a], variables: [b]"),
        "1:27: data.columns: contradicts data.variables: one is of tables",
    ),
    "names that are no list": (
        JOB.replace("x.zarr", "x.zarr, columns: a"),
        '1:36: data.columns: found "a", expected a list of text or null',
    ),
    "a name twice": (
        JOB.replace("x.zarr", "x.zarr, id: [a, b, a]"),
        "expected each name once: 'a' stands in the list more than once",
    ),
    "an interval from its end": (
        JOB.replace("x.zarr", "x.zarr, select: {depth: [10, 0]}"),
        "expected the smaller end of an interval first",
    ),
    "half an interval": (
        JOB.replace("x.zarr", "x.zarr, select: {depth: [10]}"),
        "expected a mapping with a list of 2 numbers for each name or null",
    ),
    "a key of csv that is none": (
        JOB.replace("x.zarr", "x.zarr, csv: {delimeter: ;}"),
        "1:33: data.csv.delimeter: unknown key (did you mean delimiter?)",
    ),
    "a URL among paths": (
        JOB.replace("data/x.zarr", "[data/x.zarr, s3://b/x]"),
        "by URL is not built yet",
    ),
    "a shell's variable among paths": (
        JOB.replace("data/x.zarr", "[data/x.zarr, $HOME/x]"),
        "expected a path without $HOME, which is not replaced",
    ),
    "an output among the inputs": (
        JOB.replace("data/x.zarr", "[data/x.zarr, runs/x]"),
        "lies at, in or around data.path",
    ),
    "a former name": (
        JOB + "initialisation: {sample_starts: 4}\n",
        "no such key: the key is initialisation.n_sample_starts",
    ),
    "warm start": (with_model("n_components: 8, warm_start: m"), "initialisation: {method: given"),
    "address and kind": (
        JOB + "cluster: {kind: local, address: 'tcp://a:1'}\n",
        "4:11: cluster.kind: contradicts cluster.address",
    ),
    "address and file": (
        JOB + "cluster: {scheduler_file: s.json, address: 'tcp://a:1'}\n",
        "4:11: cluster.scheduler_file: contradicts cluster.address",
    ),
    "threads of threads": (
        JOB + "cluster: {kind: threads, threads_per_worker: 2}\n",
        "4:26: cluster.threads_per_worker: contradicts kind: threads",
    ),
    "quantile of nothing": (
        JOB.replace("runs/x", "runs/x, log_density: false, anomaly_quantile: 0.1"),
        "3:44: output.anomaly_quantile: contradicts log_density: false",
    ),
    "two rules of anomalies": (
        JOB + "anomalies: {quantile: 0.1, log_density: -9}\n",
        "4:28: anomalies.log_density: contradicts anomalies.quantile: rows are flagged by one rule",
    ),
    "an old and a new rule of anomalies": (
        JOB.replace("runs/x", "runs/x, anomaly_quantile: 0.1") + "anomalies: {rate: 0.1}\n",
        "4:13: anomalies.rate: contradicts output.anomaly_quantile: rows are flagged by one rule",
    ),
    "rate of nothing": (
        JOB.replace("runs/x", "runs/x, log_density: false") + "anomalies: {rate: 0.1}\n",
        "4:13: anomalies.rate: contradicts log_density: false; the share is taken from",
    ),
    "comparison of rows that lack values": (
        JOB.replace("data/x.zarr", "data/x.zarr, missing: marginalise") + "comparison: true\n",
        "4:1: comparison: contradicts data.missing: marginalise; k-means takes complete rows",
    ),
    "comparison of one component": (
        re.sub("n_components: [0-9]+", "n_components: 1", JOB) + "comparison: true\n",
        "4:1: comparison: contradicts model.n_components: 1, under which every row is in the same",
    ),
    "comparison of classes": (
        JOB.replace("data/x.zarr", "data/x.zarr, classes: c")
        + "task: classify\ncomparison: true\n",
        "5:1: comparison: contradicts task: classify, which fits one mixture per class",
    ),
    "comparison of weighted rows": (
        JOB.replace("data/x.zarr", "data/x.zarr, weights: {array: w, kind: counts}")
        + "comparison: true\n",
        "4:1: comparison: contradicts data.weights: methods are compared on rows that weigh the",
    ),
    "no rows listed": (JOB + "anomalies: {top: 0}\n", "4:18: anomalies.top: found 0, expected"),
    "too many rows listed": (
        JOB + "anomalies: {top: 10001}\n",
        "4:18: anomalies.top: found 10001, expected",
    ),
    "given without model": (JOB + "initialisation: {method: given}\n", "model: missing; method"),
    "model with another method": (
        JOB + "initialisation: {model: runs/m, method: kmeans}\n",
        "4:18: initialisation.model: contradicts method",
    ),
    "monitor without a model": (
        JOB + "monitor: {on_drift: error}\n",
        "4:11: monitor.on_drift: without effect; monitor.against is missing",
    ),
    "monitor of fitted steps": (
        JOB + "preprocess: [{standardise: {}}]\nmonitor: {against: last}\n",
        "5:1: monitor: contradicts preprocess.standardise, whose numbers",
    ),
    "adapt without a model": (
        JOB + "adapt: {relevance: 16}\n",
        "4:1: adapt: needs a model to adapt; write initialisation",
    ),
    "adapt and EM": (
        with_model("n_components: 8, max_iter: 5")
        + "initialisation: {model: runs/m}\nadapt: {relevance: 16}\n",
        "model.max_iter: contradicts adapt, which makes one step",
    ),
    "adapt and a prior": (
        with_model("n_components: 8, inference: map")
        + "initialisation: {model: last}\nadapt: {relevance: 16}\n",
        "model.inference: contradicts adapt, whose prior is the earlier model",
    ),
    "last of several models": (
        with_model("n_components: [2, 3]") + "initialisation: {model: last}\n",
        "initialisation.model: contradicts several values of model.n_components: a given start",
    ),
    "adapt a shared covariance": (
        with_model("n_components: 8, covariance_type: tied")
        + "initialisation: {model: last}\nadapt: {relevance: 16, parameters: [covariances]}\n",
        "adapt.parameters: contradicts model.covariance_type: tied",
    ),
    "adapt a parameter twice": (
        JOB + "initialisation: {model: last}\nadapt: {relevance: 1, parameters: [means, means]}\n",
        "adapt.parameters: found",
    ),
    "run with a model": (with_model("path: runs/m"), "2:9: model.path: names a fitted model"),
    "output is input": (JOB.replace("runs/x", "data/x.zarr/"), "3:16: output.path: lies at, in or"),
    "output in input": (
        JOB.replace("runs/x", "data/../data/x.zarr/run"),
        "3:16: output.path: lies",
    ),
    "input in output": (JOB.replace("runs/x", "data"), "3:16: output.path: lies"),
    "start in output": (
        JOB + "initialisation: {method: given, model: runs/x/model}\n",
        "3:16: output.path: lies at, in or around initialisation.model",
    ),
    "URL": (JOB.replace("data/x", "s3://b/x"), "1:14: data.path: ", "by URL is not built yet"),
    "file URL": (JOB.replace("data/x", "file:///x"), "leave out file://"),
    "home": (JOB.replace("runs/x", "~/runs"), "write ${HOME}"),
    "NUL in a path": (JOB.replace("runs/x", '"a\\0b"'), 'found "a\\x00b"; expected a path without'),
    "empty path": (JOB.replace("runs/x", '""'), '3:16: output.path: found "", expected text'),
    "path that is a number": (JOB.replace("runs/x", "2024"), "output.path: found 2024, expected"),
    "sweep": (JOB + "sweep: {}\n", "4:1: sweep: ", "several models are a list in model.n_comp"),
    "imputed": (
        JOB.replace("runs/x", "runs/x, imputed: true"),
        "output.imputed: contradicts data.missing: error",
    ),
    "marginalize": (JOB.replace("x.zarr", "x.zarr, missing: marginalize"), "value is marginalise"),
    "overwrite": (JOB.replace("runs/x", "runs/x, if_exists: overwrite"), "remove the directory"),
    "weights that are a word": (
        JOB.replace("x.zarr", "x.zarr, weights: w"),
        'data.weights: found "w", expected a mapping of array, column, cos, kind',
    ),
    "weights without a kind": (
        JOB.replace("x.zarr", "x.zarr, weights: {array: w}"),
        "data.weights.kind: missing; expected counts (a row of weight 3 stands for three equal",
    ),
    "a kind without weights": (
        JOB.replace("x.zarr", "x.zarr, weights: {kind: counts}"),
        "data.weights: names no weights; expected one of array, column, cos in it",
    ),
    "weights in two places": (
        JOB.replace("x.zarr", "x.zarr, weights: {array: w, cos: lat, kind: counts}"),
        "data.weights.cos: contradicts data.weights.array: weights stand in one place",
    ),
    "errors of measurement": (
        JOB.replace("x.zarr", "x.zarr, errors: e"),
        "data.errors: no such key: errors of measurement are no part of this model",
    ),
    "checkpoint": (JOB + "checkpoint: {every: 5}\n", "4:14: ", "(did you mean every_s?)"),
    "escape sequence in a key": (JOB + '"\\e[31mred": 1\n', "4:1: \\x1b[31mred: unknown key"),
    "long value": (with_model(f"n_components: {'x' * 9999}"), "… (9999 characters)"),
}


@pytest.mark.parametrize(("content", "words"), [(c, w) for c, *w in CASES.values()], ids=CASES)
def test_a_bad_file_is_refused_with_one_message_at_its_place(content, words):
    started = time.process_time()
    heading, *faults = faults_of(content)
    assert time.process_time() - started < 5
    assert heading == "job.yaml is not a valid job: 1 error"
    assert len(faults) == 1
    for word in words:
        assert word in faults[0]
    assert faults[0].startswith("job.yaml:")
    assert all(character.isprintable() for character in faults[0])
    assert len(faults[0]) < 400
    assert [path.name for path in Path().iterdir()] == ["job.yaml"]


PREDICT_CASES = {
    "no model": (JOB, "2:8: model.path: missing"),
    "model and components": (
        with_model("path: runs/m, n_components: 8"),
        "2:23: model.n_components: contradicts model.path",
    ),
    "quantile beside the model's own threshold": (
        with_model("path: runs/m").replace("runs/x", "runs/x, anomaly_quantile: 0.1"),
        "3:24: output.anomaly_quantile: contradicts model.path: dgmm predict flags rows by the",
    ),
    "quantile of rows that are not fitted": (
        with_model("path: runs/m") + "anomalies: {quantile: 0.1}\n",
        "4:13: anomalies.quantile: contradicts model.path: dgmm predict flags rows by the model's",
    ),
    "rate of nothing": (
        with_model("path: runs/m").replace("runs/x", "runs/x, log_density: false")
        + "anomalies: {rate: 0.1}\n",
        "4:13: anomalies.rate: contradicts log_density: false; the share is taken from",
    ),
    "output in model": (
        with_model("path: runs/x/model"),
        "3:16: output.path: lies at, in or around model.path",
    ),
}


@pytest.mark.parametrize(("content", "word"), PREDICT_CASES.values(), ids=PREDICT_CASES)
def test_a_job_that_cannot_predict_says_what_it_lacks(content, word):
    assert word in faults_of(content, kind="predict")[1]


@pytest.mark.parametrize(
    ("model", "contradicted"), [("n_components: 8", "log_density"), ("path: runs/m", "model.path")]
)
def test_a_quantile_is_checked_before_it_is_known_which_command_will_run(model, contradicted):
    overrides = ("output.log_density=false", "output.anomaly_quantile=0.1")
    faults = faults_of(with_model(model), overrides, kind="any")
    assert len(faults) == 2
    assert faults[1].startswith(f"--set: output.anomaly_quantile: contradicts {contradicted}")


@pytest.mark.parametrize(("model", "kind"), [("n_components: 8", "predict"), ("path: m", "run")])
def test_a_job_for_the_other_command_is_told_only_that(model, kind):
    overrides = ("output.log_density=false", "output.anomaly_quantile=0.1")
    faults = faults_of(with_model(model), overrides, kind=kind)
    assert len(faults) == 2
    assert ": model.path: " in faults[1]


def test_all_faults_come_at_once_in_the_order_of_their_lines():
    heading, *faults = faults_of(
        """\
data: {path: data/x.zarr, mising: drop}
model:
  n_components: 8.5
  tol: -1
  tol: 3
  max_iter: 012
output: {path: "${UNSET}", labels: yes}
cluster: {address: "tcp://a:1", n_workers: 0}
typo: 1
""",
        overrides=("seed=-1",),
    )
    assert heading == "job.yaml is not a valid job: 10 errors"
    keys = [re.sub(r"^job\.yaml:(\d+):\d+: ([^:]+):.*", r"\1 \2", fault) for fault in faults]
    assert keys == [
        "1 data.mising",
        "3 model.n_components",
        "5 model.tol",
        "6 model.max_iter",
        "7 output.path",
        "7 output.labels",
        "8 cluster.n_workers",
        "8 cluster.n_workers",
        "9 typo",
        "--set: seed: found -1, expected a whole number from 0 to 9,223,372,036,854,775,807",
    ]


SECRET = "hunter2"  # noqa: S105 - it must not come back
SECRETS = {
    "password": JOB + f"password: {SECRET}\n",
    "nested": JOB.replace("x.zarr", f"x.zarr, storage: {{secret_key: {SECRET}}}"),
    "tagged": JOB + f"api_token: !secret {SECRET}\n",
    "like a number": JOB + "token: 0123456\n",
    "in a URL": JOB.replace("data/x.zarr", f"s3://key:{SECRET}@bucket/x"),
    "in a broken line": JOB + f"aws_secret_access_key: '{SECRET}\n",
    "stray": JOB + f"access_key: {SECRET}: more\n",
    "from the environment": JOB + 'seed: "${PASS}"\n',
}


@pytest.mark.parametrize("content", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_never_echoed(content):
    Path("job.yaml").write_text(content)
    with pytest.raises(JobFileError) as error:
        load_job("job.yaml", environment={"PASS": SECRET})
    assert SECRET not in str(error.value)
    assert "0123456" not in str(error.value)


def test_a_key_for_a_secret_is_refused_as_such():
    faults = faults_of(JOB + f"password: {SECRET}\n")
    assert "password: secrets do not belong in a job file" in faults[1]


OVERRIDES = {
    "unknown key": ("model.q=1", "--set model.q: no such key"),
    "near miss": ("model.n_component=1", "did you mean n_components?"),
    "no equals sign": ("model.n_components", "expected KEY=VALUE"),
    "nothing": ("", "expected KEY=VALUE"),
    "below a value": ("data.path.x=1", "no keys lie below it"),
    "not YAML": ("model.tol=[1", "--set model.tol: while parsing a flow sequence"),
    "leading zero": ("seed=012", "--set seed: found 012"),
    "planned key": ("data.verify=w", "checking data against a manifest is not built yet"),
    "unset variable": ("output.path=${UNSET}", "UNSET is not set"),
    "secret": (f"data.password={SECRET}", "secrets do not belong"),
    "secret without equals sign": (f"password:{SECRET}", "expected KEY=VALUE"),
}


@pytest.mark.parametrize(("override", "word"), OVERRIDES.values(), ids=OVERRIDES)
def test_a_bad_override_is_a_fault_of_the_command_line(override, word):
    Path("job.yaml").write_text(JOB)
    with pytest.raises(UsageError) as error:
        load_job("job.yaml", (override,), environment={})
    assert error.value.exit_code == ExitCode.USAGE
    assert word in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("path", ["absent.yaml", ".", "absent/job.yaml", "a\0b", "job.yaml/x", ""])
def test_a_file_that_cannot_be_read_is_an_input_not_found(path):
    Path("job.yaml").write_text(JOB)
    with pytest.raises(InputNotFoundError, match="cannot read the job file") as error:
        load_job(path)
    assert error.value.exit_code == ExitCode.INPUT_NOT_FOUND


def test_a_file_without_permission_is_an_input_not_found(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("job.yaml").write_text(JOB)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputNotFoundError, match="Permission denied"):
        load_job("job.yaml")


def test_every_fault_is_an_error_with_an_exit_code():
    assert issubclass(JobFileError, DgmmError)
