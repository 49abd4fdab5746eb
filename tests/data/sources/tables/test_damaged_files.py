"""Whatever becomes of a file's bytes, it gives rows or an error in words, never anything else."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_source import carried_of, opened, rows_of

from dgmm.errors import DataError

N = 500


def content_of(kind: str, folder: Path) -> bytes:
    x = np.random.default_rng(0).normal(size=(N, 2))
    lines = "".join(f'{a:.4f},{i},"i{i}"\n' for i, a in enumerate(x[:, 0]))
    text = f"x,n,id\n{lines}".encode()
    if kind != "parquet":
        return gzip.compress(text) if kind == "gzip" else text
    whole = pa.array([None if i % 7 == 0 else i for i in range(N)])
    vectors = pa.array(x.tolist(), pa.list_(pa.float32(), 2))
    names = [f"i{i}" for i in range(N)]
    table = pa.table({"x": x[:, 0], "n": whole, "id": names, "e": vectors})
    pq.write_table(table, folder / "whole")
    return (folder / "whole").read_bytes()


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Some bytes are others, more often towards the end, and some files are cut."""
    found = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5, 50])):
        tail = min(len(found), 2000)
        near = chance.random() < 0.5
        at = len(found) - 1 - chance.randrange(tail) if near else chance.randrange(len(found))
        found[at] = chance.randrange(256)
    return bytes(found[: chance.randrange(len(found))] if chance.random() < 0.2 else found)


@pytest.mark.parametrize("kind", ["parquet", "csv", "gzip"])
def test_damaged_bytes_give_rows_or_an_error_in_words(tmp_path, kind):
    content, chance = content_of(kind, tmp_path), random.Random(kind)  # noqa: S311 - no secret
    refused = []
    for _ in range(60):
        (tmp_path / "t").write_bytes(damaged(content, chance))
        try:
            source = opened(tmp_path / "t", "parquet" if kind == "parquet" else "csv", ids=("id",))
            assert len(rows_of(source)) == len(carried_of(source)["id"])
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all("/t" in said or "column" in said for said in refused)
