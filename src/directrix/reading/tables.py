"""Tables: CSV files with a line of column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from directrix.reading.source import Source

ROWS = 1_000_000


def read(source: Source) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The column names, and each row by them with the number of the line in the file that it ends on.

    Raises an error of the source's type: no such file, no table, a row with fewer or more fields than columns.
    """
    text = source.text()
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""))
        header = next(reader, [])
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise _ragged(source, reader.line_num, row, header)
            rows.append((reader.line_num, dict(zip(header, row, strict=True))))
            if len(rows) > ROWS:
                raise source.wrong(f"has more than {ROWS:,} rows")
    except csv.Error as problem:
        raise source.wrong(f"is no table: {problem}") from problem
    return header, rows


def _ragged(source: Source, line: int, row: Sequence[str], header: Sequence[str]) -> Exception:
    return source.error(
        f"Line {line} of {source} has not as many fields as there are columns: {len(row)}, not {len(header)}.",
        "one field a column.",
        "put fields that hold commas into quotation marks.",
    )
