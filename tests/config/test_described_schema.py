"""Strings below the keys of a section describe them in its JSON Schema."""

from __future__ import annotations

from dgmm.config.settings import Settings, described_schema


class Sizes(Settings):
    """A section."""

    rows: int = 3
    """How many rows."""


def test_another_class_of_the_same_name_describes_nothing() -> None:
    class Sizes(Settings):  # as an extension may have one
        """A section of somebody else."""

        rows_of_others: int = 1
        """Not of the section above."""

    assert Sizes().rows_of_others == 1
    properties = described_schema(globals()["Sizes"])["properties"]
    assert list(properties) == ["rows"]
    assert properties["rows"]["description"] == "How many rows."
