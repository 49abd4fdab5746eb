"""How a CSV file is written: what a job says of it, checked; compression told by content."""

from __future__ import annotations

import codecs
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.arrow import arrow
from dgmm.data.sources.tables.retried_file import RetriedFile
from dgmm.data.sources.tables.table_files import TableFile
from dgmm.errors import DataError

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_ARCHIVES = {b"PK\x03\x04": "a zip archive", b"\xfd7zXZ": "compressed by xz"}
_OTHER_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_LONGEST_MAGIC = 6


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How CSV files are written.

    Attributes
    ----------
    delimiter, decimal : str
        One character each.
    null_values : tuple of str
        What stands for a missing number, besides an empty cell, NA, NaN, null, …
    encoding : str
        As Python calls it.
    """

    delimiter: str = ","
    decimal: str = "."
    null_values: tuple[str, ...] = ()
    encoding: str = "utf-8"

    @classmethod
    def of(cls, given: Mapping[str, Any], delimiter: str = ",") -> CsvOptions:
        """From a job's `data.csv`; what is absent or null has its default.

        Parameters
        ----------
        given
            By key.
        delimiter
            Where the job names none.

        Raises
        ------
        DataError
            If a delimiter is no single character, or Python knows no such encoding.
        """
        named = {key: value for key, value in given.items() if value is not None}
        found = {"delimiter": delimiter, **named}
        options = cls(**{**found, "null_values": tuple(found.get("null_values", ()))})
        for key in ("delimiter", "decimal"):
            character = getattr(options, key)
            if len(character) != 1 or ord(character) > 127:
                raise DataError(f"data.csv.{key} is {character!r}; expected one ASCII character")
        try:
            codecs.lookup(options.encoding)
        except LookupError:
            raise DataError(
                f"data.csv.encoding is {safe_text(options.encoding)!r}, which Python does not "
                "know; utf-8, latin-1, cp1252 and utf-16 are some that it does"
            ) from None
        return options

    def as_mapping(self) -> dict[str, Any]:
        """For a fingerprint."""
        return {**asdict(self), "null_values": list(self.null_values)}

    def parsing(self) -> Any:
        """Arrow's options of the parser; a cell in quotes may hold line ends."""
        return arrow("csv").ParseOptions(delimiter=self.delimiter, newlines_in_values=True)

    def reading(self, block_bytes: int) -> Any:
        """Arrow's options of the reader."""
        encoding = "utf8" if self.is_utf8 else self.encoding
        return arrow("csv").ReadOptions(
            use_threads=False, block_size=block_bytes, encoding=encoding
        )

    def converting(self, **options: Any) -> Any:
        """Arrow's options of the conversion, with what a column is declared as."""
        plain = arrow("csv").ConvertOptions()
        nulls = list(dict.fromkeys([*plain.null_values, *self.null_values]))
        return arrow("csv").ConvertOptions(decimal_point=self.decimal, null_values=nulls, **options)

    @property
    def is_utf8(self) -> bool:
        """Whether bytes need no conversion."""
        return codecs.lookup(self.encoding).name == "utf-8"


def opened(file: TableFile, options: CsvOptions) -> Any:
    """The bytes of a file as Arrow streams them, unpacked where they are compressed.

    Raises
    ------
    DataError
        If it is an archive, or in an encoding that its first bytes tell and the job does not.
    """
    with Path(file.path).open("rb") as content:
        begin = content.read(_LONGEST_MAGIC)
    for magic, what in _ARCHIVES.items():
        if begin.startswith(magic):
            raise DataError(
                f"{file.name} is {what}, which is not read: unpack it, or compress it by gzip"
            )
    for magic, encoding in _OTHER_ENCODINGS.items():
        if begin.startswith(magic) and options.is_utf8:
            raise DataError(
                f"{file.name} begins with the mark of {encoding}: set data.csv.encoding to "
                f"{encoding}"
            )
    kind = next((kind for magic, kind in _COMPRESSED.items() if begin.startswith(magic)), None)
    return arrow().input_stream(RetriedFile(file.path), compression=kind)


class CountedQuotes(io.RawIOBase):
    """A stream of bytes that counts the quotes in what is read of it."""

    def __init__(self) -> None:
        self.count = 0
        self._stream: Any = None

    def of(self, stream: Any) -> Self:
        """That stream."""
        self._stream = stream
        return self

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most so many."""
        content: bytes = self._stream.read(size)
        self.count += content.count(b'"')
        return content


def text_lines(file: TableFile, options: CsvOptions) -> io.TextIOWrapper:
    """The same as text, line ends as they are, without a mark of the encoding before the first
    cell, which may be quoted; bytes of another encoding as surrogates.
    """
    encoding = "utf-8-sig" if options.is_utf8 else options.encoding
    return io.TextIOWrapper(
        opened(file, options), encoding=encoding, errors="surrogateescape", newline=""
    )
