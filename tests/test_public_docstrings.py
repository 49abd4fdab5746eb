"""Public names have docstrings with every section that a reader looks for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import dgmm

#: numpydoc's names of what has to be right: summary, parameters, returns, example.
CHECKS = {
    *("GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08", "GL10"),  # form
    *("SS01", "SS02", "SS03", "SS04"),  # a summary, a sentence
    *("PR01", "PR02", "PR03", "PR04", "PR05", "PR07", "PR10"),  # every parameter, its type, meaning
    *("RT01", "RT02", "RT03"),  # what is returned
    *("YD01", "EX01"),
}
#: A docstring here begins on the line of its quotes, as the linter wants it.
CHECKS -= {"GL01"}


def names() -> Iterator[str]:
    """Public names of the package, and the public methods that dgmm itself gives to its classes."""
    for name in dgmm.__all__:
        value = getattr(dgmm, name)
        if not callable(value):
            continue
        yield f"dgmm.{name}"
        if isinstance(value, type):
            yield from (f"dgmm.{name}.{method}" for method in methods(value))


def methods(kind: type) -> Iterator[str]:
    for name, value in inspect.getmembers(kind):
        if not name.startswith("_") and inspect.isroutine(value) and is_own(value):
            yield name


def is_own(value: Any) -> bool:
    """Whether dgmm wrote it; scikit-learn's base classes have methods of their own."""
    return inspect.unwrap(value).__module__.startswith("dgmm.") and not is_plain(value)


def is_plain(value: Any) -> bool:
    """`get_params` and `set_params`, where scikit-learn is not installed."""
    return inspect.unwrap(value).__module__ == "dgmm.plain_estimator"


NAMES = list(names())
#: What `load_model` returns: users call these.
OF_A_MODEL = (
    *("predict", "predict_proba", "score_samples", "is_anomaly", "explain_anomalies"),
    *("sample", "to_sklearn", "marginal", "conditional", "mahalanobis", "density_level"),
)


def test_the_names_are_those_of_the_interface() -> None:
    assert {"dgmm.GaussianMixture", "dgmm.load_model", "dgmm.GaussianMixture.fit"} <= set(NAMES)
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_has_its_sections(name: str) -> None:
    found = validate(name)
    assert [(code, text) for code, text in found["errors"] if code in CHECKS] == []


@pytest.mark.parametrize("method", OF_A_MODEL)
def test_methods_of_a_model_have_their_sections(method: str) -> None:
    """One example stands in the docstring of the class."""
    found = validate(f"dgmm.model.mixture_model.MixtureModel.{method}")
    assert [
        (code, text) for code, text in found["errors"] if code in CHECKS - {"EX01", "YD01"}
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_says_what_is_raised_and_has_an_example_that_runs(name: str) -> None:
    sections = NumpyDocString(inspect.getdoc(resolved(name)) or "")
    assert sections["Raises"], "a section Raises"
    raised = [kind for error in sections["Raises"] for kind in re.split(", ?", error.type)]
    assert [kind for kind in raised if not kind.endswith("Error")] == []
    assert all(error.desc for error in sections["Raises"])
    assert any(line.startswith(">>> ") for line in sections["Examples"])


@pytest.mark.parametrize("name", NAMES)
def test_arrays_come_with_their_shapes(name: str) -> None:
    sections = NumpyDocString(inspect.getdoc(resolved(name)) or "")
    described = [*sections["Parameters"], *sections["Returns"], *sections["Attributes"]]
    arrays = [item for item in described if re.search(r"\b(ndarray|array_like)\b", item.type)]
    assert [
        item.name or item.type for item in arrays if "shape" not in item.type + " ".join(item.desc)
    ] == []


def resolved(name: str) -> Any:
    value: Any = dgmm
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def test_a_shell_completes_the_public_names():
    assert dir(dgmm) == sorted(dgmm.__all__)
