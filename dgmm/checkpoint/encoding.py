"""Values as a tree of JSON and a list of arrays, and back: plain data, never pickle.

A *record* is an instance of one of the classes below, taken apart into its fields and built from
them again; nothing else is ever built from a file. Floats come back bit-identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.class_summaries import CellSummaries
from dgmm.data.summary.extremes import Extremes
from dgmm.data.summary.missing_patterns import MissingPatterns
from dgmm.data.summary.moments import Moments
from dgmm.data.summary.partial_summary import PartialSummary
from dgmm.data.summary.summarise import Summary
from dgmm.data.summary.uniform_sample import Candidates, SamplePart
from dgmm.data.summary.weight_summary import PartialWeights, RowOfWeight, WeightSummary
from dgmm.data.summary.weight_sums import WeightSums
from dgmm.errors import DataError
from dgmm.fitting.comparison.sums import ComparisonSums
from dgmm.fitting.drift.drift_pass import DriftStatistics
from dgmm.fitting.em.acceleration import Cycle
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.em.data_pass import PassStatistics
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.initialisation.all_rows import Accounted, PerRestart
from dgmm.fitting.initialisation.oversampling import Counts, SampledStarts
from dgmm.fitting.restarts import Start, Starts
from dgmm.fitting.sample_trials import Selection, Trial
from dgmm.fitting.selection.fold_preparation import FoldCounts
from dgmm.fitting.selection.held_out_sums import HeldOutSums, OpenGroup
from dgmm.fitting.selection.stability import Stability
from dgmm.fitting.shrinkage import Shrinkage
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.outcome import Outcome
from dgmm.reduction.tree import Subtree
from dgmm.scoring.anomaly import Flagged
from dgmm.scoring.class_statistics import ClassStatistics, Evaluation, GroupSums
from dgmm.scoring.most_anomalous import MostAnomalous
from dgmm.scoring.scoring_statistics import ScoringStatistics

#: The classes that a checkpoint may hold, by name.
RECORDS: dict[str, type] = {
    record.__name__: record
    for record in (
        *(FitCandidate, CandidateId, ComponentEvent, Cycle, Estimate, Parameters, Noise),
        *(Start, Starts, Trial, Selection),
        *(Summary, PartialSummary, Moments, MissingPatterns, Extremes),
        *(Candidates, SamplePart, Standardisation),
        *(WeightSummary, PartialWeights, WeightSums, RowOfWeight),
        *(PassStatistics, Statistics, ScoringStatistics, Flagged, MostAnomalous, Subtree),
        *(Accounted, PerRestart, SampledStarts, Counts),
        *(FoldCounts, HeldOutSums, OpenGroup, Stability, ComparisonSums),
        DriftStatistics,
        *(CellSummaries, ClassStatistics, Evaluation, GroupSums, Shrinkage),
    )
}

#: Names that records had in checkpoints of earlier builds.
FORMER_NAMES = {
    "Candidate": "FitCandidate",
    "Drawn": "SampledStarts",
    "Together": "PerRestart",
    "WalkStatistics": "ScoringStatistics",
}
#: Names that fields of records had in them, by the record's name of today.
FORMER_FIELDS = {
    "PassStatistics": {"arithmetic": "backend"},
    "FitCandidate": {
        "is_held": "is_variance_floored",
        "warm_log_likelihood": "warm_objective",
    },
    "ComponentEvent": {"event": "kind"},
}
#: Values that fields of records had in them, by the record's and the field's name of today.
FORMER_VALUES = {"ComponentEvent": {("kind", "held"): "variance_floored"}}


def _with_id(own: dict[str, Any]) -> dict[str, Any]:
    """Fields of a candidate, whose restart and start were fields of their own."""
    if not {"restart", "start"} <= own.keys():
        return own
    candidate_id = CandidateId(own["restart"], own["start"])
    return {n: v for n, v in own.items() if n not in {"restart", "start"}} | {"id": candidate_id}


#: Makes the fields of records in them those of today, by the record's name.
FORMER_SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"FitCandidate": _with_id}


class Encoded(NamedTuple):
    """A tree that JSON can hold, and the arrays that it refers to by place."""

    tree: Any
    arrays: list[NDArray[Any]]


_LEAVES = (np.ndarray, np.generic, bool, int, float, str, Outcome, Family)


def _fields_of(record: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


def encode(value: Any) -> Encoded:
    """Take a value apart.

    Raises
    ------
    TypeError
        If it holds anything but records, families, outcomes, arrays, numbers, texts and containers
        of these.
    """
    encoder = _Encoder()
    tree = encoder.encoded(value)
    return Encoded(tree, encoder.arrays)


class _Encoder:
    """Equal arrays are found by identity: parameters stand in a candidate several times."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []
        self._places: dict[int, int] = {}

    def encoded(self, value: Any) -> Any:
        if value is None or isinstance(value, _LEAVES):
            return self._leaf(value)
        if isinstance(value, list | tuple | frozenset | Mapping):
            return self._container(value)
        return self._record(value)

    def _leaf(self, value: Any) -> Any:
        match value:
            case np.ndarray():
                return {"array": self._place(value)}
            case np.generic():  # before float, which np.float64 is too
                return {"scalar": self._place(value)}
            case float():
                return value if math.isfinite(value) else {"float": repr(value)}
            case Outcome():
                return {"outcome": value.name}
            case Family():
                return {"family": value.name}
        return value

    def _container(self, value: Any) -> Any:
        match value:
            case list():
                return [self.encoded(item) for item in value]
            case tuple():
                return {"tuple": [self.encoded(item) for item in value]}
            case frozenset():
                return {"set": sorted(value)}
        return {"map": [[self.encoded(k), self.encoded(v)] for k, v in value.items()]}

    def _record(self, value: Any) -> dict[str, Any]:
        record = type(value)
        if RECORDS.get(record.__name__) is not record:
            raise TypeError(f"{record} has no place in a checkpoint")
        own = {name: self.encoded(getattr(value, name)) for name in _fields_of(record)}
        return {"record": record.__name__, "fields": own}

    def _place(self, value: NDArray[Any] | np.generic) -> int:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self.arrays)
            self.arrays.append(np.asarray(value))
        return place


