"""Values of a run come back from trees and arrays bit-identical, and nothing else does."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dgmm.checkpoint.encoding import RECORDS, Encoded, decode, encode
from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.fit import fit
from dgmm.fitting.settings import FitSettings
from dgmm.outcome import Outcome


def there_and_back(value: Any) -> Any:
    encoded = encode(value)
    tree = json.loads(json.dumps(encoded.tree, allow_nan=False))
    return decode(Encoded(tree, encoded.arrays))


def bits(value: Any) -> Any:
    """A value's type, structure and every bit, in what can be compared."""
    match value:
        case np.ndarray() | np.generic():
            return type(value), value.dtype.str, value.shape, value.tobytes()
        case float():
            return value.hex()
        case list() | tuple():
            return type(value), [bits(item) for item in value]
        case dict():
            return [(bits(key), bits(item)) for key, item in value.items()]
    if is_dataclass(value):
        return type(value), [bits(getattr(value, field.name)) for field in fields(value)]
    return type(value), value


def same(a: Any, b: Any) -> bool:
    """Equal in type, structure and every bit."""
    return bool(bits(a) == bits(b))


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(Outcome),
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4)),
    hnp.arrays(np.uint64, (3,)),
    st.floats().map(np.float64),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.integers(), st.text()), inner, max_size=4),
    ),
)


@given(VALUES)
def test_values_come_back_with_the_same_bits(value: Any) -> None:
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(
    "family", ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]
)
def test_candidates_of_a_fit_come_back_with_the_same_bits(family: str) -> None:
    X, _ = gaussian_clusters(2000, 3, 3, spread=1.5)
    settings = FitSettings(4, family, max_iter=7, tol=0.0, n_init=2)
    with ThreadExecutor(1) as executor:
        result = fit(ArrayDataset(X), executor, settings, SilentListener())
    for value in (result.candidates, result.summary):
        assert same(there_and_back(value), value)


def test_an_array_that_stands_in_several_places_is_kept_once() -> None:
    X = np.arange(4.0)
    assert len(encode([X, (X, {"again": X})]).arrays) == 1


def test_floats_without_a_number_are_no_strict_json_and_come_back_all_the_same() -> None:
    back = there_and_back((math.inf, -math.inf, -0.0))
    assert [x.hex() for x in back] == ["inf", "-inf", "-0x0.0p+0"]


@dataclass(frozen=True)
class Stranger:
    number: int


@pytest.mark.parametrize(
    "value", [Stranger(1), {1, 2}, b"bytes", object()], ids=lambda value: type(value).__name__
)
def test_what_a_checkpoint_has_no_place_for_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no place in a checkpoint"):
        encode({"value": value})


@pytest.mark.parametrize(
    "tree",
    [
        {"record": "Stranger", "fields": {"number": 1}},
        {"record": "Candidate", "fields": {"unknown": 1}},
        {"record": "Candidate"},
        {"array": 0},
        {"outcome": "SPLENDID"},
        {"family": "round"},
        {"eval": "1"},
        {"tuple": 3},
        {},
    ],
    ids=str,
)
def test_trees_that_no_checkpoint_holds_are_refused(tree: Any) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        decode(Encoded(tree, []))


def test_records_are_plain_data_by_their_names() -> None:
    assert all(is_dataclass(record) and record.__name__ == name for name, record in RECORDS.items())


def test_component_events_of_earlier_builds_are_read():
    event = ComponentEvent(3, 1, 2, "variance_floored", "component 2 of 4")
    tree = encode(event).tree
    assert decode(Encoded(tree, [])) == event
    fields = {k: v for k, v in tree["fields"].items() if k != "kind"} | {"event": "held"}
    assert decode(Encoded({**tree, "fields": fields}, [])) == event
