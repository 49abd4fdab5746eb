"""Where `GaussianMixture.fit` begins EM: at its last mixture, at arrays, or where a method says."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any

from dgmm.data.standardisation import Standardisation
from dgmm.estimator import fitted_attributes as fitted
from dgmm.fitting.fit import StartTransform, UserStart
from dgmm.fitting.prior_settings import PRIOR_KEYS, TYPE_KEY, PriorSettings
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.shrinkage import USUAL_SHARE
from dgmm.fitting.start_arrays import with_arrays
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.random_streams import seed_from


def settings_of(mixture: Any) -> FitSettings:
    """What the estimator's parameters ask for.

    Raises
    ------
    DataError
        If one means nothing.
    """
    parameters = mixture.get_params(deep=False)
    same = {f.name for f in fields(FitSettings)} & set(parameters) - {"reg_covar_relative"}
    share, is_open = share_of(mixture.reg_covar_relative)
    return FitSettings(
        **{name: parameters[name] for name in same},
        reg_covar_relative=share,
        shrinkage="auto" if is_open else "none",
        method=mixture.init_params,
        seed=seed_from(mixture.random_state),
        accept_cost=True,
        prior=PriorSettings(**{key: getattr(mixture, key) for key in (*PRIOR_KEYS, TYPE_KEY)}),
    )


def share_of(asked: Any) -> tuple[Any, bool]:
    """The number that `reg_covar_relative` is where rows are many, and whether it is left open."""
    is_open = isinstance(asked, str) and asked == "held_out"
    return (USUAL_SHARE if is_open else asked), is_open


def start_of_fit(
    mixture: Any, settings: FitSettings, n_features: int
) -> tuple[FitSettings, UserStart | None, StartTransform | None]:
    """The settings that a start asks for, the start, and what changes one that a method draws.

    Parameters
    ----------
    mixture
        The estimator.
    settings
        What its parameters ask for.
    n_features
        Of the rows.
    """
    whole = replace(settings, n_init=1, method="given")
    if mixture.warm_start and fitted.is_fitted(mixture):
        last = fitted.model_of(mixture)
        asked = (settings.n_components, n_features, settings.covariance_type)
        if (last.n_components, last.n_features, last.covariance_type) == asked:
            end = getattr(mixture, "_end", None)
            # Attributes that were set since have made another model.
            same = end is not None and end.model is last
            return whole, end if same else last.standardised_parameters, None
    arrays = (mixture.weights_init, mixture.means_init, mixture.precisions_init)
    adjusted = partial(_adjusted, mixture)
    if all(array is not None for array in arrays):
        return whole, lambda standardisation: adjusted(None, standardisation), None
    has_part = any(array is not None for array in arrays)
    return settings, None, adjusted if has_part else None


def _adjusted(
    mixture: Any, drawn: Parameters | None, standardisation: Standardisation
) -> Parameters:
    """A method's start with the given arrays put in their places."""
    return with_arrays(
        drawn,
        standardisation,
        family_named(mixture.covariance_type),
        mixture.n_components,
        weights=mixture.weights_init,
        means=mixture.means_init,
        precisions=mixture.precisions_init,
    )
