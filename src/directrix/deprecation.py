"""Old names, which stand for one release: names, arguments, and keys of files.

Whoever uses an old name in code is warned, and told the new one. Files that were written with old keys load silently.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from directrix.errors import DirectrixError

C = TypeVar("C", bound=type[Any])
F = TypeVar("F", bound=Callable[..., Any])


def warn(old: str, new: str, stacklevel: int = 3) -> None:
    """Says that `old` goes with the next release and `new` takes its place."""
    warnings.warn(f"{old} is now {new}; the old name goes with version 0.3.", FutureWarning, stacklevel=stacklevel)


def renamed(**names: str) -> Callable[[F], F]:
    """Lets a function take its arguments by their old names too: `@renamed(aim="target_label")`."""

    def decorate(function: F) -> F:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                if names[old] in kwargs:
                    raise DirectrixError(f"Both {old} and {names[old]} were given.", f"{names[old]} alone.")
                warn(f"{old}=", f"{names[old]}=")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return called  # pyright: ignore[reportReturnType]

    return decorate


def old_attributes(**names: str) -> Callable[[C], C]:
    """Lets a class's attributes be read, and given, by their old names too: `@old_attributes(gauge="probe")`."""

    def decorate(kind: C) -> C:
        def found(self: Any, name: str) -> Any:
            # Python asks here only for what is not there by its own name.
            if name not in names:
                raise AttributeError(f"'{kind.__name__}' object has no attribute '{name}'", name=name, obj=self)
            warn(f"{kind.__name__}.{name}", f"{kind.__name__}.{names[name]}")
            return getattr(self, names[name])

        kind.__init__ = renamed(**names)(kind.__init__)
        kind.__getattr__ = found  # pyright: ignore[reportAttributeAccessIssue]
        return kind

    return decorate


def upgraded(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The content of a file with its keys by their new names; a key that is there by both names keeps the new one."""
    return {
        names.get(key, key): value
        for key, value in content.items()
        if names.get(key, key) == key or names[key] not in content
    }
