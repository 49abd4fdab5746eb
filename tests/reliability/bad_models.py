"""Cases 93 to 104: models, checkpoints and run directories that are not what they should be."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bad_input import EARLIER, Cases, Desk, bits, edit, output, record, tree, two_clusters
from numpy.typing import NDArray

from dgmm.job.lock import locked
from dgmm.job.output_stage import OutputStage
from dgmm.model.model_files import arrays_digest
from dgmm.storage.array_files import read_arrays, write_arrays

CASES = Cases()


def own_model(name: str = "m") -> Path:
    """A copy of the earlier run's model, to be spoilt."""
    return Path(shutil.copytree(EARLIER / "model", name))


@CASES.case(93, "data with other features than the model", 0, 65)
def _(desk: Desk) -> None:
    desk.write_rows(two_clusters(d=3))
    desk.job(65, "the data have 3 features, the model has 2", command="predict")
    X = two_clusters()
    fitted = desk.job(0, **named(desk, X, ["warm", "salty"], "fitted"))
    use = {"model": {"path": str(fitted)}, "command": "predict"}
    turned = named(desk, X[:, ::-1], ["salty", "warm"], "turned")
    directory = desk.job(0, "the data's features were put in the model's order", **turned, **use)
    assert bits(directory)[1] == bits(fitted)[1]
    strange = named(desk, X, ["warm", "windy"], "strange")
    said = "the data lack the model's features salty; they have windy instead"
    desk.job(65, said, **strange, **use)


def named(desk: Desk, X: NDArray[Any], names: list[str], run: str) -> dict[str, Any]:
    """Store rows whose features have names; the words of a job on them."""
    desk.write_rows(X, f"{run}.zarr", attributes={"feature_names": names})
    return {"name": run, "data": {"path": f"{run}.zarr"}}


def predicts(desk: Desk, model: Path, *said: str) -> None:
    """A model is refused, and nothing is left in its place."""
    use = {"command": "predict", "model": {"path": str(model)}}
    desk.job(65, str(model), *said, name=model.name, **use)


@CASES.case(94, "a model cut short, foreign or from a later dgmm", 65)
def _(desk: Desk) -> None:
    desk.write_rows()
    arrays = own_model("short") / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:300])
    predicts(desk, Path("short"), "arrays.npz is not an intact npz file", "Write it again")
    text = own_model("cut") / "model.json"
    text.write_text(text.read_text()[:40])
    predicts(desk, Path("cut"), "model.json is not valid JSON", "Was it cut short or edited?")
    edit(own_model("foreign") / "model.json", format="another")
    predicts(desk, Path("foreign"), "model.json does not describe a dgmm model")
    edit(own_model("later") / "model.json", schema_version=99)
    predicts(desk, Path("later"), "has model schema 99; this dgmm reads 1 to 2: update dgmm")


@CASES.case(95, "a model that is no mixture", 65)
def _(desk: Desk) -> None:
    desk.write_rows()
    spoils: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
        "indefinite": (lambda a: a["covariances"][0].fill(1.0), "not positive definite"),
        "heavy": (lambda a: a["weights"].fill(0.7), "weights do not sum to 1"),
        "nan": (lambda a: a["means"].fill(np.nan), "means is not a finite array of shape (2, 2)"),
    }
    for name, (spoil, said) in spoils.items():
        folder = own_model(name)
        arrays = read_arrays(folder / "arrays.npz")
        spoil(arrays)
        write_arrays(folder / "arrays.npz", **arrays)
        predicts(desk, folder, "does not match its checksum: the model is damaged")
        edit(folder / "model.json", sha256=arrays_digest(arrays))
        predicts(desk, folder, said)


class Opener:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("opened",)


@CASES.case(96, "pickle in place of a model", 65)
def _(desk: Desk) -> None:
    desk.write_rows()
    arrays = own_model("pickled") / "arrays.npz"
    arrays.write_bytes(pickle.dumps(Opener()))
    predicts(desk, Path("pickled"), "arrays.npz is not an intact npz file of plain arrays")
    arrays = own_model("within") / "arrays.npz"
    np.savez(arrays, weights=np.array([Opener()], dtype=object))
    predicts(desk, Path("within"), "arrays.npz is not an intact npz file of plain arrays")
    assert not Path("opened").exists()


@CASES.case(97, "an archive that names other places", 65)
def _(desk: Desk) -> None:
    desk.write_rows()
    for number, member in enumerate(("../evil.npy", "/etc/evil.npy", "weights.npy/../x.npy")):
        arrays = own_model(f"m{number}") / "arrays.npz"
        with zipfile.ZipFile(arrays, "w") as archive:
            archive.writestr(member, b"")
        predicts(desk, Path(f"m{number}"), f"arrays.npz holds a member named {member!r}")
    assert not Path("evil.npy").exists()


def stopped_while_scoring(desk: Desk) -> Path:
    """A run that was interrupted when its model was there and its labels were not."""

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with desk.monkeypatch.context() as patched:
        patched.setattr(OutputStage, "write", interrupted)
        directory = desk.job(75, "Ctrl-C received; run the same command again to continue")
    assert any((directory / "checkpoint").iterdir())
    return directory


