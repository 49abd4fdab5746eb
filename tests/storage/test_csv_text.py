"""CSV of any values reads back as it was written."""

from __future__ import annotations

import csv
import io

from dgmm.storage.csv_text import csv_text


def test_line_ends_quotes_and_commas_within_values_read_back():
    rows = [["id", "x"], ["a\rb", "1"], ["a\nb", "2"], ["a\r\nb", "3"], ['"q",r', ""], ["", "4"]]
    text = csv_text(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert text.startswith("id,x\n")
