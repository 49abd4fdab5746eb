"""Keys of a job's data section that mean nothing for the kind of input that was found."""

from __future__ import annotations

from dgmm.data.data_source import DataSource
from dgmm.errors import DataError

#: Fields of a `DataSource` by the key that they come from.
_KEYS = {
    "array": "array",
    "columns": "columns",
    "ids": "id",
    "described": "describe",
    "csv": "csv",
    "variables": "variables",
    "sample_dims": "sample_dims",
    "feature_dims": "feature_dims",
    "select": "select",
    "concat_dim": "concat_dim",
    "weight_column": "weights",
}


def refuse_unused(source: DataSource, kind: str, takes: tuple[str, ...]) -> None:
    """Refuse keys that would do nothing, and several paths where one file is read.

    Parameters
    ----------
    source
        As the job gives it.
    kind : str
        What was found, in words: `a .npy file`.
    takes : tuple of str
        Fields of `DataSource` that mean something.

    Raises
    ------
    DataError
        Naming each key.
    """
    found = [key for field, key in _KEYS.items() if field not in takes and getattr(source, field)]
    if found:
        keys = ", ".join(f"`{key}`" for key in found)
        means = ", ".join(f"`{_KEYS[field]}`" for field in takes)
        raise DataError(
            f"{source.path} is {kind}, for which {keys} of the data section means nothing; remove "
            f"it. What can be given: {means or 'the path alone'}"
        )
    if len(source.paths) > 1:
        raise DataError(
            f"{source.path} is {kind}, and {len(source.paths):,} paths are given; expected one"
        )
