"""Models that see the same rows: all of them, or those outside one fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dgmm.errors import ComponentError, DgmmError
from dgmm.events import Listener, SilentListener
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import PartProgress
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.iterate import model_of
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.selection.chain import Chain
from dgmm.fitting.selection.fold_preparation import fold_counts, outside_fold
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.groups import key_of
from dgmm.fitting.settings import FitSettings


class _OfFold(SilentListener):
    """Hands on warnings of one fold's fits: of what they tell there is as much as of all rows."""

    def __init__(self, listener: Listener, fold: int) -> None:
        self._listener, self._fold = listener, fold

    def warning(self, text: str) -> None:
        """With the fold."""
        self._listener.warning(f"without fold {self._fold}: {text}")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Models of one part of the rows.

    Attributes
    ----------
    fold
        The one that they do not see; None where they see all rows.
    begun
        Starts of every model that has one.
    failed
        Why the others have none, by name.
    chain
        Makes starts of models from those of smaller ones.
    """

    fold: int | None
    begun: tuple[ModelStart, ...]
    failed: dict[str, str]
    chain: Chain

    @classmethod
    def of_models(
        cls,
        maker: Starter,
        models: Sequence[FitSettings],
        prepared: Sequence[PreparedFit],
        fold: int | None = None,
        *,
        split_starts: bool,
    ) -> Part:
        """With the starts of every model, where they can be made.

        Parameters
        ----------
        maker
            Makes starts, and knows where they are saved.
        models, prepared
            What is asked for, and the rows as each model sees them.
        fold
            Of these rows.
        split_starts
            Whether models begin at splits of smaller ones too.
        """
        begun, failed = list[ModelStart](), dict[str, str]()
        for settings, own in zip(models, prepared, strict=True):
            part = replace(maker, progress=PartProgress(maker.progress, settings.name))
            identity = CandidateId(0, "", settings.n_components, settings.covariance_type, fold)
            try:
                begun.append(part.start(own, settings, identity))
            except DgmmError as error:
                if fold is None and not isinstance(error, ComponentError):
                    raise  # of a fold it may be that too few rows are left for this model
                failed[settings.name] = str(error)
                maker.listener.warning(f"{settings.name} cannot be fitted: {error}")
        chain = Chain(maker.here, maker.listener, maker.progress)
        found = chain.extended(begun) if split_starts else begun
        return cls(fold, tuple(found), failed, chain)

    def due(self, candidates: Sequence[FitCandidate]) -> list[FitCandidate]:
        """Candidates of models that are to be fitted again (`Chain.due`)."""
        return self.chain.due(self.begun, self.own(candidates))

    def own(self, candidates: Sequence[FitCandidate]) -> tuple[FitCandidate, ...]:
        """Those of this part."""
        return tuple(c for c in candidates if c.id.fold == self.fold)

    def best(self, model: ModelStart, candidates: Sequence[FitCandidate]) -> FitCandidate:
        """The best candidate of one of its models."""
        key = key_of(model.settings)
        own = tuple(c for c in self.own(candidates) if model_of(c.id) == key)
        return em.best(own, model.prepared.n_rows_ranked)


def fold_parts(maker: Starter, whole: Part, folds: Folds, *, split_starts: bool) -> list[Part]:
    """The same models without each fold: their own starts, from the sample's other rows.

    Raises
    ------
    DataError
        If a fold has no row.
    """
    models = [one.settings for one in whole.begun]
    prepared = [one.prepared for one in whole.begun]
    summary = prepared[0].summary
    maker.listener.stage("folds", f"starts of {len(models)} models without each of {folds.n_folds}")
    counts = fold_counts(maker.dataset, maker.executor, folds, summary, maker.progress)
    parts = []
    for fold in range(folds.n_folds):
        own = replace(
            maker,
            listener=_OfFold(maker.listener, fold),
            progress=PartProgress(maker.progress, f"fold-{fold}"),
        )
        seen = outside_fold(prepared, models, folds, fold, counts)
        parts.append(Part.of_models(own, models, seen, fold, split_starts=split_starts))
    return parts
