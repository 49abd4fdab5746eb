"""scikit-learn's own mixture tests, read from the installed scikit-learn and edited as text.

The tests run as they are with another class as `GaussianMixture`. Where a test looks at a message's
wording, at a private name, or at what differs by documented design, one line of it is edited; what
the test checks is kept. An edit that finds nothing to edit is an error: a new scikit-learn release
cannot make the tests say less without notice.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnMixture

Test = Callable[..., object]


class StaleError(Exception):
    """A test or a line that is to be edited or left out is not in the installed scikit-learn."""


@dataclass(frozen=True)
class Edit:
    """In one function of scikit-learn's file, `old` becomes `new`."""

    function: str
    old: str
    new: str


_PRIVATE = "tests private functions of scikit-learn's alone, whatever stands in the mixture's place"
_ARRAY_API = "of the array API, skipped by scikit-learn itself without SCIPY_ARRAY_API"
LEFT_OUT = {
    "test_suffstat_sk_full": _PRIVATE,
    "test_suffstat_sk_tied": _PRIVATE,
    "test_suffstat_sk_diag": _PRIVATE,
    "test_gaussian_suffstat_sk_spherical": _PRIVATE,
    "test_compute_log_det_cholesky": _PRIVATE,
    "test_gaussian_mixture_log_probabilities": _PRIVATE,
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": (
        "counts calls of a private function of scikit-learn's"
    ),
    "test_gaussian_mixture_array_api_compliance": _ARRAY_API,
    "test_gaussian_mixture_raises_where_array_api_not_implemented": _ARRAY_API,
}

#: The words of a message may differ; its class, and that it names what is at fault, may not.
WORDING = [
    Edit("test_check_weights", "match=msg", 'match="weight"'),
    Edit("test_check_means", "match=msg", 'match="mean"'),
    Edit("test_check_precisions", "match=msg", 'match="precision"'),
    Edit("test_gaussian_mixture_predict_predict_proba", "match=msg", 'match="not fitted"'),
    Edit("test_score", "match=msg", 'match="not fitted"'),
    Edit("test_score_samples", "match=msg", 'match="not fitted"'),
    Edit("test_gaussian_mixture_fit_convergence_warning", "match=msg", 'match="max_iter"'),
    Edit("test_sample", '"This GaussianMixture instance is not fitted"', '"not fitted"'),
    Edit("test_sample", "msg = \"Invalid value for 'n_samples'\"", 'msg = "n_samples"'),
]
#: Private names become what a user can reach.
PRIVATE_NAMES = [
    Edit("test_gaussian_mixture_n_parameters", "g._n_parameters()", "_n_parameters(g)"),
    Edit("test_gaussian_mixture_aic_bic", "g._n_parameters()", "_n_parameters(g)"),
    # scikit-learn's class computes the factors that are expected; a start is seen with max_iter=0.
    Edit("_calculate_precisions", "gmm = GaussianMixture(", "gmm = _SklearnMixture("),
    Edit(
        "test_gaussian_mixture_precisions_init",
        "covariance_type=covariance_type, precisions_init=precisions_init\n",
        "n_components=4, covariance_type=covariance_type, precisions_init=precisions_init,"
        " max_iter=0\n",
    ),
    Edit("test_gaussian_mixture_precisions_init", "gmm._initialize(X, resp)", "gmm.fit(X)"),
    # scikit-learn's KMeans and its mixture number two clusters alike, from one private random
    # stream; the precisions are put in the order of the estimator's own start.
    Edit(
        "test_gaussian_mixture_precisions_init_diag",
        "precisions_init = 1 / covariance\n",
        "precisions_init = _in_order(1 / covariance, X, resp, GaussianMixture, random_state)\n",
    ),
]
#: Documented differences: rows without variance are refused, or components are lost with a warning.
DESIGN = [
    Edit(
        "test_regularisation",
        "with pytest.raises(ValueError, match=msg):",
        "with _refused_or_warned():",
    )
]
EDITS = [*WORDING, *PRIVATE_NAMES, *DESIGN]
#: Fitted attributes and results are float64 whatever the rows' type.
_RESULT_TYPE = re.compile(r"(?m)^( +assert (?:\S+_|gmm_score_proba)\.dtype ==) global_dtype$")

#: Of the tests of the Bayesian mixture, those that hold for maximum likelihood as well.
BAYESIAN = {
    "test_monotonic_likelihood",
    "test_check_covariance_precision",
    "test_invariant_translation",
    "test_bayesian_mixture_fit_predict",
    "test_bayesian_mixture_fit_predict_n_init",
    "test_bayesian_mixture_predict_predict_proba",
}
BAYESIAN_WORDING = [
    Edit("test_bayesian_mixture_predict_predict_proba", "match=msg", 'match="not fitted"')
]


def mixture_tests(estimator: type) -> dict[str, Test]:
    """scikit-learn's mixture tests, by name, with an estimator in its mixture's place.

    Raises
    ------
    StaleError
        If a test or line that is spoken of above is not in the installed scikit-learn.
    """
    gaussian = _gaussian_tests(estimator, edits_types=True)
    bayesian = {f"{name}_of_bayesian_mixture": t for name, t in _bayesian_tests(estimator).items()}
    return gaussian | _common_tests(estimator) | bayesian


