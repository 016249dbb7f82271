"""What README and docs name is there: files, Python names, verbs and options."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import directrix
from directrix import cli
from directrix.measurement import benchmarks

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    page
    for page in (
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *sorted((REPOSITORY / "docs").glob("*.md")),
        *sorted(Path(benchmarks.__file__).parent.glob("*/README.md")),
        REPOSITORY / "src/directrix/experiments/emoji_world/README.md",
        REPOSITORY / "integrations/comfyui/README.md",
    )
    if page.is_file()
]
# Old versions of diffusers have none.
GUIDERS = find_spec("diffusers.guiders")
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: "-".join(page.parts[-2:]))


def blocks(page: Path, *languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in fenced if language in languages]


@EACH
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [each.partition("#")[0] for each in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [each for each in targets if each and "://" not in each and not each.startswith("mailto:")]
    assert [each for each in local if not (page.parent / each).exists()] == []


@EACH
def test_python_blocks_parse_and_name_what_there_is(page: Path):
    missing = []
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "directrix":
                missing += [node.attr] * (node.attr not in directrix.__all__)
            elif isinstance(node, ast.ImportFrom) and node.module == "directrix.guiders" and not GUIDERS:
                continue
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "directrix":
                scope: dict[str, Any] = {}
                exec(compile(ast.Module([node], []), str(page), "exec"), scope)
    assert missing == []


@functools.cache
def command() -> Any:
    return cli.parser()


def commands(text: str) -> list[list[str]]:
    """The commands that begin with `directrix`, each as its words; what a shell would not pass on is cut off."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = re.findall(r"(?:^|[$|&] ?|make .*)\s*(directrix [^\n|&>]*)", joined, re.MULTILINE)
    return [shlex.split(re.split(r"\s#|;", line)[0])[1:] for line in lines]


@EACH
def test_commands_name_verbs_and_options_that_there_are(page: Path):
    unknown = []
    for block in blocks(page, "", "sh", "bash", "console"):
        for words in commands(block):
            at, rest = command(), list(words)
            while rest and rest[0] in getattr(at, "commands", {}):
                at = at.commands[rest.pop(0)]
            known = {name for parameter in at.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
                "--help"
            }
            options = [word.partition("=")[0] for word in rest if re.match(r"-{1,2}[a-zA-Z]", word)]
            wrong_verb = hasattr(at, "commands") and bool(rest) and not rest[0].startswith("-")
            if wrong_verb or not set(options) <= known:
                unknown.append(" ".join(words))
    assert unknown == []