def decode(encoded: Encoded) -> Any:
    """Build the value again.

    Raises
    ------
    DataError
        If the tree names what no checkpoint holds.
    """
    try:
        return _decoded(*encoded)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the tree of values cannot be read: {error!r}") from error


def _decoded(tree: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(tree, list):
        return [_decoded(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "record" in tree:
        written = str(tree["record"])
        record = FORMER_NAMES.get(written, written)
        former = FORMER_FIELDS.get(record, {})
        values = FORMER_VALUES.get(record, {})
        own = {former.get(n, n): _decoded(item, arrays) for n, item in tree["fields"].items()}
        own = FORMER_SHAPES.get(record, dict)(own)
        _check_fields(record, own)
        return RECORDS[record](
            **{n: values.get((n, v), v) if isinstance(v, str) else v for n, v in own.items()}
        )
    ((kind, content),) = tree.items()
    return _BUILDERS[kind](content, arrays)


def _check_fields(record: str, own: Mapping[str, Any]) -> None:
    """Refuse a record that is not one of today's, by what differs."""
    if record not in RECORDS:
        raise DataError(f"it holds a record {record!r}, which is unknown")
    known = {field.name: field for field in fields(RECORDS[record])}
    due = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    unknown, absent = sorted(own.keys() - known.keys()), sorted(due - own.keys())
    if unknown or absent:
        differs = [f"has an unknown field {name!r}" for name in unknown]
        differs += [f"lacks the field {name!r}" for name in absent]
        raise DataError(f"its record {record!r} {' and '.join(differs)}")


_BUILDERS: dict[str, Callable[[Any, list[NDArray[Any]]], Any]] = {
    "array": lambda place, arrays: arrays[place],
    "scalar": lambda place, arrays: arrays[place][()],
    "float": lambda text, _: float(text),
    "outcome": lambda name, _: Outcome[name],
    "family": lambda name, _: FAMILIES[name],
    "tuple": lambda items, arrays: tuple(_decoded(item, arrays) for item in items),
    "set": lambda items, _: frozenset(items),
    "map": lambda pairs, arrays: {
        _decoded(key, arrays): _decoded(item, arrays) for key, item in pairs
    },
}
