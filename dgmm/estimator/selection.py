"""`select`: several mixtures of the same rows from shared passes, compared, one of them chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from dgmm.data.cache_budget import with_cached_rows
from dgmm.data.open_dataset import opened_rows
from dgmm.data.sample_weight import with_sample_weight
from dgmm.errors import DataError
from dgmm.estimator.gaussian_mixture import GaussianMixture
from dgmm.estimator.start_of_fit import settings_of
from dgmm.execution.threads import ThreadExecutor, in_this_process
from dgmm.fitting.initialisation import reads_all_rows
from dgmm.fitting.selection.choice import Scored
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.stability import Stability
from dgmm.fitting.selection.stability import stability as stability_of
from dgmm.fitting.selection.sweep import sweep
from dgmm.fitting.selection.sweep_result import Sweep, SweptModel
from dgmm.fitting.settings import FitSettings, whole_number
from dgmm.mixture.covariance import FAMILIES
from dgmm.model.mixture_model import MixtureModel
from dgmm.parameter_names import in_words_of_python
from dgmm.python_warnings import WarningListener, warn
from dgmm.reduction.executor import Executor

#: A model: its number of components and its covariance type, as asked for.
Key = tuple[int, str]
#: Parameters of the estimator that are of one model.
_OF_ONE = ("weights_init", "means_init", "precisions_init")


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What `select` has found.

    Attributes
    ----------
    mixture : GaussianMixture
        The chosen mixture as a fitted estimator.
    chosen, runner_up, lowest_bic : tuple of int and str
        Number of components and covariance type, as asked for: of the chosen model, of what the
        rule would choose without it (None of one model), and of BIC's own choice.
    rule : str
        The rule in words.
    described : str
        The choice in a line, with what else would be chosen and whether it is at an edge.
    models : dict of tuple to MixtureModel
        Every model.
    criteria : list of dict
        A row for each model: log-likelihood, BIC, AIC, ICL, entropy and how its EM ended; with
        held-out rows their mean log-likelihood, how much it is below the highest, and the standard
        error of that. `pandas.DataFrame(found.criteria)` makes a table of it.
    failed : dict of str to str
        Why other models could not be fitted, or not without one of the folds.
    stability : Stability or None
        Whether the components of the chosen model are found again in halves of the sample.
    runner_up_stability : Stability or None
        The same of the runner-up: where the two are near, the one whose components are found again
        is the safer answer. None of one model.
    """

    mixture: GaussianMixture
    chosen: Key
    runner_up: Key | None
    lowest_bic: Key
    rule: str
    described: str
    models: dict[Key, MixtureModel] = field(repr=False)
    criteria: list[dict[str, Any]] = field(repr=False)
    failed: dict[str, str]
    stability: Stability | None = None
    runner_up_stability: Stability | None = None


@in_words_of_python
def select(
    X: Any,
    *,
    n_components: int | Iterable[int],
    covariance_type: str | Iterable[str] = "full",
    criterion: Literal["bic", "held_out"] = "bic",
    folds: int = 5,
    fold_rows: int = 1,
    tolerance: float = 0.01,
    split_starts: bool = True,
    stability: bool = False,
    sample_weight: ArrayLike | None = None,
    **parameters: Any,
) -> Selection:
    """Fit several mixtures in the same passes, and choose one.

    With equal data, settings and seed the models have the bits of those of a job
    (`dgmm run` with several values of `model.n_components`), and the choice is the same.

    Parameters
    ----------
    X : array_like, table, DataArray, Dataset, AnnData, str or zarr.Array of shape (n, d)
        Rows, as `GaussianMixture.fit` takes them.
    n_components : int or iterable of int
        Numbers of components, such as `range(1, 9)` or `[2, 4, 8]`.
    covariance_type : str or iterable of str
        Shapes of the covariances; every number of components is fitted with each.
    criterion : {"bic", "held_out"}
        Compare BIC / (2 n), or the log-likelihood of rows that a fit has not seen.
    folds : int
        Parts of the rows for `held_out`, each left out in turn.
    fold_rows : int
        Consecutive rows that stay in one part; more where neighbours are alike.
    tolerance : float
        The model of fewest components is chosen within so many nats per row of the best one (with
        `held_out`, or one standard error of the difference); 0 with `bic` is plain BIC.
    split_starts : bool
        Whether models begin at splits of smaller ones too, and are fitted again from one where the
        likelihood falls with the number of components.
    stability : bool
        Whether the components of the chosen model, and of the runner-up, are looked for in halves
        of the sample.
    sample_weight : array_like of shape (n,), optional
        Weights of the rows, as `GaussianMixture.fit` takes them.
    **parameters
        Further parameters of `GaussianMixture`, the same for all models.

    Returns
    -------
    Selection
        The chosen mixture, every model, their criteria and the rule.

    Raises
    ------
    DataError
        (a ValueError) If the data or a parameter cannot be used.
    ComponentError
        (a ValueError) If no mixture can be made of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> import dgmm
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(c, 1.0, (200, 2)) for c in (0.0, 6.0, 12.0)])
    >>> found = dgmm.select(X, n_components=range(1, 6), random_state=0)
    >>> found.chosen
    (3, 'full')
    >>> sorted(found.models) == [(k, "full") for k in range(1, 6)]
    True
    >>> labels = found.mixture.predict([[0.0, 0.0], [6.0, 6.0], [12.0, 12.0]])
    >>> len(set(labels.tolist()))
    3
    """
    template = GaussianMixture(**parameters)
    settings = _models(template, _values(n_components), _values(covariance_type))
    seen = _folds(criterion, folds, fold_rows, settings)
    split_starts = _truth("split_starts", split_starts)
    stability = _truth("stability", stability)
    n = template.n_threads
    executor = ThreadExecutor(None if n is None else whole_number("n_threads", n, 1))
    with opened_rows(X) as unweighted, executor:
        dataset = with_sample_weight(unweighted, sample_weight, template.weight_kind)
        warn(dataset.warnings)
        found = sweep(
            *(with_cached_rows(dataset, executor.n_threads), executor, settings, WarningListener()),
            tolerance=_tolerance(tolerance),
            split_starts=split_starts,
            folds=seen,
        )
        dataset.check_unchanged()
        halves = _halves(found, executor) if stability else (None, None)
    return _selection(found, parameters, halves)


