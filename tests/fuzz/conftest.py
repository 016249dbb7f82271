"""Failures are shown whatever stands in their text: xdist sends reports as UTF-8, which has no lone surrogates."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    report = yield
    return _encodable(report)


def _encodable(value: Any) -> Any:
    """The same lists, mappings and texts; half a character is written as Python would: \\ud800."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    # A skipped test's place and reason must stay a tuple.
    return type(value)(map(_encodable, value)) if isinstance(value, list | tuple) else value
