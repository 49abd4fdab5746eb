"""Messages for Python users: parameters of the estimator in place of job-file keys.

Messages name keys of the job file. In Python the same advice has other names, so that it is put
into Python's words where it leaves a method. Only whole phrases are replaced (`lower KEY`, `set KEY
to VALUE`): a column of a table may well be called `data.path`, and keeps its name.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from dgmm.errors import DgmmError

T = TypeVar("T")
P = ParamSpec("P")

_NONE: Mapping[str, str] = MappingProxyType({})

#: Parameters of `GaussianMixture` by the job-file key of the same meaning.
PARAMETERS = {
    "data.missing": "missing",
    "model.n_components": "n_components",
    "model.covariance_type": "covariance_type",
    "model.tol": "tol",
    "model.max_iter": "max_iter",
    "model.n_init": "n_init",
    "model.reg_covar": "reg_covar",
    "model.reg_covar_relative": "reg_covar_relative",
    "model.acceleration": "acceleration",
    "model.on_collapse": "on_collapse",
    "model.noise": "noise",
    "model.inference": "inference",
    "model.mean_prior": "mean_prior",
    "model.mean_precision_prior": "mean_precision_prior",
    "model.degrees_of_freedom_prior": "degrees_of_freedom_prior",
    "model.covariance_prior": "covariance_prior",
    "model.weight_concentration_prior": "weight_concentration_prior",
    "model.weight_concentration_prior_type": "weight_concentration_prior_type",
    "initialisation.method": "init_params",
    "initialisation.sample_rows": "sample_rows",
    "initialisation.n_sample_starts": "n_sample_starts",
    "compute.backend": "backend",
    "cluster.n_workers": "n_threads",
}
#: Parameters of `select` alone.
OF_SELECT = {
    f"selection.{name}": name
    for name in ("criterion", "folds", "fold_rows", "tolerance", "stability", "split_starts")
}
#: Advice on what the estimator has no parameter for.
PHRASES = {
    "of a table, name its columns in data.columns": "of a table, select its columns",
    "name one of its arrays in data.array": "give the path of one of its arrays",
    ". Of arrays whose dimensions have names, data.variables and data.sample_dims make each place "
    "a row (dgmm inspect prints such a job)": "",
    "set data.absent_chunks to fill;": "give the values that zarr reads: "
    "zarr.open_array(path)[...];",
    " (storage.retry_s: how long it is waited for)": "",
    " (storage.retry_s)": "",
    **{
        f"add {size} numbers to model.n_components": f"add {size} numbers to n_components"
        for size in ("larger", "smaller")
    },
    " that classes.unknown does not list": "",
    " (classes.unknown)": "",
    " (classes.folds)": "",
    "A number for model.reg_covar_relative": "A number for reg_covar_relative",
    "Run the same command again": "Call the method again",
    "run the same command again": "call the method again",
    "Run again when": "Fit again when",
}
#: What a message may begin with, where it names the setting that is at fault.
BEGINNINGS = {
    "classes.priors ": "priors ",
    "classes.priors: ": "priors: ",
    "data.path /": "X: /",
    "initialisation.method is": "init_params is",
    "compute.backend is": "backend is",
}
#: The same of a prior's settings, whose keys are the parameters' names in `model`.
_PRIOR = re.compile(r"^model\.(\w+_prior(?:_type)? (?:is|has the shape|holds) )")
_KEY = (
    "(?:"
    + "|".join(sorted(map(re.escape, PARAMETERS | OF_SELECT), key=len, reverse=True))
    + r")(?!\.?\w)"
)
_ADVICE = re.compile(
    rf"\b(lower|raise|choose another|choose a simpler|set) ({_KEY}(?: or {_KEY})*)(?: to (\w+))?",
    re.IGNORECASE,
)


def in_python(text: str, own: Mapping[str, str] = _NONE) -> str:
    """The message with its advice in Python's words, and `own` ones instead of some of these.

    Examples
    --------
    >>> in_python("data.path: 3 NaN. Set data.missing to drop, or lower model.n_components.")
    'data.path: 3 NaN. Set missing="drop", or lower n_components.'
    """
    for said, instead in BEGINNINGS.items():
        if text.startswith(said):
            text = instead + text.removeprefix(said)
    text = _PRIOR.sub(r"\1", text)
    for said, instead in PHRASES.items():
        text = text.replace(said, instead)
    text = _ADVICE.sub(_with_parameters, text)
    for said, instead in own.items():
        text = text.replace(said, instead)
    return text


def speaks_python(kind: type[T], own: Mapping[str, str] = _NONE) -> type[T]:
    """A class whose public methods raise errors that advise in Python's words.

    Parameters
    ----------
    kind
        The class; its own methods are replaced, those it inherits are not.
    own
        Advice, in Python's words, that the class cannot follow, and what it says instead.
    """
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(kind, name, in_words_of_python(method, own))
    return kind


def speaks_python_with(own: Mapping[str, str]) -> Callable[[type[T]], type[T]]:
    """`speaks_python` for a class that cannot follow some of the advice."""
    return functools.partial(speaks_python, own=own)


def _with_parameters(advice: re.Match[str]) -> str:
    verb, keys, value = advice.groups()
    names = re.sub(_KEY, lambda key: (PARAMETERS | OF_SELECT)[key[0]], keys)
    if value is None:
        return f"{verb} {names}"
    shown = {"true": "True", "false": "False"}.get(value, f'"{value}"')
    return f"{verb} {names}={shown}"


def in_words_of_python(method: Callable[P, T], own: Mapping[str, str] = _NONE) -> Callable[P, T]:
    """A function whose errors advise in Python's words, and `own` ones instead of some."""

    @functools.wraps(method)
    def speaking(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except DgmmError as error:
            error.args = tuple(in_python(a, own) if isinstance(a, str) else a for a in error.args)
            raise

    return speaking
