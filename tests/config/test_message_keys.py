"""Messages and pages name only keys that a job file has, and only values that these take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from messages import PACKAGE, Text, dotted_keys, faulty_values, schema_keys, texts, texts_of

from dgmm.config import reserved_keys

PROJECT = PACKAGE.parent
RECORD = PROJECT / "tests" / "golden" / "old_finished"
PAGES = sorted(
    [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md"), *PACKAGE.rglob("templates/*.html")]
)
#: Keys that are refused by name: no slips in messages.
RESERVED = {*reserved_keys._KEYS, *reserved_keys._INSTEAD}


def unknown_keys(found: list[Text]) -> list[str]:
    known = schema_keys()
    return [f"{text.place}: {key}" for text in found for key in text.keys if key not in known]


def test_messages_name_only_keys_of_the_schema():
    # As keys of the tables in config/reserved_keys.py they are what a user wrote.
    found = [text for text in texts() if text.said not in RESERVED]
    assert not unknown_keys(found)
    assert sum(len(text.keys) for text in found) > 50, "texts are found"


def test_messages_name_only_values_that_keys_take():
    assert not [fault for text in texts() for fault in faulty_values(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_keys_of_the_schema(page: Path):
    keys = set(dotted_keys(page.read_text(encoding="utf-8"))) - RESERVED
    assert {key for key in keys if not is_module(key)} <= schema_keys() | recorded_keys()


def is_module(key: str) -> bool:
    return any(PACKAGE.rglob(f"{key.replace('.', '/')}.py"))


def recorded_keys() -> set[str]:
    """Keys of run.json within its sections."""
    record = json.loads((RECORD / "run.json").read_text(encoding="utf-8"))
    return {".".join(path) for path, _ in flat(record)}


def flat(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        yield (*path, key), value
        if isinstance(value, dict):
            yield from flat(value, (*path, key))


def test_no_key_of_the_schema_is_reserved():
    assert not RESERVED & schema_keys()


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ('raise DataError("set data.mising to drop")', "data.mising"),
        ('warn(f"{n} rows: lower model.n_component, or " "raise model.tol")', "model.n_component"),
        ('x = f"{a}, then raise " f"cluster.wait_workers_s. Or not"', "cluster.wait_workers_s"),
        ("class A:\n    VALUE = 'choose another output.folder'", "output.folder"),
        ("f(text='(storage.retry: how long)')", "storage.retry"),
        ("say('checkpoint.every_s.now')", "checkpoint.every_s.now"),
    ],
)
def test_a_wrong_key_is_found_wherever_it_is_said(source: str, wrong: str):
    assert unknown_keys(list(texts_of(source, "module.py"))) == [
        f"module.py:{line_of(source)}: {wrong}"
    ]


def line_of(source: str) -> int:
    return len(source.splitlines())


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring may name data.mising."""',
        'x = "model.json" + "model.part"',
        'y = "photos/data.zarr and mixture.model.fit(X)"',
        "data.mising = model.n_component",
        'raise DataError("set data.missing to drop, or raise model.tol.")',
    ],
)
def test_files_code_and_right_keys_are_passed_over(source: str):
    assert not unknown_keys(list(texts_of(source, "module.py")))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("set data.missing to drp", "drp"),
        ("Set data.absent_chunks to true, or", "true"),
        ("use cluster.kind: thread", "thread"),
    ],
)
def test_a_wrong_value_is_found(said: str, wrong: str):
    (fault,) = faulty_values(Text("module.py:1", said))
    assert re.search(rf"module\.py:1: .* {wrong}$", fault)


def test_right_values_are_passed_over():
    said = "set data.missing to drop, use cluster.kind: threads, set output.labels to false"
    assert not list(faulty_values(Text("module.py:1", said)))
