"""YAML: plain values only, each key once, no tags, and aliases that stand for little."""

from __future__ import annotations

from datetime import date
from typing import Any

from directrix.reading.source import MEBIBYTE, Source
from directrix.reading.values import DIGITS, Unbounded, encodable, real

SIZE = MEBIBYTE  # characters of a file at most
DEPTH = 100  # lists and mappings inside one another
NODES = 200_000  # values with all aliases written out
_STR, _INT, _FLOAT, _DATE = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "timestamp"))


def read(source: Source) -> Any:
    """What a YAML file holds: texts, numbers, yes or no, lists and mappings; None where it is empty.

    Raises an error of the source's type: no such file, no YAML, a key that stands twice, or a value out of bounds.
    """
    return parsed(source.text(), source)


def parsed(text: str, source: Source) -> Any:
    """What YAML text of a source holds."""
    import yaml

    if len(text) > SIZE:
        raise source.wrong(f"has more than {SIZE:,} characters")
    # The loader in C, where PyYAML has it, takes a tenth of the time.
    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml, loader_class(text))
        loader = loader_class(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _checked(yaml, node, {})
        return loader.construct_document(node)
    except Unbounded as problem:
        raise source.wrong(f"holds {problem}") from problem
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as problem:
        raise source.wrong(f"is not YAML: {' '.join(str(problem).split())}") from problem


def _check_events(yaml: Any, loader: Any) -> None:
    """Looks at the file from left to right, before anything nested is built."""
    depth = 0
    while loader.check_event():
        event = loader.get_event()
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise Unbounded(f"more than {DEPTH} lists and mappings inside one another, {_line(event)}")
        if getattr(event, "tag", None) is not None:
            raise Unbounded(f"the tag {event.tag!r}, {_line(event)}; values have no tags here")


def _checked(yaml: Any, node: Any, sizes: dict[int, int]) -> int:
    """How many values a node stands for with its aliases written out; raises where a value is out of bounds."""
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
        return 1
    known = sizes.get(id(node))
    if known is not None:
        if not known:
            raise Unbounded(f"a list or mapping that holds itself, {_line(node)}")
        return known
    sizes[id(node)] = 0
    mapping = isinstance(node, yaml.MappingNode)
    if mapping:
        _check_keys([key for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
    parts = [part for pair in node.value for part in pair] if mapping else node.value
    size = 1 + sum(_checked(yaml, part, sizes) for part in parts)
    if size > NODES:
        raise Unbounded(f"aliases that stand for more than {NODES:,} values, {_line(node)}")
    sizes[id(node)] = size
    return size


def _check_keys(keys: list[Any]) -> None:
    """Refuses a key that stands twice, where YAML would let the last one win in silence."""
    seen: set[str] = set()
    for key in keys:
        if key.value in seen:
            raise Unbounded(f"one mapping in which the key '{key.value}' stands twice, {_line(key)}")
        seen.add(key.value)


def _check_scalar(node: Any) -> None:
    if node.tag == _INT and len(node.value) > DIGITS:
        raise Unbounded(f"a number of {len(node.value):,} characters, {_line(node)}")
    if node.tag == _FLOAT and ":" not in node.value:
        try:
            real(node.value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        except Unbounded as problem:
            raise Unbounded(f"{problem}, {_line(node)}") from problem
    elif node.tag == _DATE:
        # A version such as 2024-11-28 is text here.
        year, month, day = map(int, node.value[:10].rstrip("Tt ").split("-"))
        try:
            date(year, month, day)
        except ValueError as problem:
            raise Unbounded(f"the date {node.value}, which is none, {_line(node)}; quotes make it text") from problem
        node.tag = _STR
    encodable(node.value)


def _line(mark: Any) -> str:
    return f"line {mark.start_mark.line + 1}"