@CASES.case(98, "the state of another job, other data or other versions", 0, 73, 75)
def _(desk: Desk) -> None:
    X = two_clusters()
    rows = desk.write_rows(X)
    directory = stopped_while_scoring(desk)
    before = tree(directory)
    said = "runs/new holds another job: model.n_components is 2 there, 3 here. Choose another out"
    desk.job(73, said, model={"n_components": 3})
    times = (rows / "c/1/0").stat()
    os.utime(rows / "c/1/0", (1e9, 1e9))
    said = "runs/new holds the state of a run on other data: chunks_sha256 is "
    desk.job(73, said, "Choose another output.path, or remove that directory to start over")
    os.utime(rows / "c/1/0", ns=(times.st_atime_ns, times.st_mtime_ns))
    environment = record(directory)["environment"]
    environment["driver"]["numpy"] = "1.0"
    whole = (directory / "run.json").read_bytes()
    edit(directory / "run.json", environment=environment)
    said = "the state of a run with other versions: numpy is '1.0' there"
    desk.job(73, said, "give --accept-versions")
    (directory / "run.json").write_bytes(whole)
    assert tree(directory) == before
    edit(directory / "run.json", environment=environment)
    said = "resumes with other software or another processor than before (numpy is '1.0' there"
    desk.job(0, said, "EM goes on after", options=("--accept-versions",))
    assert bits(directory) == bits(desk.fits(X, name="undisturbed"))


@CASES.case(99, "a run that is finished already", 0, 99)
def _(desk: Desk) -> None:
    desk.write_rows()
    directory = desk.job(0)
    before = tree(directory)
    desk.job(0, "finished before", "nothing to do")
    desk.job(99, "finished before", "nothing to do", options=("--exit-skip",))
    assert tree(directory) == before


@CASES.case(100, "two runs in one directory", 0, 73)
def _(desk: Desk) -> None:
    desk.write_rows()
    directory = Path("runs/new")
    directory.mkdir()
    with locked(directory, directory):
        holder = f"process {os.getpid()} on {socket.gethostname()}, since 20"
        desk.job(73, f"runs/new is in use by a running job: {holder}")
        assert {path.name for path in directory.iterdir()} == {"lock", "lock.1"}
    desk.job(0)


@CASES.case(101, "rows where no component has a density", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    fitted = desk.fits(X, name="fitted", output={"anomaly_quantile": 0.05})
    far = X.copy()
    far[10], far[20] = 1e200, -1e200
    desk.write_rows(far)
    said = "2 rows lie so far out that their density underflows: log_density is -inf there"
    wanted = {"responsibilities": True}
    use = {"command": "predict", "model": {"path": str(fitted)}}
    directory = desk.job(0, said, output=wanted, **use)
    assert record(directory)["rows_underflowed"] == 2
    is_far = np.isin(np.arange(120), [10, 20])
    assert (np.isneginf(output(directory, "log_density")) == is_far).all()
    assert (output(directory, "anomaly")[is_far] == 1).all()
    # The wider component is the nearer one by Mahalanobis' distance, on either side.
    model = read_arrays(fitted / "model" / "arrays.npz")
    precisions = np.linalg.inv(model["covariances"])
    for row in (10, 20):
        direction = np.sign(far[row])
        nearest = np.argmin([direction @ P @ direction for P in precisions])
        assert output(directory, "labels")[row] == nearest
        assert np.isfinite(output(directory, "responsibilities")[row]).all()


@CASES.case(102, "a grid of models", 78)
def _(desk: Desk) -> None:
    said = "model.n_components: found a list; the list is empty: write at least one value"
    desk.job(78, said, model={"n_components": []})
    said = (
        "ask for 500 models, and the time of a pass grows with each: look at what `dgmm plan` says"
    )
    desk.job(78, said, model={"n_components": list(range(1, 501))})
    desk.job(78, "selection.n_components: unknown key", selection={"n_components": []})


@CASES.case(103, "markup in a feature's name", 0)
def _(desk: Desk) -> None:
    name = "</script><img src=x onerror=alert(1)>"
    desk.write_rows(two_clusters(), attributes={"feature_names": [name, "b & c"]})
    page = (desk.job(0, output={"report": True}) / "report.html").read_text()
    assert "&lt;/script&gt;&lt;img src=x" in page
    assert "<img src=x" not in page
    assert name not in page


@CASES.case(104, "a name of a hundred thousand characters", 0)
def _(desk: Desk) -> None:
    X = np.column_stack([two_clusters(), np.ones(120)])
    desk.write_rows(X, attributes={"feature_names": ["a", "b", "n" * 100_000]})
    directory = desk.job(0, "constant in the sample", "n" * 199 + "…")
    assert record(directory)["data"]["feature_names"][2] == "n" * 199 + "…"
    for file in ("run.json", "model/model.json"):
        assert len((directory / file).read_text()) < 50_000
    assert len(json.dumps(record(directory)["warnings"])) < 5000
