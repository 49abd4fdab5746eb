"""Scores of a data set's blocks, whose values are read once where all of them are finite."""

from __future__ import annotations

from functools import partial

from numpy.typing import DTypeLike

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import REMEDY, MissingPolicy, UncheckedRows
from dgmm.data.row_block import RowBlock
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.scoring.partial_rows import marginal_scorer
from dgmm.scoring.row_scores import IncompleteRowsError, ScoredMixture, score_block
from dgmm.scoring.scored import Scored


class BlockScorer:
    """What a task prepares to score its blocks.

    Compiled scoring leaves out rows that are not finite. So nobody looks for missing values first,
    which takes another read of the block (11 ns a row of 16 features, of 100), until a block has
    had some: it is then scored again, and the task's later ones are looked through before.

    Parameters
    ----------
    dataset, model
        What is scored, with what.
    missing, remedy
        What is done with missing values, and the end of the message where they are an error.
    backend
        The name of what computes.
    posterior_dtype
        Type of all posteriors; None where none are wanted.
    impute, merge
        Whether there are expected values, and clusters.
    """

    def __init__(
        self,
        dataset: Dataset,
        model: ScoredMixture,
        missing: MissingPolicy,
        backend: str,
        posterior_dtype: DTypeLike | None,
        *,
        remedy: str = REMEDY,
        impute: bool = False,
        merge: bool = False,
    ) -> None:
        self._select = partial(missing.select, dataset=dataset, weightless=True, remedy=remedy)
        self._score = partial(
            score_block,
            scorer=Scorer(model.parameters),
            workspace=Workspace(get(backend)),
            model=model,
            posterior_dtype=posterior_dtype,
            marginal=marginal_scorer(model.parameters),
            impute=impute,
            merge=merge,
        )
        self._lacks_values = False

    def __call__(self, block: RowBlock) -> Scored:
        """Scores of a block, and which of its rows count.

        Raises
        ------
        DataError
            If the policy refuses a row.
        """
        if not self._lacks_values:
            try:
                return self._score(UncheckedRows(block.values, block.weights))
            except IncompleteRowsError:
                self._lacks_values = True
        return self._score(self._select(block))
