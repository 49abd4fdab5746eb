"""What Python users are told names parameters of the estimator, never keys of a job file."""

from __future__ import annotations

import inspect
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import zarr
from clusters import job
from messages import PACKAGE, Text, dotted_keys, schema_keys, texts, texts_of
from test_architecture import modules

import dgmm
from dgmm.config.schema import REGISTRIES
from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import DataError, DgmmError, UnavailableError
from dgmm.events import SilentListener
from dgmm.job import run_job
from dgmm.parameter_names import (
    BEGINNINGS,
    OF_SELECT,
    PARAMETERS,
    PHRASES,
    in_python,
    speaks_python,
)

RNG = np.random.default_rng(31)
X = np.concatenate([RNG.normal(size=(300, 2)), RNG.normal(size=(300, 2)) + 7])
#: Texts that no method of the estimator says, though their modules belong to it.
OF_JOBS_ALONE = {
    "is itself an array; remove data.array": "an array's name is given by jobs alone",
    "a job with anomalies.quantile, anomalies.rate or anomalies.log_density saves one": (
        "a model has a threshold from a job alone"
    ),
    "Expected workers to survive every block": "the estimator has threads, which no block ends",
    "cannot compute the compiled passes that this run": "a run goes on with jobs alone",
}


def reachable() -> set[str]:
    """Names of the modules that the estimator imports, those that these import, and so on."""
    every = {module.name: module for module in modules()}
    found, waiting = (
        set(),
        [
            f"dgmm.estimator.{name}"
            for name in ("gaussian_mixture", "selection", "mixture_classifier")
        ],
    )
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for imported, _ in every[name].imports:
            parts = imported.split(".")
            prefixes = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
            waiting += [name for name in prefixes if name in every][:1]
    return found


def said_in_python() -> list[Text]:
    """Texts of the package that methods of the estimator may say."""
    of_the_estimator = reachable() - {"dgmm.parameter_names"}
    files = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if _module(path) in of_the_estimator
    }
    return [
        text
        for text in texts()
        if text.place.split(":")[0] in files
        and text.said not in {registry.key for registry in REGISTRIES}  # said as `KEY is`
        and not any(words in text.said for words in OF_JOBS_ALONE)
    ]


def _module(path) -> str:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def of_job_files(found: list[Text]) -> list[str]:
    """Texts that name keys of a job file, or the command line, once they are in Python's words."""
    in_words = [(text.place, in_python(text.said.replace("{}", "/x"))) for text in found]
    return [
        f"{place}: {said}"
        for place, said in in_words
        if any(dotted_keys(said)) or re.search(r"\b[cC]ommand\b", said)
    ]


def test_no_message_that_reaches_the_estimator_names_a_key_of_the_job_file():
    found = said_in_python()
    assert not of_job_files(found)
    assert len([text for text in found if text.keys]) > 20, "the walk finds what is said"


@pytest.mark.parametrize(
    "source",
    [
        "say('increase model.tol')",
        'f"{n} rows: lower " f"data.path"',
        "warn('set data.absent_chunks to error')",
        "raise DataError('see the log of the command')",
    ],
)
def test_a_message_that_stays_in_a_jobs_words_is_found(source):
    assert len(of_job_files(list(texts_of(source, "module.py")))) == 1


def test_parameters_and_keys_exist_and_phrases_are_said():
    assert set(PARAMETERS.values()) <= set(inspect.signature(dgmm.GaussianMixture).parameters)
    assert set(OF_SELECT.values()) <= set(inspect.signature(dgmm.select).parameters)
    assert set(PARAMETERS | OF_SELECT) <= schema_keys()
    said = [text.said for text in texts() if not text.place.startswith("python_words.py")]
    for phrase in PHRASES:
        assert any(phrase in text for text in said), phrase
    for beginning in BEGINNINGS:
        assert any(text.startswith(beginning.rstrip("/")) for text in said), beginning
    for words in OF_JOBS_ALONE:
        assert any(words in text for text in said), words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Set data.missing to drop, or repair it", 'Set missing="drop", or repair it'),
        ("raise model.max_iter or model.tol", "raise max_iter or tol"),
        (
            "Raise model.reg_covar, lower model.n_components.",
            "Raise reg_covar, lower n_components.",
        ),
        ("raise model.reg_covar_relative", "raise reg_covar_relative"),
        ("choose another initialisation.method", "choose another init_params"),
        ("data.path /a/b does not exist", "X: /a/b does not exist"),
    ],
)
def test_advice_is_put_into_pythons_words(text, wanted):
    assert in_python(text) == wanted
    assert in_python(wanted) == wanted


