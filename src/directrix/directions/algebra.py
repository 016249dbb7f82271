"""The algebra of directions: those of one model add, subtract, scale and divide, part by part.

What is computed is named after how, has its parents' recipes and digests, and is not calibrated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from directrix.checks import number
from directrix.directions.header import Strengths
from directrix.directions.part import Part, merged
from directrix.errors import StrengthError

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.directions.header import Header


class Algebra:
    """What `Direction` can be computed with; it has all of these."""

    if TYPE_CHECKING:
        name: str
        parts: tuple[Part, ...]
        recipe: Mapping[str, Any]
        strengths: Strengths

        @property
        def header(self) -> Header: ...
        def with_(self, **changes: Any) -> Self: ...

    def __add__(self, other: object) -> Self:
        if not isinstance(other, type(self)):
            return NotImplemented
        self.header.check_model(other.header, "add")
        return self._derived(f"{self.name} + {other.name}", merged(self.parts, other.parts), other)

    def __sub__(self, other: object) -> Self:
        if not isinstance(other, type(self)):
            return NotImplemented
        self.header.check_model(other.header, "subtract")
        parts = merged(self.parts, other._each(lambda tensor: -tensor))
        return self._derived(f"{self.name} - {other._term()}", parts, other)

    def __neg__(self) -> Self:
        old = self.strengths
        mirrored = Strengths(old.default, -old.maximum, -old.minimum)
        return self._derived(f"-{self._term()}", self._each(lambda tensor: -tensor), strengths=mirrored)

    def __mul__(self, factor: object) -> Self:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        times = number("The factor", factor, error=StrengthError)
        return self._derived(f"{factor:g} * {self._term()}", self._each(lambda tensor: tensor * times))

    __rmul__ = __mul__

    def __truediv__(self, factor: object) -> Self:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        divisor = number("The divisor", factor, error=StrengthError)
        if divisor == 0:
            raise StrengthError("A direction cannot be divided by 0.", "a finite number other than 0.")
        return self._derived(f"{self._term()} / {factor:g}", self._each(lambda tensor: tensor / divisor))

    def _each(self, change: Callable[[Tensor], Tensor]) -> tuple[Part, ...]:
        return tuple(each.with_tensor(change(each.tensor)) for each in self.parts)

    def _term(self) -> str:
        return f"({self.name})" if " " in self.name else self.name

    def _derived(
        self, expression: str, parts: Sequence[Part], *others: Self, strengths: Strengths | None = None
    ) -> Self:
        """What was computed from this direction and others, named after how, with the parents' recipes and digests.

        A calibration does not survive arithmetic, so sums and multiples start with the standard strengths.
        """
        parents = (self, *others)
        recipe = {"method": "algebra", "expression": expression, "parents": [dict(each.recipe) for each in parents]}
        provenance = {"parents": [{"name": each.name, "digest": each.header.digest} for each in parents]}
        made = {"recipe": recipe, "strengths": strengths or Strengths(), "provenance": provenance}
        return self.with_(name=expression, parts=tuple(parts), **made)
