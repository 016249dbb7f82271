"""A failure of the suite can be read, whatever its text holds."""

from __future__ import annotations

import json

import pytest


def test_half_a_character_does_not_hide_a_failure(request: pytest.FixtureRequest):
    report = pytest.TestReport("a", ("a", 1, "a"), {}, "failed", "case '\ud800'", "call", [("Captured", "\udfff")])
    sent = request.config.hook.pytest_report_to_serializable(config=request.config, report=report)
    text = json.dumps(sent, ensure_ascii=False).encode().decode()
    assert "case '\\\\ud800'" in text and "\\\\udfff" in text


def test_a_skipped_test_keeps_its_place_and_reason(request: pytest.FixtureRequest):
    """`pytest -rs` unpacks them."""
    report = pytest.TestReport("a", ("a.py", 1, "a"), {}, "skipped", ("a.py", 1, "Skipped: no \ud800"), "call")
    sent = request.config.hook.pytest_report_to_serializable(config=request.config, report=report)
    assert sent["longrepr"] == ("a.py", 1, "Skipped: no \\ud800")