def test_columns_that_are_called_like_keys_keep_their_names():
    for text in (
        "data.missing: 3 NaN; model.tol, data.path /x and lower are columns",
        "the data lack the model's features data.array, model.n_components",
        "lower model.tolerance, set data.missingness to 1",
    ):
        assert in_python(text) == text
    table = pd.DataFrame(X.copy(), columns=["data.missing", "model.tol"])
    table.loc[3, "data.missing"] = np.nan
    with pytest.raises(DataError, match=r'data\.missing: 1 NaN.*Set missing="drop"'):
        dgmm.GaussianMixture(2).fit(table)


def holed():
    rows = X.copy()
    rows[5, 1] = np.nan
    return rows


def far():
    rows = X.copy()
    rows[5, 1] = 1e300
    return rows


def stored(folder, *, damage=False):
    group = zarr.open_group(str(folder / "g.zarr"), mode="w", zarr_format=3)
    group.create_array("rows", data=X, chunks=(100, 2))
    if damage:
        shutil.rmtree(folder / "g.zarr" / "rows" / "c" / "2")
    return folder / "g.zarr"


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (lambda m, _: m.set_params(n_components=2).fit(holed()), 'Set missing="drop"'),
        (lambda m, _: m.fit(X).predict(holed()), 'hold NaN .*feature x1. Set missing="drop"'),
        (lambda m, _: m.fit(X).predict_proba(holed()), 'Set missing="drop"'),
        (lambda m, _: m.fit(X).score(holed()), 'Set missing="drop"'),
        (lambda m, _: m.fit(X).bic(holed()), 'Set missing="drop"'),
        (lambda m, _: m.fit(far()), 'set missing="drop"'),
        (lambda m, _: m.set_params(n_components=900).fit_predict(X), ": lower n_components"),
        (lambda m, _: m.set_params(init_params="luck").fit(X), "^init_params is 'luck'"),
        (
            lambda m, _: m.set_params(n_components=3, sample_rows=2).fit(X),
            "lower n_components or raise sample_rows",
        ),
        (lambda m, folder: m.fit(folder / "none"), r"^X: /.*none does not exist"),
        (
            lambda m, folder: m.fit(stored(folder)),
            "give the path of one of its arrays. Its arrays: rows",
        ),
        (
            lambda m, folder: m.fit(stored(folder, damage=True) / "rows"),
            r"give the values that zarr reads: zarr\.open_array\(path\)\[\.\.\.\];",
        ),
        (lambda m, folder: m.fit(X).model_.predict(stored(folder)), "give the path of one of its"),
    ],
)
def test_errors_of_methods_name_parameters(tmp_path, fail, words):
    with pytest.raises(DgmmError, match=words) as caught:
        fail(dgmm.GaussianMixture(2, random_state=0), tmp_path)
    assert not list(dotted_keys(str(caught.value)))
    assert "command" not in str(caught.value)


INDEFINITE = [[1.0, 2.0], [2.0, 1.0]]


