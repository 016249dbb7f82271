"""The layout of the package: rooms, imports that go one way, and names that a stranger from the field knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import directrix

ROOT = Path(directrix.__file__).parent
ROOMS = (
    *("models", "directions", "interventions", "discovery", "policies"),
    *("generation", "measurement", "experiments", "studio", "cli", "reading"),
)
# "Held out" is the field's.
OURS = re.compile(
    r"(^|_)(told|held(?!_out)|kept|gauges?|aims?|trials?|trying|levelling|belonging|things?)($|_)", re.IGNORECASE
)
ENTRY = re.compile(r"directrix(\.\w+)+:\w+")


def dotted(path: Path) -> str:
    parts = ("directrix", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


@cache
def trees() -> dict[Path, ast.Module]:
    """Every file of ours; read when a test asks, not by each process that collects tests."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


@cache
def modules() -> dict[str, Path]:
    return {dotted(path): path for path in trees()}


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules of ours that a file imports: at its top, lazily, for type checkers, or through a registry's entry."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [each if each in modules() else str(node.module) for each in full]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ENTRY.fullmatch(node.value):
            found = [node.value.partition(":")[0]]
        yield from (each for each in found if each in modules() and each != "directrix")


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for each in edges[todo.pop()] - seen:
                seen.add(each)
                todo.append(each)
        return seen

    reach = {each: reached(each) for each in edges}
    inside = {each for each in edges if each in reach[each]}
    groups = {tuple(sorted(each for each in reach[start] & inside if start in reach[each])) for start in inside}
    return sorted(map(list, groups))


def test_the_listing_is_the_architecture():
    assert tuple(sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))) == tuple(sorted(ROOMS))
    assert len(list(ROOT.glob("*.py"))) <= 9


def test_no_circle_of_imports():
    edges = {name: set(imported(trees()[path])) - {name} for name, path in modules().items() if name != "directrix"}
    assert circles(edges) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "d"}}) == [["b", "c"], ["d"]]


def test_only_registries_import_by_string():
    breaking = [
        dotted(path)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if path != ROOT / "registry.py"
        and (
            (isinstance(node, ast.alias) and node.name in ("import_module", "importlib"))
            or (isinstance(node, ast.Name) and node.id in ("import_module", "__import__"))
        )
    ]
    assert breaking == []


def test_the_field_s_words_name_what_the_field_knows():
    named = [
        f"{dotted(path)}: {name}"
        for path, tree in trees().items()
        for name in (path.stem, *names(tree))
        if OURS.search(name)
    ]
    assert named == []


def names(tree: ast.Module) -> Iterator[str]:
    """Every module, class, function, parameter and variable that a file names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_nothing_below_the_command_line_prints():
    printing = [
        dotted(path)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if ROOT / "cli" not in path.parents
    ]
    assert printing == []
