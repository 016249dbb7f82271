"""Checks of what a user gives: a number, a choice, a window of steps, a file's content.

Each returns the value or raises one sentence.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from directrix.errors import DirectrixError, StrengthError, suggestion
from directrix.reading import json_text
from directrix.reading.source import Source

M = TypeVar("M")
# What a field should be, by pydantic's name of the error; others keep pydantic's words.
_MAPPINGS = dict.fromkeys(("dataclass_type", "dict_type", "mapping_type", "model_type"), "a mapping of keys and values")
_LISTS = dict.fromkeys(("list_type", "tuple_type"), "a list")
_SCALARS = {"bool_type": "true or false", "float_type": "a number", "int_type": "a whole number", "string_type": "text"}
_KINDS = _MAPPINGS | _LISTS | _SCALARS


def whole_number(
    name: str, value: Any, least: int = 1, *, error: type[DirectrixError] = DirectrixError, remedy: str = ""
) -> int:
    """The value, an int of at least `least`; `name` is what the user calls it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise error(f"{name} is {value!r}.", f"a whole number of at least {least}.", remedy)
    return value


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    error: type[DirectrixError] = DirectrixError,
    remedy: str = "",
) -> float:
    """The value as a finite float in [least, most] and greater than `above`."""
    valid = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if not valid or not least <= value <= most or value <= above:
        if math.isfinite(least) and math.isfinite(most):
            expected = f"a number from {least:g} to {most:g}."
        elif math.isfinite(above):
            expected = f"a number above {above:g}."
        else:
            expected = f"a number of at least {least:g}." if math.isfinite(least) else "a finite number."
        raise error(f"{name} is {value!r}.", expected, remedy)
    return float(value)


def fraction(name: str, value: Any, *, error: type[DirectrixError] = DirectrixError) -> float:
    """The value as a float in [0, 1]."""
    return number(name, value, 0, 1, error=error)


def one_of(kind: str, name: Any, known: Iterable[str], *, error: type[DirectrixError] = DirectrixError) -> str:
    """The name, one of the known ones; the error names the nearest. `kind` is the noun: "attribute", "judge"."""
    names = list(known)
    if name not in names:
        raise error(f"There is no {kind} '{name}'.", "the name of one.", suggestion(str(name), names))
    return str(name)


def window(start: Any, stop: Any) -> tuple[float, float]:
    """The window of steps [start, stop) as fractions of a run, 0 <= start <= stop <= 1; raises StrengthError."""
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (start, stop))
    if not numbers or not 0 <= start <= stop <= 1:
        raise StrengthError(
            f"The window of steps is {start!r} to {stop!r}.", "0 <= start <= stop <= 1.", "start=0.0, stop=1.0."
        )
    return float(start), float(stop)


def validated(model_class: type[M], content: Any, place: str, error: type[DirectrixError] = DirectrixError) -> M:
    """The content of a file as an instance of a pydantic model or a data class.

    Args:
        model_class: what the content should be. It says what is strict and whether unknown keys are forbidden, in
            `class Policy(BaseModel, strict=True, extra="forbid")` or in a data class's `__pydantic_config__`.
        content: values as YAML or JSON gives them, or JSON text (str or bytes).
        place: what the content is called in the error, such as the file's path.
        error: raised where the content is wrong: "policy.yaml > fair > gender is a list. Expected: ..."

    Raises:
        DirectrixError: of the type `error`; it names the key, what is there, what should be, and the nearest known key.
    """
    from pydantic import TypeAdapter, ValidationError

    text = isinstance(content, str | bytes)
    adapter = TypeAdapter(model_class)
    if isinstance(content, str):
        json_text.parsed(content, Source(place, error, "a JSON object.", "", place))
    try:
        return adapter.validate_json(content) if text else adapter.validate_python(content)
    except DirectrixError as problem:
        raise error(f"{place}: {problem.happened}", problem.expected, problem.remedy) from problem
    except ValidationError as problem:
        found: Any = problem.errors(include_url=False)
        if found[0]["type"] == "json_invalid":
            raise error(f"{place} is not JSON: {found[0]['ctx']['error']}.", "a JSON object.") from problem
        whole = json.loads(content) if text else content
        raise _explained(found, whole, place, error, model_class) from problem


def _explained(
    found: Sequence[Any], content: Any, place: str, error: type[DirectrixError], model_class: Any
) -> DirectrixError:
    """The error that says what pydantic found first: an unknown key, else what lies deepest."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    placed = [(each, *_keys_to(each, content)) for each in found]
    first, keys, value = max(placed, key=lambda each: (each[0]["type"] in unknown, len(each[1])))
    kind, key, inner = first["type"], first["loc"][-1] if first["loc"] else "", keys
    if kind in unknown or kind == "missing":
        inner = keys[:-1]
    where = place + "".join(f"[{each}]" if isinstance(each, int) else f" > {each}" for each in inner)
    if kind in unknown:
        known = _known_keys(model_class, inner)
        return error(f"{where} has no key '{key}'.", "a key of this part.", suggestion(str(key), known))
    if kind == "missing":
        return error(f"{where} lacks the key '{key}'.", f"the keys {', '.join(_known_keys(model_class, inner))}.")
    if kind == "value_error":
        return error(f"{where}: {str(first['ctx']['error']).rstrip('.')}.")
    # A union gives one error for each of its kinds.
    same = [each for each, others, _ in placed if others == keys and each["type"] != "value_error"]
    wanted = {_KINDS.get(each["type"]) or str(each["msg"]).removeprefix("Input should be ") for each in same}
    unquoted = "text" in wanted and not isinstance(value, Mapping | list)
    remedy = "quotes around words such as yes, no, on and off, and around numbers."
    shown = f"the key {value!r}" if key == "[key]" else _shown(value)
    return error(
        f"{where} {'has' if key == '[key]' else 'is'} {shown}.", f"{' or '.join(sorted(wanted))}.", remedy * unquoted
    )


def _keys_to(problem: Mapping[str, Any], content: Any) -> tuple[list[Any], Any]:
    """Keys and indices that lead to what is wrong, and what stands there."""
    keys, value = [], content
    for key in problem["loc"]:
        # A location holds the names of a union's kinds as well, which stand nowhere in the content.
        if isinstance(value, Mapping) and key in value:
            value = value[key]
            keys.append(str(key))
        elif isinstance(value, list | tuple) and isinstance(key, int) and key < len(value):
            value = value[key]
            keys.append(key)
    if problem["type"] == "missing":
        keys.append(problem["loc"][-1])
    return (keys[:-1], problem["input"]) if problem["loc"][-1:] == ("[key]",) else (keys, value)


def _known_keys(kind: Any, keys: Sequence[Any]) -> list[str]:
    """The keys that a model has at a place."""
    if hasattr(kind, "model_fields"):
        known = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    elif isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {field.name: hints[field.name] for field in fields(kind)}
    else:
        # A list or mapping uses up a key; a union does not.
        origin = get_origin(kind)
        rest = keys[1:] if isinstance(origin, type) and issubclass(origin, Iterable) else keys
        return [key for part in get_args(kind) for key in _known_keys(part, rest)]
    if not keys:
        return list(known)
    return _known_keys(known[keys[0]], keys[1:]) if keys[0] in known else []


def _shown(value: Any) -> str:
    """What was found, in words of YAML."""
    kinds = {str: "text", bool: "yes or no", dict: "a mapping", list: "a list", type(None): "empty"}
    kind = kinds.get(type(value), repr(value))
    return f"{kind} ({value!r})" if isinstance(value, str | bool) else kind