@pytest.mark.parametrize(
    ("inference", "prior", "said"),
    [
        (
            "map",
            {"covariance_prior": [[1.0, 0.5], [0.25, 1.0]]},
            (
                "model.covariance_prior is not symmetric: entry [0][1] is 0.5, and [1][0] is 0.25. "
                "Make the two equal, or leave it out"
            ),
        ),
        (
            "map",
            {"covariance_prior": INDEFINITE},
            (
                "model.covariance_prior is not positive definite: expected eigenvalues above 0, "
                "none of which is lost in rounding beside the largest. Give the covariance that a "
                "component is likely to have, or leave it out"
            ),
        ),
        (
            "variational",
            {"covariance_prior": [1.0, 2.0, 3.0]},
            (
                "model.covariance_prior has the shape (3,); expected an array of shape (2, 2). "
                "Give it so, or leave it out"
            ),
        ),
        (
            "map",
            {"mean_prior": [1.0]},
            (
                "model.mean_prior has the shape (1,); expected an array of shape (2,). Give it so, "
                "or leave it out"
            ),
        ),
        (
            "variational",
            {"degrees_of_freedom_prior": 0.5},
            (
                "model.degrees_of_freedom_prior is 0.5; expected more than 1 for 2 features: raise "
                "model.degrees_of_freedom_prior, or leave it out"
            ),
        ),
        (
            "map",
            {"weight_concentration_prior": 0.5},
            (
                "model.weight_concentration_prior is 0.5; expected at least 1 with inference map: "
                "below, the most probable weights are not unique. Raise "
                "model.weight_concentration_prior, or set model.inference to variational"
            ),
        ),
    ],
)
def test_priors_that_are_none_are_named_in_both_words_with_what_to_do(
    tmp_path, inference, prior, said
):
    zarr.create_array(str(tmp_path / "x.zarr"), data=X, chunks=(100, 2))
    own = job(tmp_path / "x.zarr", tmp_path / "run", model={"inference": inference, **prior})
    with pytest.raises(DataError) as caught:
        run_job(own, SilentListener())
    assert str(caught.value) == said
    with pytest.raises(DataError) as caught:
        dgmm.GaussianMixture(2, inference=inference, **prior).fit(X)
    assert str(caught.value) == in_python(said)
    assert str(caught.value).startswith(f"{next(iter(prior))} ")
    assert not list(dotted_keys(str(caught.value)))


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (
            {"mean_precision_prior": -1},
            "^mean_precision_prior is -1; expected a finite number above 0. Give one, or leave it",
        ),
        ({"mean_prior": ["a"]}, r"^mean_prior is \['a'\]; expected numbers. Give an array of them"),
        ({"mean_prior": [np.nan, 0]}, "^mean_prior holds NaN or infinity; .* or leave it out$"),
        (
            {"weight_concentration_prior_type": "x"},
            "^weight_concentration_prior_type is 'x'; expected one of .*process.* or leave it out$",
        ),
    ],
)
def test_values_that_no_prior_has_are_refused_in_pythons_words(prior, said):
    with pytest.raises(DataError, match=said):
        dgmm.GaussianMixture(2, inference="map", **prior).fit(X)


def test_storage_that_fails_tells_to_call_again(tmp_path, monkeypatch):
    def fail(self, run):
        raise UnavailableError(
            "c/0 cannot be read: timed out, for 9 s (storage.retry_s). Run the same command again "
            "when the storage is back"
        )

    monkeypatch.setattr(ArrayDataset, "read_blocks", fail)
    with pytest.raises(UnavailableError, match=r"for 9 s\. Call the method again when"):
        dgmm.GaussianMixture(2).fit(X)


@pytest.mark.parametrize(
    ("parameters", "rows", "words"),
    [
        ({"max_iter": 1, "tol": 0}, X, "raise max_iter or tol"),
        ({}, X[280:320], 'covariance_type, or set reg_covar_relative="held_out"'),
        ({}, np.where(X > 7, 7, X), 'write NaN there and set missing="drop"'),
    ],
)
def test_warnings_name_parameters_and_the_line_that_called(parameters, rows, words):
    mixture = dgmm.GaussianMixture(**{"n_components": 2, "random_state": 0} | parameters)
    for call in (mixture.fit, mixture.fit_predict):
        with pytest.warns(UserWarning, match=words) as caught:
            call(rows)
        for warning in caught:
            assert not list(dotted_keys(str(warning.message)))
            assert warning.filename == __file__


def test_warnings_of_other_methods_point_at_the_line_that_called():
    table = pd.DataFrame(X, columns=["a", "b"])
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(table)
    for call in (mixture.predict, mixture.score_samples, mixture.score, mixture.bic):
        with pytest.warns(UserWarning, match="put in the model's order") as caught:
            call(table[["b", "a"]])
        assert [warning.filename for warning in caught] == [__file__]


def test_methods_keep_their_signatures_and_other_errors():
    names = ["self", "X", "y", "sample_weight"]
    assert list(inspect.signature(dgmm.GaussianMixture.fit).parameters) == names
    assert dgmm.GaussianMixture.fit.__doc__.startswith("Fit the mixture")

    @speaks_python
    class Raising:
        def fail(self, error):
            raise error

        def _fail(self, error):
            raise error

    for error in (KeyError("set data.missing to drop"), DataError(7, "lower model.tol")):
        with pytest.raises(type(error)) as caught:
            Raising().fail(error)
        assert caught.value is error
    assert error.args == (7, "lower tol")
    with pytest.raises(DataError, match=r"model\.tol"):
        Raising()._fail(DataError("lower model.tol"))
