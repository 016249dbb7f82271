"""A backend of torch.compile that counts."""

from __future__ import annotations

from typing import Any


class Graphs:
    """Counts the graphs that it is given to compile, and runs them as they are: no C++ compiler is needed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        self.count += 1
        return graph.forward
