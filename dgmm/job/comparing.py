"""Two runs, or two models, side by side: components matched, and labels of the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.data.zarr.output_store import OutputArray
from dgmm.errors import DataError, InputNotFoundError
from dgmm.fitting.comparison.label_agreement import contingency
from dgmm.fitting.comparison.label_matrix import LabelMatrix, noise_label
from dgmm.job.products import OUTPUTS
from dgmm.model.matching import MatchedPair, Matching
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model
from dgmm.parameter_names import in_python
from dgmm.run_record import read
from dgmm.storage.atomic_files import plain, read_json

#: Labels that are read at a time.
_ROWS = 1 << 20
#: Parts of a data fingerprint that are of a model, not of the rows.
_OF_MODELS = ("start", "model")
_SHOWN, _WIDEST = 30, 12

NO_DRIFT = (
    "Matching two fits is no measure of drift: two fits of the same rows may differ as much. To "
    "ask whether a model still describes new rows, use `monitor` (docs/monitoring.md)."
)


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """Labels that two runs gave to the same rows.

    Attributes
    ----------
    n_rows : int
        Rows that both have labelled.
    adjusted_rand_index : float
        1 where both parts are the same, about 0 by chance (Hubert & Arabie 1985).
    matrix : tuple of tuple of int
        Rows by label of the first run (down) and of the second (across).
    moved : float
        Share of the rows that are in another cluster once clusters are matched so that most rows
        agree, noise with noise alone.
    """

    n_rows: int
    adjusted_rand_index: float
    matrix: tuple[tuple[int, ...], ...]
    moved: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs or models side by side.

    Attributes
    ----------
    first, second : str
        What is compared, in words.
    pairs : tuple of MatchedPair
        Components with their partners: places, weights, distances.
    only_first, only_second : tuple of int
        Components without a partner.
    labels : LabelAgreement or None
        Where both runs have labelled the same rows.
    why_no_labels : str
        Why there is no such agreement.
    noise : tuple
        Weight of each one's noise, which no component is matched with; None without.
    """

    first: str
    second: str
    pairs: tuple[MatchedPair, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]
    labels: LabelAgreement | None
    why_no_labels: str = ""
    noise: tuple[float | None, float | None] = (None, None)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def table(self) -> str:
        """As text."""
        lines = [f"A  {self.first}", f"B  {self.second}", "", *_pairs_table(self.pairs)]
        for name, left in (("A", self.only_first), ("B", self.only_second)):
            if left:
                lines.append(f"only in {name}: {', '.join(map(str, left))}")
        return "\n".join([*lines, "", *self._labels_lines(), "", NO_DRIFT])

    def _labels_lines(self) -> list[str]:
        if self.labels is None:
            return [f"labels are not compared: {self.why_no_labels}"]
        own = self.labels
        agreement = f"adjusted Rand index {own.adjusted_rand_index:.4f}"
        moved = f"{100 * own.moved:.3g} % of them in another cluster"
        lines = [f"{own.n_rows:,} rows labelled by both: {agreement}, {moved}"]
        if max(len(own.matrix), len(own.matrix[0])) <= _WIDEST:
            lines.append("rows by label of A (down) and B (across):")
            columns = ["", *map(str, range(len(own.matrix[0])))]
            lines += _aligned([columns, *_numbered(own.matrix)])
        return lines


def _numbered(matrix: Sequence[Sequence[int]]) -> list[list[str]]:
    return [[str(i), *(f"{n:,}" for n in row)] for i, row in enumerate(matrix)]


