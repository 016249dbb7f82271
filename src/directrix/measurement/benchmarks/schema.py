"""Reading benchmark.yaml: every key checked, so that a slip says what was meant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from directrix.errors import BenchmarkError, suggestion
from directrix.measurement.benchmarks import prompts
from directrix.measurement.benchmarks.benchmark import MEASURES, Benchmark, Harm

KEYS = (
    *("name", "version", "licence", "description", "source", "data", "columns", "expected", "switches", "measures"),
    *("judge", "fair", "joint", "harm", "even_within", "obeyed_at", "images", "clip"),
)
REQUIRED = ("name", "version", "licence", "description", "measures")
# The table is the user's; see `load`.
GIVEN = "given"


def read(path: Path, data: str | Path | None = None, *, listing: bool = False) -> Benchmark:
    """Reads a benchmark from its description, and its prompts from the table that it names, or from ``data``.

    listing: one that ships no prompts then has none, in place of an error.

    Raises:
        BenchmarkError: as for `directrix.measurement.benchmarks.load`.
    """
    values = _values(path)
    source = values.get("data", "prompts.csv")
    absent = source == GIVEN and data is None
    if absent and not listing:
        raise BenchmarkError(
            f"The benchmark '{values['name']}' ships no prompts.",
            "a CSV file, or a data set on the Hugging Face hub.",
            f"--data FILE.csv, or --data OWNER/NAME. {values.get('source', '')}".strip(),
        )
    if source != GIVEN and data is not None:
        raise BenchmarkError(
            f"The benchmark '{values['name']}' has its own prompts; '{data}' is not used by it.",
            "a table only for a benchmark that ships none.",
            "leave it out, or write a benchmark.yaml of your own.",
        )
    where = prompts.located(data) if data is not None else path.parent / source
    columns = _mapping(path, values, "columns")
    _known(path, "columns", columns, prompts.ROLES)
    expected = values.get("expected") or {}
    if not isinstance(expected, Mapping):
        expected = {name: name for name in _listed(path, values, "expected")}
    targets = {
        attribute: _shares(path, attribute, labels) for attribute, labels in _mapping(path, values, "fair").items()
    }
    return Benchmark(
        name=str(values["name"]),
        version=str(values["version"]),
        licence=str(values["licence"]),
        description=" ".join(str(values["description"]).split()),
        rows=() if absent else prompts.rows(where, columns, expected, _switches(path, values)),
        measures=_measures(path, values),
        source=" ".join(str(values.get("source", "")).split()),
        judge=str(values.get("judge", "emoji")),
        targets=targets,
        joint=_joint(path, values, targets),
        harms={name: _harm(path, name, given) for name, given in _mapping(path, values, "harm").items()},
        even_within=_share(path, values, "even_within", 0.25),
        obeyed_at=_share(path, values, "obeyed_at", 0.8),
        images=_images(path, values),
        clip=_mapping(path, values, "clip"),
    )


def _values(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BenchmarkError(f"'{path}' cannot be read: {error}.", "a YAML file.") from error
    if not isinstance(values, Mapping):
        raise BenchmarkError(f"'{path}' is no mapping.", f"the keys {', '.join(REQUIRED)}, and others.")
    _known(path, "the description", values, KEYS)
    missing = [key for key in REQUIRED if not values.get(key)]
    if missing:
        raise BenchmarkError(f"'{path}' lacks {', '.join(missing)}.", f"the keys {', '.join(REQUIRED)}.")
    return values


def _known(path: Path, where: str, given: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for key in given:
        if key not in known:
            raise BenchmarkError(
                f"'{path}': there is no '{key}' in {where}.", "a known key.", suggestion(str(key), known)
            )


def _mapping(path: Path, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key) or {}
    if not isinstance(value, Mapping):
        raise BenchmarkError(f"'{path}': {key} is {value!r}.", "a mapping.")
    return value


def _listed(path: Path, values: Mapping[str, Any], key: str) -> list[Any]:
    value = values.get(key) or []
    if not isinstance(value, list):
        raise BenchmarkError(f"'{path}': {key} is {value!r}.", "a list.")
    return value


def _switches(path: Path, values: Mapping[str, Any]) -> prompts.Switches | None:
    """The column that holds switches such as "balance:gender;absent:weapon", and what a judge should give for each."""
    given = _mapping(path, values, "switches")
    if not given:
        return None
    _known(path, "switches", given, ("column", "meaning"))
    meaning = _mapping(path, given, "meaning")
    for name, each in meaning.items():
        if each is not None and (not isinstance(each, Mapping) or set(each) != {"attribute", "label"}):
            raise BenchmarkError(
                f"'{path}': the switch '{name}' means {each!r}.",
                "an attribute and a label, or nothing (null) for what no judge can see.",
                '{attribute: item category, label: "!weapon"}.',
            )
    pairs = {
        str(name): None if each is None else (str(each["attribute"]), str(each["label"]))
        for name, each in meaning.items()
    }
    return prompts.Switches(str(given.get("column", "expected")), pairs)


def _share(path: Path, values: Mapping[str, Any], key: str, default: float) -> float:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise BenchmarkError(f"'{path}': {key} is {value!r}.", "a number above 0, at most 1.", f"{default}.")
    return float(value)


def _images(path: Path, values: Mapping[str, Any]) -> int:
    value = values.get("images", 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BenchmarkError(f"'{path}': images is {value!r}.", "a whole number of 1 or more.", "10.")
    return value


def _measures(path: Path, values: Mapping[str, Any]) -> tuple[str, ...]:
    measures = _listed(path, values, "measures")
    _known(path, "measures", measures, MEASURES)
    for measure, key in (("fairness", "fair"), ("harm", "harm")):
        if measure in measures and not values.get(key):
            raise BenchmarkError(f"'{path}' measures {measure} but has no '{key}'.", f"'{key}' as well.")
    return tuple(measures)


def _shares(path: Path, attribute: str, labels: Any) -> dict[str, float]:
    """Equal shares of a list of labels, or the shares that a mapping says."""
    if isinstance(labels, list) and len(set(map(str, labels))) == len(labels) > 1:
        return {str(label): 1 / len(labels) for label in labels}
    try:
        shares = {str(label): float(share) for label, share in dict(labels).items()}
    except (TypeError, ValueError):
        shares = {}
    if len(shares) < 2 or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise BenchmarkError(
            f"'{path}': the labels of '{attribute}' are {labels!r}.",
            "two labels or more, each once, as a list for equal shares, or each with its share; shares sum to 1.",
            "[female, male].",
        )
    return shares


def _joint(path: Path, values: Mapping[str, Any], targets: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    found = []
    for names in _listed(path, values, "joint"):
        if not isinstance(names, list) or len(names) < 2:
            raise BenchmarkError(f"'{path}': joint holds {names!r}.", "lists of two attributes or more.")
        _known(path, "fair", names, targets)
        found.append(tuple(names))
    return tuple(found)


def _harm(path: Path, name: str, given: Any) -> Harm:
    if not isinstance(given, Mapping) or not given.get("attribute") or not isinstance(given.get("labels"), list):
        raise BenchmarkError(
            f"'{path}': the harm '{name}' is {given!r}.",
            "the attribute that a judge gives, and the labels that count.",
            "{attribute: item category, labels: [weapon]}.",
        )
    return Harm(str(given["attribute"]), tuple(map(str, given["labels"])))
