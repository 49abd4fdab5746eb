"""Parameters of an estimator by name, as scikit-learn has them, where it is not installed."""

from __future__ import annotations

import inspect
from collections import defaultdict
from typing import Any, Self


class PlainEstimator:
    """Reads its parameters from the signature of `__init__`, so that subclasses may have more."""

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Names in alphabetical order."""
        return sorted(_named(cls))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name.

        Parameters
        ----------
        deep
            Parameters of estimators among the parameters too, as `name__parameter`.
        """
        found: dict[str, Any] = {}
        for name in self._get_param_names():
            value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                found.update((f"{name}__{key}", inner) for key, inner in value.get_params().items())
            found[name] = value
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, `name__parameter` for one of an estimator among them.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        names = self._get_param_names()
        nested: dict[str, dict[str, Any]] = defaultdict(dict)
        for key, value in params.items():
            name, delimiter, inner = key.partition("__")
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. "
                    f"Valid parameters are: {names!r}."
                )
            if delimiter:
                nested[name][inner] = value
            else:
                setattr(self, name, value)
        for name, inner_params in nested.items():
            getattr(self, name).set_params(**inner_params)
        return self

    def __repr__(self) -> str:
        """Parameters that differ from their defaults."""
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name, default in _named(type(self)).items()
            if getattr(self, name) is not default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _named(estimator: type) -> dict[str, Any]:
    """Parameters of a class by name, with their defaults, in the order of the signature."""
    various = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    signature = inspect.signature(estimator).parameters
    return {name: p.default for name, p in signature.items() if p.kind not in various}