def compare(first: Any, second: Any) -> Comparison:
    """Match the components of two runs or models, and compare the labels of the same rows.

    Two fits of the same rows may differ as much as two fits of different ones: this is no measure
    of drift.

    Parameters
    ----------
    first, second : str, Path, MixtureModel or fitted estimator
        A run directory, a model directory, or a model.

    Returns
    -------
    Comparison
        `pairs` matched by Bhattacharyya distance, components without a partner, and `labels`, how
        far two runs agree on rows that both have labelled. `table()` is its text, `record()` its
        JSON.

    Raises
    ------
    InputNotFoundError
        If there is no model.
    DataError
        (a ValueError) If features, units or steps of the models differ, or something else is given.

    Examples
    --------
    >>> from dgmm import GaussianMixture, compare
    >>> X = np.random.default_rng(0).normal([[0.0], [9.0]], 1.0, size=(2, 500)).reshape(-1, 1)
    >>> one, other = (GaussianMixture(k, random_state=0).fit(X).model_ for k in (2, 3))
    >>> found = compare(one, other)
    >>> len(found.pairs), len(found.only_second)
    (2, 1)
    """
    first, second = (getattr(place, "model_", place) for place in (first, second))
    for place in (first, second):
        if not isinstance(place, str | Path | MixtureModel):
            raise DataError(
                f"compare takes the path of a run or of a model, or a MixtureModel, such as "
                f"`model_` of a fitted estimator; found {type(place).__name__}"
            )
    models = [m if isinstance(m, MixtureModel) else load_model(m) for m in (first, second)]
    try:
        matching = Matching.of(*models)
    except DataError as error:
        error.args = tuple(in_python(a) if isinstance(a, str) else a for a in error.args)
        raise
    labels, why = _labels(first, second, models)
    return Comparison(
        _named(first, models[0]),
        _named(second, models[1]),
        *(matching.pairs, matching.only_first, matching.only_second, labels, why),
        noise=(_noise_of(models[0]), _noise_of(models[1])),
    )


def _named(place: str | Path | MixtureModel, model: MixtureModel) -> str:
    where = "a model" if isinstance(place, MixtureModel) else str(place)
    noise = _noise_of(model)
    beside = "" if noise is None else f", and noise of weight {noise:.4f}"
    return f"{where}: {model.n_components} components, {model.covariance_type}{beside}"


def _noise_of(model: MixtureModel) -> float | None:
    noise = model.parameters.noise
    return None if noise is None else noise.weight


def _labels(
    first: str | Path | MixtureModel, second: str | Path | MixtureModel, models: list[MixtureModel]
) -> tuple[LabelAgreement | None, str]:
    """How far labels agree; or why they are not compared."""
    if isinstance(first, MixtureModel) or isinstance(second, MixtureModel):
        return None, "a model has none"
    records = [_record(Path(place)) for place in (first, second)]
    if None in records:
        return None, "not both are run directories"
    known = [_rows(record or {}) for record in records]
    if not all(known) or known[0] != known[1]:
        return None, "the runs are not of the same rows"
    if any("labels" not in ((record or {}).get("outputs") or {}) for record in records):
        return None, "not both runs have written labels"
    arrays = [OutputArray(str(Path(place) / OUTPUTS), "labels") for place in (first, second)]
    return _agreement(arrays, models), ""


def _record(run: Path) -> dict[str, Any] | None:
    try:
        return read(read_json(run / "run.json"))
    except (DataError, InputNotFoundError):
        return None


def _rows(record: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies the rows that a run has labelled; empty where that is not known."""
    found = (record.get("data") or {}).get("fingerprint") or {}
    return {key: value for key, value in found.items() if key not in _OF_MODELS}


def _agreement(arrays: list[OutputArray], models: list[MixtureModel]) -> LabelAgreement:
    n, sizes = arrays[0].shape[0], (models[0].n_labels, models[1].n_labels)
    if arrays[1].shape[0] != n:
        raise DataError(f"the runs have {n:,} and {arrays[1].shape[0]:,} labels of the same rows")
    counts = np.zeros(sizes, np.int64)
    for start in range(0, n, _ROWS):
        one, other = (array.read(start, min(start + _ROWS, n)) for array in arrays)
        counts += contingency(one, other, sizes)
    found = LabelMatrix.of(counts, (noise_label(models[0]), noise_label(models[1])))
    return LabelAgreement(
        found.n_rows, found.adjusted_rand_index, tuple(map(tuple, counts.tolist())), found.moved
    )


def _pairs_table(pairs: Sequence[MatchedPair]) -> list[str]:
    header = ["A", "B", "weight A", "weight B", "change", "means apart", "Bhattacharyya"]
    rows = [
        [
            *(str(pair.first), str(pair.second)),
            *(f"{weight:.4f}" for weight in pair.weights),
            f"{pair.weights[1] - pair.weights[0]:+.4f}",
            f"{pair.means_apart:.3f} sd",
            f"{pair.bhattacharyya:.4g}",
            f"{pair.hellinger:.3f}",
        ]
        for pair in pairs[:_SHOWN]
    ]
    lines = _aligned([[*header, "Hellinger"], *rows])
    more = len(pairs) - _SHOWN
    return lines + ([f"and {more:,} more pairs, the lightest (--json has all)"] if more > 0 else [])


def _aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
