"""YAML files that a user writes: policies and phrases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError


def read(path: str | Path, name: str, error: type[DirectrixError], missing: str, remedy: str = "") -> Any:
    """What a YAML file holds; `name` is what errors call it, `missing` the remedy where it cannot be read.

    Raises:
        DirectrixError: of the type `error`; no such file, no YAML, or a key that stands twice.
    """
    import yaml

    # The loader in C, where PyYAML has it, takes a tenth of the time.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        """Refuses a key that stands twice, where YAML would let the last one win in silence."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for twice in (key for place, key in enumerate(keys) if key in keys[:place]):
                raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' stands twice", node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError) as problem:
        said = getattr(problem, "strerror", None) or problem
        raise error(f"{name} '{path}' cannot be read: {said}.", "a YAML file in UTF-8.", missing) from problem
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        said = " ".join(str(problem).split())
        raise error(f"{name} '{path}' is not YAML: {said}.", "a YAML file.", remedy) from problem