def control_tests() -> dict[str, Test]:
    """The edited tests with scikit-learn's own class, which has to pass them as well.

    Not with `precisions_init` and `max_iter=0`, of which scikit-learn 1.9 makes an AttributeError.
    """
    tests = _gaussian_tests(SklearnMixture, edits_types=False)
    edited = {edit.function for edit in EDITS} - {"test_gaussian_mixture_precisions_init"}
    return {f"{name}_of_sklearn_itself": t for name, t in tests.items() if name in edited}


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with lines of some of its functions exchanged."""
    for edit in edits:
        start = re.search(rf"(?m)^def {edit.function}\(", text)
        if start is None:
            raise StaleError(f"{edit.function} is not in this scikit-learn")
        next_line = re.compile(r"(?m)^(?:@|def |class )").search(text, start.end())
        stop = next_line.start() if next_line else len(text)
        body = exchanged(text[start.start() : stop], edit.old, edit.new, edit.function)
        text = text[: start.start()] + body + text[stop:]
    return text


def exchanged(text: str, old: str, new: str, where: str) -> str:
    """The text with `new` wherever `old` was, which has to be somewhere."""
    if old not in text:
        raise StaleError(f"{old!r} is not in {where} of this scikit-learn")
    return text.replace(old, new)


def _gaussian_tests(estimator: type, *, edits_types: bool) -> dict[str, Test]:
    text = edited(_source("test_gaussian_mixture.py"), EDITS)
    text = exchanged(text, "from sklearn.mixture import GaussianMixture\n", "\n", "the imports")
    if edits_types:
        text, n_results = _RESULT_TYPE.subn(r"\1 np.float64", text)
        if n_results == 0:
            raise StaleError("no test looks at the type of results")
    tests = _run("test_gaussian_mixture", text, GaussianMixture=estimator)
    if absent := sorted(set(LEFT_OUT) - set(tests)):
        raise StaleError(f"tests that are left out are not in this scikit-learn: {absent}")
    return {name: test for name, test in tests.items() if name not in LEFT_OUT}


def _common_tests(estimator: type) -> dict[str, Test]:
    text = _source("test_mixture.py")
    both = "BayesianGaussianMixture, GaussianMixture"
    text = exchanged(text, f"from sklearn.mixture import {both}\n", "\n", "the imports")
    pair = "[GaussianMixture(), BayesianGaussianMixture()]"
    text = exchanged(text, pair, "[GaussianMixture()]", "the parameters")
    text = exchanged(text, "match=msg", 'match="components"', "the tests of both")
    return _run("test_mixture", text, GaussianMixture=estimator)


def _bayesian_tests(estimator: type) -> dict[str, Test]:
    def without_prior(**arguments: Any) -> Any:
        arguments.pop("weight_concentration_prior_type", None)
        return estimator(**arguments)

    text = edited(_source("test_bayesian_mixture.py"), BAYESIAN_WORDING)
    line = "from sklearn.mixture import BayesianGaussianMixture\n"
    text = exchanged(text, line, "\n", "the imports")
    tests = _run("test_bayesian_mixture", text, BayesianGaussianMixture=without_prior)
    if absent := sorted(BAYESIAN - set(tests)):
        raise StaleError(f"tests of the Bayesian mixture are not in this scikit-learn: {absent}")
    return {name: tests[name] for name in sorted(BAYESIAN)}


def _source(name: str) -> str:
    return files("sklearn.mixture.tests").joinpath(name).read_text(encoding="utf-8")


def _run(name: str, text: str, **given: object) -> dict[str, Test]:
    """The test functions of a module's text, which finds some names in its namespace."""
    path = f"<{name}.py of scikit-learn, edited>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)  # tracebacks
    namespace: dict[str, Any] = {"__name__": f"edited_{name}", **_ADDED, **given}
    exec(compile(text, path, "exec"), namespace)  # noqa: S102 - the installed scikit-learn's tests
    return {key: value for key, value in namespace.items() if key.startswith("test_")}


def _n_parameters(mixture: Any) -> int:
    own = getattr(mixture, "n_parameters", None)
    return mixture._n_parameters() if own is None else own


def _in_order(precisions: Any, X: Any, resp: Any, estimator: type, seed: int) -> Any:
    """Precisions of components given by responsibilities, in the order of the estimator's start."""
    k = len(precisions)
    start = estimator(k, covariance_type="diag", random_state=seed, max_iter=0).fit(X)
    means = resp.T @ X / resp.sum(axis=0)[:, None]
    return precisions[[int(((means - own) ** 2).sum(axis=1).argmin()) for own in start.means_]]


@contextlib.contextmanager
def _refused_or_warned() -> Iterator[None]:
    """A ValueError, or a warning that speaks of components, covariances or regularisation."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except ValueError:
            return
    texts = [str(one.message) for one in caught]
    assert any(re.search("component|covariance|regularis", text) for text in texts), texts


_ADDED = {
    "_SklearnMixture": SklearnMixture,
    "_n_parameters": _n_parameters,
    "_in_order": _in_order,
    "_refused_or_warned": _refused_or_warned,
    "np": np,
}
