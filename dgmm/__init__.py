"""Gaussian mixtures for data that no machine can hold: Zarr in, map-reduce EM on Dask.

`GaussianMixture` is scikit-learn's interface on arrays and on Zarr; `select` fits several and
chooses one; `load_model` opens what a job (`dgmm run job.yaml`) left behind, and `compare` puts
two of them side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dgmm.version import __version__

if TYPE_CHECKING:
    from dgmm.estimator.gaussian_mixture import GaussianMixture
    from dgmm.estimator.mixture_classifier import GaussianMixtureClassifier
    from dgmm.estimator.selection import select
    from dgmm.job.comparing import compare
    from dgmm.model.model_files import load_model

__all__ = [
    "GaussianMixture",
    "GaussianMixtureClassifier",
    "__version__",
    "compare",
    "load_model",
    "select",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: `dgmm --help` must not load NumPy."""
    import importlib  # noqa: PLC0415 - only needed when a name is asked for

    modules = {
        "GaussianMixture": "dgmm.estimator.gaussian_mixture",
        "GaussianMixtureClassifier": "dgmm.estimator.mixture_classifier",
        "compare": "dgmm.job.comparing",
        "load_model": "dgmm.model.model_files",
        "select": "dgmm.estimator.selection",
    }
    if name not in modules:
        raise AttributeError(f"module 'dgmm' has no attribute {name!r}")
    return getattr(importlib.import_module(modules[name]), name)


def __dir__() -> list[str]:
    """Public names, imported or not: what a shell completes."""
    return sorted(__all__)
