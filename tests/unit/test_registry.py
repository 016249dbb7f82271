"""Things by name: the library's own and those of other packages."""

from __future__ import annotations

import importlib.metadata

import pytest

from directrix.errors import BenchmarkError
from directrix.registry import Registry

OWN = {"text": "textwrap:dedent"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    points = [
        importlib.metadata.EntryPoint("mine", "textwrap:indent", "directrix.examples"),
        importlib.metadata.EntryPoint("text", "textwrap:indent", "directrix.examples"),
        importlib.metadata.EntryPoint("broken", "no_such_module:nothing", "directrix.examples"),
    ]
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: points if group == "directrix.examples" else []
    )
    return Registry("example", "directrix.examples", OWN, BenchmarkError)


def test_own_entries_come_first_and_cannot_be_taken_over(installed: Registry):
    import textwrap

    assert installed.names() == ["text", "broken", "mine"]
    assert installed.get("text") is textwrap.dedent and installed.get("mine") is textwrap.indent
    assert "mine" in installed and "yours" not in installed


def test_unknown_names_name_the_nearest(installed: Registry):
    with pytest.raises(BenchmarkError, match=r"no example 'tex'.*did you mean 'text'"):
        installed.get("tex")


def test_an_entry_that_cannot_be_imported_is_named(installed: Registry):
    with pytest.raises(BenchmarkError, match=r"'broken' \(no_such_module:nothing\) cannot be imported"):
        installed.get("broken")


def test_without_a_group_nothing_is_looked_up():
    registry = Registry("example", "", OWN)
    assert registry.names() == ["text"] and "mine" not in registry
