"""README as a new user reads it: every command and snippet as it is printed, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from directrix import cli

README = Path(__file__).parents[2] / "README.md"
# Their commands fetch something, or need files that only a reader has; test_docs.py reads their verbs and options.
NOT_RUN = ("Install", "On your own model")
RUN = ("Six lines", "The first hour")


def blocks() -> list[tuple[str, str, str]]:
    """Section, language and text of each block, in order."""
    text, found = README.read_text(encoding="utf-8"), []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        fenced = re.findall(r"^```(\w*)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        found += [(section.partition("\n")[0], language, block) for language, block in fenced]
    return found


def test_every_block_is_run_or_known_not_to_be():
    assert [section for section, language, _ in blocks() if section not in (*RUN, *NOT_RUN)] == []
    assert {section for section, *_ in blocks()} == {*RUN, *NOT_RUN}


def test_the_first_screen_is_short():
    lines = README.read_text(encoding="utf-8").split("\n")
    assert len(lines) < 160
    snippet = next(block for _, language, block in blocks() if language == "python")
    assert len([line for line in snippet.split("\n") if line.strip() and not line.startswith("import")]) <= 6


def test_every_verb_that_is_printed_has_help(capsys):
    verbs = {word for *_, block in blocks() for word in re.findall(r"(?:^|&& |`)directrix ([a-z-]+)", block, re.M)}
    assert {"doctor", "discover", "generate", "evaluate", "report", "policy"} <= verbs
    for verb in sorted(verbs):
        assert cli.main([verb, "--help"]) == 0
        assert "--json" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.world
def test_commands_and_snippets_work_as_printed(tmp_path):
    programs, folder = tmp_path / "bin", tmp_path / "empty"
    programs.mkdir()
    folder.mkdir()
    command = programs / "directrix"
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; from directrix.cli import main; sys.exit(main())" "$@"\n'
    )
    command.chmod(0o755)
    source = str(Path(cli.__file__).parents[2])
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": source}
    for section, language, block in blocks():
        if section in RUN:
            words = [sys.executable, "-c", block] if language == "python" else ["sh", "-e", "-c", block]
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600)
            assert done.returncode == 0, f"{section}: {done.stderr[-2000:]}"
    for name in ("firefighter.png", "directions/man.safetensors", "out/fair/contact-sheet.png", "run/index.html"):
        assert (folder / name).is_file(), name