def _halves(found: Sweep, executor: Executor) -> tuple[Stability, Stability | None]:
    """How stable the components of the chosen model are, and those of the runner-up."""
    fit, second = found.fit, found.runner_up
    rows, weights = fit.sample, fit.summary.sample_weights
    kind = "importance" if fit.weights is None else fit.weights.kind
    with in_this_process(executor) as here:

        def of(model: MixtureModel, settings: FitSettings) -> Stability:
            return stability_of(model, rows, weights, settings, here, kind=kind)

        own = of(fit.model, found.chosen.settings)
        return own, None if second is None else of(second.model, second.settings)


def _selection(
    found: Sweep, parameters: dict[str, Any], halves: tuple[Stability | None, Stability | None]
) -> Selection:
    choice, second = found.choice, found.choice.runner_up
    mixture: Any = GaussianMixture.from_model(found.fit.model, **parameters)
    chosen = found.fit.chosen
    mixture.converged_ = chosen.outcome is not None and chosen.outcome.has_converged
    mixture.n_iter_, mixture.lower_bound_ = chosen.n_iter, chosen.objective
    mixture.lower_bounds_ = list(chosen.history)
    return Selection(
        mixture=mixture,
        chosen=_key(choice.chosen),
        runner_up=None if second is None else _key(second),
        lowest_bic=_key(choice.best_bic),
        rule=choice.rule,
        described=choice.describe(),
        models={_key(one.settings): one.model for one in found.models},
        criteria=[_row(found, one) for one in found.models],
        failed=found.failed,
        stability=halves[0],
        runner_up_stability=halves[1],
    )


def _key(one: FitSettings | Scored) -> Key:
    return one.n_components, one.covariance_type


def _row(found: Sweep, one: SweptModel) -> dict[str, Any]:
    """A row of the table of criteria."""
    row = {
        "n_components": one.settings.n_components,
        "covariance_type": one.settings.covariance_type,
        "fitted_components": one.model.n_components,
        "n_parameters": one.model.n_parameters,
        "mean_log_likelihood": one.chosen.mean_log_likelihood,
        "entropy": one.entropy,
        **asdict(one.criteria),
        "n_iter": one.chosen.n_iter,
        "outcome": None if one.chosen.outcome is None else one.chosen.outcome.name,
        "is_sound": one.is_sound,
        "is_chosen": one is found.chosen,
    }
    if (held_out := found.held_out) is not None and one.scored.key in held_out.models:
        below = held_out.below(one.scored.key, found.choice.best.key)
        row |= {
            "held_out_log_likelihood": held_out.mean(one.scored.key),
            "below_best": below.mean,
            "standard_error": below.standard_error,
        }
    return row


def _values(given: Any) -> list[Any]:
    """One value, or several."""
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    return [str(value) if isinstance(value, str) else value for value in values]


def _models(
    template: GaussianMixture, sizes: Sequence[Any], families: Sequence[Any]
) -> list[FitSettings]:
    """The settings of every model, in a job's order.

    Raises
    ------
    DataError
        If there is none, one is there twice, or they cannot be compared.
    """
    for name, values in (("n_components", sizes), ("covariance_type", families)):
        if not values:
            raise DataError(f"{name} is empty; expected one value or several")
        if repeated := [value for i, value in enumerate(values) if value in values[:i]]:
            raise DataError(f"{name} has {repeated[0]!r} more than once; expected each once")
    if given := [name for name in _OF_ONE if getattr(template, name) is not None]:
        raise DataError(f"{given[0]} is of one model; expected none beside several models")
    common = settings_of(template)
    if common.inference == "variational":
        raise DataError(
            'inference is "variational", whose models have no likelihood to compare: fit the '
            'largest number alone, which is pruned, or set inference to "map"'
        )
    if common.max_iter == 0:
        raise DataError("max_iter is 0; expected at least 1: models are compared after EM")
    models = [replace(common, n_components=k, covariance_type=t) for t in families for k in sizes]
    order = FAMILIES.names()
    return sorted(models, key=lambda m: (order.index(m.covariance_type), m.n_components))


def _folds(
    criterion: str, folds: int, fold_rows: int, models: Sequence[FitSettings]
) -> Folds | None:
    if criterion == "bic":
        return None
    if criterion != "held_out":
        raise DataError(f"criterion is {criterion!r}; expected bic or held_out")
    if len(models) == 1:
        raise DataError(
            'criterion is "held_out", which compares models; give several values of n_components '
            "or covariance_type"
        )
    settings = models[0]
    if reads_all_rows(settings.method):
        raise DataError(
            f"init_params is {settings.method!r}, which reads all rows; expected one that reads a "
            'sample, such as "kmeans", where rows are held out'
        )
    n_folds = whole_number("folds", folds, 2)
    return Folds(n_folds, whole_number("fold_rows", fold_rows, 1), settings.seed)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise DataError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def _tolerance(value: Any) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < inf:
        raise DataError(f"tolerance is {value!r}; expected a finite number of at least 0")
    return float(value)
