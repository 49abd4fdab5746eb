"""Cases 1 to 28: job files that say too little, too much, or something else than they seem to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from bad_input import EARLIER, JOB, SECRET, Cases, Desk, bits, record, two_clusters

CASES = Cases()

ALIAS_BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def with_model(text: str) -> str:
    return JOB.replace("n_components: 2", text)


def with_data(text: str) -> str:
    return JOB.replace("path: rows.zarr", text)


def with_output(text: str) -> str:
    return JOB.replace("path: runs/new", text)


#: Files that are refused whole: case → what is bad, then each text with words of its message.
REFUSED: dict[int, tuple[str, list[tuple[str | bytes, tuple[str, ...]]]]] = {
    1: (
        "empty file",
        [
            ("", ("job.yaml:1:1: the file is empty", "data.path, model.n_components")),
            ("# nothing\n", ("job.yaml:1:1: the file is empty",)),
        ],
    ),
    2: (
        "a list or a word at the top",
        [
            ("- a\n- b\n", ("job.yaml:1:1: found a list, expected keys and values",)),
            ("word\n", ('job.yaml:1:1: found "word", expected keys and values',)),
        ],
    ),
    3: (
        "two documents",
        [(JOB + "---\na: 1\n", ("job.yaml:5:1: a second document (---) begins here",))],
    ),
    4: (
        "indented with a tab",
        [("data:\n\tpath: x\n", ("job.yaml:2:1: ", "indent with spaces, not tabs"))],
    ),
    5: (
        "a key twice",
        [(JOB + "seed: 1\nseed: 2\n", ("job.yaml:6:1: seed: this key stands twice", "line 5"))],
    ),
    6: (
        "unknown key",
        [
            (
                with_model("n_component: 2, n_components: 2"),
                ("job.yaml:2:9: model.n_component: unknown key (did you mean n_components?)",),
            ),
            (JOB + "n_init: 3\n", ("job.yaml:5:1: n_init: ", "did you mean model.n_init?")),
        ],
    ),
    7: (
        "a key that is needed is not there",
        [
            (with_model("tol: 1"), ("job.yaml:2:8: model.n_components: missing, expected",)),
            (with_data(""), ("job.yaml:1:7: data.path: missing, expected text",)),
            (
                JOB.partition("output")[0],
                ("output: missing, expected a mapping with path",),
            ),
        ],
    ),
    9: (
        "a number with a leading zero",
        [(JOB + "seed: 012\n", ("job.yaml:5:7: seed: found 012", "octal or decimal?"))],
    ),
    11: (
        "text for a number",
        [
            (
                with_model('n_components: "8"'),
                ('job.yaml:2:23: model.n_components: found "8", expected a whole number',),
            )
        ],
    ),
    13: (
        "n_components out of range",
        [
            (
                with_model(f"n_components: {value}"),
                ("job.yaml:2:23: ", "expected a whole number from 1 to 1,000,000"),
            )
            for value in ("0", "-3", "10000000000000000000000000", "1e25")
        ],
    ),
    14: (
        "true for a number",
        [(with_model("n_components: true"), ("job.yaml:2:23: ", "found true, expected a whole"))],
    ),
    15: (
        "a misspelt word",
        [
            (
                with_model("n_components: 2, covariance_type: fulll"),
                (
                    "job.yaml:2:43: model.covariance_type: ",
                    "spherical or a list of these (did you mean full?)",
                ),
            )
        ],
    ),
    16: (
        "tol that is negative, NaN or infinite",
        [
            (
                with_model(f"n_components: 2, tol: {value}"),
                ("job.yaml:2:31: model.tol: found ", "expected a number of at least 0"),
            )
            for value in ("-1", ".nan", ".inf")
        ],
    ),
    18: (
        "the version of a later dgmm",
        [(JOB + "version: 99\n", ("job.yaml:5:10: version: ", "newer dgmm", "Upgrade dgmm"))],
    ),
    22: (
        "a variable that is not set",
        [
            (
                with_output('path: "runs/${NOT_SET_ANYWHERE}"'),
                ("job.yaml:4:16: output.path: ", "NOT_SET_ANYWHERE is not set", "export it"),
            )
        ],
    ),
    27: (
        "output in, at or around its input",
        [
            (with_output(f"path: {path}"), ("job.yaml:4:16: output.path: lies at, in or around",))
            for path in ("rows.zarr", "rows.zarr/run", "x/../rows.zarr/", ".")
        ],
    ),
}


CONTRADICTIONS: list[tuple[str, tuple[str, ...]]] = [
    (with_data("path: x, columns: [a], variables: [b]"), ("data.columns: contradicts data.var",)),
    (with_model("n_components: 2, warm_start: m"), ("initialisation: {method: given",)),
    (with_model("path: m, n_components: 2"), ("model.n_components: contradicts model.p",)),
    (
        JOB.replace("kind: threads", "address: 'tcp://a:1'"),
        ("cluster.n_workers: contradicts cluster.address",),
    ),
]


def refused(number: int) -> None:
    words, texts = REFUSED[number]

    @CASES.case(number, words, 78)
    def steps(desk: Desk) -> None:
        for text, said in texts:
            desk.file(78, text, *said)
            assert not Path("runs/new").exists()


for _number in REFUSED:
    refused(_number)


@CASES.case(8, "tol: 1e-6 is a number", 0)
def _(desk: Desk) -> None:
    desk.write_rows()
    desk.file(0, with_model("n_components: 2, tol: 1e-6"))
    assert record(Path("runs/new"))["job"]["model"]["tol"] == 1e-6


@CASES.case(10, "a name that is no", 0)
def _(desk: Desk) -> None:
    desk.write_rows(path="group/no")
    desk.file(0, with_data("path: group, array: no"))
    assert record(Path("runs/new"))["job"]["data"]["array"] == "no"


@CASES.case(12, "8.0 is a whole number, 8.5 is none", 0, 78)
def _(desk: Desk) -> None:
    plain = desk.fits(two_clusters(), name="plain")
    desk.file(0, with_model("n_components: 2.0").replace("rows", "plain"))
    assert bits(Path("runs/new")) == bits(plain)
    desk.file(78, with_model("n_components: 8.5"), "job.yaml:2:23: ", "found 8.5, expected a whole")


@CASES.case(17, "max_iter: 0 initialises only", 0)
def _(desk: Desk) -> None:
    told = record(desk.fits(two_clusters(), "INITIALISED", model={"max_iter": 0}))
    assert (told["outcome"], told["n_iter"]) == ("INITIALISED", 0)
    assert "labels" in told["outputs"]


@CASES.case(19, "other encodings", 0, 78)
def _(desk: Desk) -> None:
    desk.write_rows()
    desk.file(0, b"\xef\xbb\xbf" + JOB.replace("\n", "\r\n").encode())
    desk.file(78, JOB.encode() + b"# caf\xe9\n", "job.yaml:5:6: byte 0xe9 is not UTF-8", "save the")


@CASES.case(20, "a file made to exhaust its reader", 78)
def _(desk: Desk) -> None:
    began = time.perf_counter()
    desk.file(78, ALIAS_BOMB, "more than 10,000 values, aliases included")
    desk.file(78, "a: " + "[" * 3000, "nested more than 50 deep")
    desk.file(78, b" " * 50_000_000, "job.yaml: larger than 1,048,576 bytes; is this a job file?")
    assert time.perf_counter() - began < 10


@CASES.case(21, "a tag that names a Python object", 78)
def _(desk: Desk) -> None:
    text = JOB + "seed: !!python/object/apply:os.system [touch opened]\n"
    desk.file(78, text, "job.yaml:5:7: seed: tags are not accepted: remove !!python/object/apply")
    assert not Path("opened").exists()


@CASES.case(23, "a secret in the file", 2, 78)
def _(desk: Desk) -> None:
    said = ("secrets do not belong in a job file", "change the secret if others could read")
    desk.file(78, with_data(f"path: x, secret_key: {SECRET}"), "1:17: data.secret_key: ", *said)
    desk.file(78, JOB + f"storage: {{aws_access_key: {SECRET}}}\n", *said)
    desk.file(78, JOB + f"password: [{SECRET}\n", "job.yaml:")
    desk.file(78, with_data(f"path: 's3://me:{SECRET}@b/x'"), "1:14: data.path: ", "not built yet")
    desk.monkeypatch.setenv("TOKEN", SECRET)
    desk.file(78, with_model('n_components: "${TOKEN}"'), '2:23: model.n_components: found "${TOK')
    options = ("--set", f"data.password={SECRET}")
    desk.file(2, JOB, "--set data.password: secrets do not belong in a job", options=options)


@CASES.case(24, "--set of no key, or without a value", 2)
def _(desk: Desk) -> None:
    said = "--set model.q: no such key; the keys here are n_components"
    desk.file(2, JOB, said, options=("--set", "model.q=1"))
    said = "--set model.n_components: expected KEY=VALUE, as in model.tol=1e-5"
    desk.file(2, JOB, said, options=("--set", "model.n_components"))


@CASES.case(25, "no job file to read", 66)
def _(desk: Desk) -> None:
    desk.command(66, "cannot read the job file none.yaml: no such file", say=("run", "none.yaml"))
    desk.command(66, "runs: it is a directory; expected a YAML file", say=("run", "runs"))
    Path("loop.yaml").symlink_to("loop.yaml")
    desk.command(66, "cannot read the job file loop.yaml: ", say=("run", "loop.yaml"))
    Path("job.yaml").write_text(JOB)

    def refusing(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with desk.monkeypatch.context() as patched:  # an administrator may read everything
        patched.setattr(os, "open", refusing)
        desk.command(66, "job file job.yaml: Permission denied", say=("run", "job.yaml"))


@CASES.case(26, "keys that contradict each other", 0, 78)
def _(desk: Desk) -> None:
    for text, said in CONTRADICTIONS:
        desk.file(78, text, *said)
        assert not Path("runs/new").exists()
    desk.write_rows()
    start = {"method": "given", "model": str(EARLIER / "model")}
    said = f"initialisation.model {EARLIER}/model has 2 full components, model.n_components and"
    desk.job(
        78, said, "ask for 3 full: make them agree", model={"n_components": 3}, initialisation=start
    )
    desk.job(0, name="again", initialisation=start)


@CASES.case(28, "control characters in names", 0, 65, 78)
def _(desk: Desk) -> None:
    desk.file(78, JOB + '"\\e[31mred": 1\n', "job.yaml:5:1: \\x1b[31mred: unknown key")
    names = ["red\x1b[31m", "\u202egreen"]
    X = np.column_stack([two_clusters()[:, 0], np.ones(120)])
    desk.write_rows(X, "group/a", attributes={"feature_names": names})
    desk.job(65, "has no array '?[31ma'", name="red", data={"path": "group", "array": "\x1b[31ma"})
    directory = desk.job(0, "constant in the sample", "?green", data={"path": "group/a"})
    assert record(directory)["data"]["feature_names"] == ["red?[31m", "?green"]
