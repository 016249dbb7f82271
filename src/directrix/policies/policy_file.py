"""Reading a policy file: what may stand where, and errors that name the file, the key and the nearest right one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError, PolicyError, suggestion


@dataclass(frozen=True)
class Place:
    """A value of a policy and where it stands, such as `fair: skin tone: light`."""

    value: Any
    source: str
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.source + "".join(f" > {key}" for key in self.keys)

    def at(self, key: str) -> Place:
        """The value of a key below; None where it is not there."""
        return Place(self.value.get(key), self.source, (*self.keys, str(key)))

    def wrong(self, expected: str, advice: str = "") -> PolicyError:
        """The error that this value is not what was expected."""
        kind = {dict: "a mapping", list: "a list", str: "text", bool: "yes or no", type(None): "empty"}
        found = kind.get(type(self.value), f"{self.value!r}")
        shown = f"{found} ({self.value!r})" if isinstance(self.value, str | bool) else found
        return PolicyError(f"{self} is {shown}.", expected, advice)

    def mapping(self, known: Iterable[str] | None = None) -> Mapping[str, Any]:
        """The value as a mapping from text, with no other keys than the known ones."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("a mapping of keys and values.", "" if known is None else f"keys {', '.join(known)}.")
        for key in self.value:
            if known is not None and key not in known:
                raise PolicyError(f"{self} has no key '{key}'.", "a key of this part.", suggestion(str(key), known))
        return self.value

    def number(self) -> float:
        """The value as a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number.", "1.0.")
        return float(self.value)

    def names(self) -> list[str]:
        """The value as a list of texts; one text is a list of one."""
        listed = [self.value] if isinstance(self.value, str) else self.value
        if not isinstance(listed, list) or not all(isinstance(each, str) and each.strip() for each in listed):
            # YAML reads `no`, `off` and the like as a truth value.
            raise self.wrong("a name or a list of names.", "quotes around a word such as 'no'.")
        return listed

    def flag(self) -> bool:
        """The value as yes or no."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false.")
        return self.value

    @contextmanager
    def named(self) -> Iterator[None]:
        """Puts this place before the message of any error that is raised inside."""
        try:
            yield
        except DirectrixError as error:
            if isinstance(error, PolicyError) and error.happened.startswith(self.source):
                raise
            raise PolicyError(f"{self}: {error.happened}", error.expected, error.remedy) from error


def read(path: Path) -> Any:
    """What a YAML file holds.

    Raises:
        PolicyError: no such file, no YAML, or a key that stands twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice, where YAML would let the last one win in silence."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' stands twice", key.start_mark
                    )
                seen.add(getattr(key, "value", None) if isinstance(key, yaml.ScalarNode) else None)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise PolicyError(
            f"The policy '{path}' cannot be read: {error.strerror or error}.",
            "a YAML file.",
            "`directrix policy --starter` writes one to begin with.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise PolicyError(f"The policy '{path}' is not YAML: {text}.", "a YAML file.") from error
