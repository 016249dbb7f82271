"""Things by name, the library's own and those of other packages.

A registry holds where each of the library's own entries lives, and imports it when it is asked for. Other packages add
entries of a group through their metadata:

    [project.entry-points."directrix.methods"]
    mine = "my_package.my_module:MyMethod"

This is the only place that imports by string.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from directrix.checks import one_of
from directrix.errors import DirectrixError


class Registry:
    """Entries of one kind.

    Args:
        kind: the noun for errors, such as "discovery method".
        group: the entry point group of other packages, such as "directrix.methods"; "" for none.
        own: name -> "module:attribute" of the library's own entries.
        error: raised for unknown names.
    """

    def __init__(
        self, kind: str, group: str, own: Mapping[str, str], error: type[DirectrixError] = DirectrixError
    ) -> None:
        self.kind, self.group, self.error = kind, group, error
        self._own = dict(own)

    def __contains__(self, name: object) -> bool:
        """Whether it is one of the library's own entries, or an installed one."""
        return name in self._own or name in self._installed()

    def names(self) -> list[str]:
        """All names: the library's own in their order, then those that are installed."""
        return [*self._own, *sorted(name for name in self._installed() if name not in self._own)]

    def get(self, name: str) -> Any:
        """The entry of that name.

        Raises:
            DirectrixError: no such entry (the message names the nearest), or one that cannot be imported.
        """
        if name in self._own:
            module, attribute = self._own[name].split(":")
            return getattr(import_module(module), attribute)
        one_of(self.kind, name, self.names(), error=self.error)
        point = self._installed()[name]
        try:
            return point.load()
        except (ImportError, AttributeError) as problem:
            raise self.error(
                f"The {self.kind} '{name}' ({point.value}) cannot be imported: {problem}.",
                "a package that is installed whole.",
                "install it again, or ask its author.",
            ) from problem

    def _installed(self) -> dict[str, Any]:
        if not self.group:
            return {}
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self.group)}
