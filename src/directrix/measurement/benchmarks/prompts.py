"""Reading tables of prompts: CSV files, here or on the Hugging Face hub, with their columns checked."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from directrix.checks import one_of
from directrix.errors import BenchmarkError, first_line, suggestion
from directrix.measurement.benchmarks.benchmark import Row
from directrix.models import hub_access
from directrix.reading import tables
from directrix.reading.source import MEBIBYTE, Source

LOG = logging.getLogger(__name__)
Text = Annotated[str, Field(min_length=1)]
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<file>.+\.csv))?")


class Meaning(BaseModel, extra="forbid", coerce_numbers_to_str=True):
    """What a judge should give for a switch."""

    attribute: Text
    label: Text


class Switches(BaseModel, extra="forbid", coerce_numbers_to_str=True):
    """The column that holds switches such as "balance:gender;absent:weapon"; null means what no judge can see."""

    meaning: dict[str, Meaning | None]
    column: str = "expected"


ROLES = ("id", "prompt", "group", "kind", "split")


def located(data: str | Path) -> Path:
    """The file that `data` names: a path, or "owner/name" or "owner/name:file.csv" on the hub, fetched once."""
    path = Path(data).expanduser()
    if path.is_file():
        return path
    match = _HUB.fullmatch(str(data))
    if match is None or (path.suffix == ".csv" and match["file"] is None):
        raise BenchmarkError(
            f"There is no table '{data}'.",
            "a CSV file, or a data set on the Hugging Face hub as OWNER/NAME or OWNER/NAME:FILE.csv.",
            "check the path.",
        )
    return _fetched(match["name"], match["file"])


def _fetched(name: str, file: str | None) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    why = hub_access.unreachable()
    try:
        if file is None:
            if why is not None:
                raise ConnectionError(why)
            files = HfApi().list_repo_files(name, repo_type="dataset")
            tables = [each for each in files if each.endswith(".csv")]
            if len(tables) != 1:
                raise BenchmarkError(
                    f"The data set '{name}' holds {len(tables)} CSV files{': ' * bool(tables)}{', '.join(tables)}.",
                    "one, or the name of the one to read.",
                    f"{name}:{tables[0] if tables else 'FILE.csv'}.",
                )
            file = tables[0]
        return Path(hf_hub_download(name, file, repo_type="dataset", local_files_only=why is not None))
    except BenchmarkError:
        raise
    except Exception as error:
        # The hub's client raises dozens of types here; the cause stays attached.
        raise BenchmarkError(
            f"The data set '{name}' cannot be fetched: {hub_access.refusal(error) or first_line(error)}.",
            "a data set on the Hugging Face hub that can be reached.",
            "download its CSV file and name that.",
        ) from error


def listed(path: Path) -> tuple[Row, ...]:
    """The prompts of a user's file: one a line, or the column "prompt" of a CSV file; ids are the prompts themselves.

    A CSV file of a single column needs no line of column names. Raises BenchmarkError: no such file, or no prompt.
    """
    source = Source(path, BenchmarkError, "a text file of prompts, one a line, or a CSV file with a column 'prompt'.")
    lines = [line.strip(" \t\r") for line in source.text().split("\n") if line.strip()]
    if path.suffix.lower() == ".csv" and lines and (lines[0] == "prompt" or re.search("[,;\t]", lines[0])):
        found = [replace(row, id="") for row in rows(path, {}, {})]
    else:
        found = [Row("", line.strip('"') if path.suffix.lower() == ".csv" else line) for line in lines]
    if not found:
        raise source.wrong("holds no prompts")
    seen: Counter[str] = Counter()
    for place, row in enumerate(found):
        seen[row.prompt] += 1
        again = f" ({seen[row.prompt]})" if seen[row.prompt] > 1 else ""
        found[place] = replace(row, id=row.prompt + again)
    return tuple(found)


def rows(
    path: Path,
    columns: Mapping[Any, Any],
    expected: Mapping[str, str],
    switches: Switches | None = None,
    empty_prompts: bool = False,
) -> tuple[Row, ...]:
    """The rows of a table.

    Args:
        path: a CSV file in UTF-8 with a line of column names.
        columns: the table's column for each role of `ROLES`, or several names of which the first that is there counts.
            Only "prompt" must be there. Without ids, the place counts.
        expected: the table's column of expected labels, by attribute.
        switches: a column that says in words of its own what is expected.
        empty_prompts: a row without a prompt is one to draw as such.

    Raises:
        BenchmarkError: a column is missing, a prompt empty that may not be, an id twice, or the file is no such table.
    """
    wanted = "a CSV file in UTF-8 with a line of column names."
    header, lines = tables.read(Source(path, BenchmarkError, wanted, most=256 * MEBIBYTE))
    chosen = {role: _column(path, header, columns.get(role, role), role == "prompt") for role in ROLES}
    for column in (*expected.values(), *([switches.column] if switches else [])):
        _column(path, header, column)
    found = [_row(path, place, number, line, chosen, expected, switches) for place, (number, line) in enumerate(lines)]
    empty = [number for (number, _), row in zip(lines, found, strict=True) if not row.prompt]
    if empty and not empty_prompts:
        raise BenchmarkError(
            f"Line {empty[0]} of '{path}' has an empty prompt.", "at least one word.", "leave the line out."
        )
    if empty and len(empty) < len(found):
        LOG.info("%s of '%s' has an empty prompt, which is drawn as such.", _lines(empty), path)
    if len(empty) == len(found):
        raise BenchmarkError(f"'{path}' holds no prompts.", "one line or more below the column names.")
    twice = [each for each, count in Counter(row.id for row in found).items() if count > 1]
    if twice:
        raise BenchmarkError(f"The id '{twice[0]}' is twice in '{path}'.", "an id of its own for each line.")
    return tuple(found)


def _lines(numbers: Sequence[int]) -> str:
    return f"Line {', '.join(map(str, numbers[:5]))}{', ...' * (len(numbers) > 5)}"


def _column(path: Path, header: Sequence[str], wanted: str | Sequence[str], required: bool = True) -> str | None:
    """The first of the wanted columns that is there; BenchmarkError where none is, of those that must be."""
    options = [wanted] if isinstance(wanted, str) else list(wanted)
    there = next((each for each in options if each in header), None)
    if there is None and required:
        raise BenchmarkError(
            f"'{path}' has no column {' or '.join(map(repr, options))}.",
            "a CSV file with that column.",
            suggestion(options[0], header),
        )
    return there


def _row(
    path: Path,
    place: int,
    number: int,
    line: Mapping[str, Any],
    chosen: Mapping[str, str | None],
    labels: Mapping[str, str],
    switches: Switches | None,
) -> Row:
    cells = {role: line[column].strip() if column else "" for role, column in chosen.items()}
    expected = {name: line[column].strip() for name, column in labels.items() if line[column].strip()}
    if switches is not None:
        expected |= _meant(f"line {number} of '{path}'", line[switches.column], switches)
    return Row(**{**cells, "id": cells["id"] or f"{place:05d}"}, expected=expected)


def _meant(line: str, text: str, switches: Switches) -> dict[str, str]:
    """What is expected by attribute; several things that must not be there are joined: "!weapon|smoking"."""
    found: dict[str, str] = {}
    for name in filter(None, map(str.strip, text.split(";"))):
        one_of(f"switch in the description for {line}, called", name, switches.meaning, error=BenchmarkError)
        meant = switches.meaning[name]
        if meant is None:
            continue
        before, label = found.get(meant.attribute, ""), meant.label
        if not (before.startswith("!") and label.startswith("!")):
            found[meant.attribute] = label
        elif label[1:] not in before[1:].split("|"):
            found[meant.attribute] = f"{before}|{label[1:]}"
    return found
