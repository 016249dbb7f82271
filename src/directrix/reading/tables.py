"""Tables: CSV files with a line of column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from directrix.reading.source import Source

ROWS = 1_000_000


def read(source: Source) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The column names, and each row by them with the number of the line in the file that it starts on.

    Fields are parted by commas; or by semicolons or tabs, where the line of column names has these and no comma.

    Raises an error of the source's type: no such file, no table, a row with fewer or more fields than columns.
    """
    text = source.text()
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        header = [name.strip() for name in next(reader, [])]
        line = reader.line_num + 1
        for row in reader:
            first, line = line, reader.line_num + 1
            if not row:
                continue
            if len(row) != len(header):
                raise _ragged(source, first, row, header)
            rows.append((first, dict(zip(header, row, strict=True))))
            if len(rows) > ROWS:
                raise source.wrong(f"has more than {ROWS:,} rows")
    except csv.Error as problem:
        raise source.wrong(f"is no table: {problem}") from problem
    return header, rows


def _delimiter(text: str) -> str:
    names = text.partition("\n")[0]
    return next((each for each in ",;\t" if each in names), ",")


def _ragged(source: Source, line: int, row: Sequence[str], header: Sequence[str]) -> Exception:
    return source.error(
        f"Line {line} of {source} has not as many fields as there are columns: {len(row)}, not {len(header)}.",
        "one field a column.",
        "put fields that hold commas into quotation marks.",
    )
