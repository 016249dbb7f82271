"""Figures and models as results files hold them, so that a page shows numbers where it says so."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]


class Identity(BaseModel, strict=True, extra="allow"):
    """Which model a file is of."""

    name: str
    revision: str | None = None
    fingerprint: str


class Figure(BaseModel, strict=True, extra="allow"):
    """A value with its 95 % interval and the number of observations behind it."""

    value: Number
    low: Number
    high: Number
    n: Count
    name: str = ""
    unscored: Count = 0
    ratio: Number = 0.0
