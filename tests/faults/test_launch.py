"""What `accelerate launch` starts on a CPU writes what one process writes, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import directrix
from faults.test_kills import free_port, left

PROMPTS = ("a judge", "a cook\u2028at night", "a pilot")
COMMANDS = {
    "generate": ("generate", "--prompts", "{mine}", "-n", "3", "--batch-size", "2"),
    "evaluate": ("evaluate", "{mine}", "--attribute", "gender", "--judge", "emoji", "-n", "2", "--batch-size", "2"),
}


@pytest.fixture(scope="module")
def place(make_pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and a file of prompts."""
    folder = tmp_path_factory.mktemp("launch")
    make_pipeline().save_pretrained(folder / "tiny")
    (folder / "mine.txt").write_text("".join(f"{each}\n" for each in PROMPTS), encoding="utf-8")
    return folder


def run(place: Path, launcher: tuple[str, ...], verb: str, output: Path) -> dict[str, bytes]:
    """What the command leaves in its folder, started by a launcher."""
    words = [each.format(mine=place / "mine.txt") for each in COMMANDS[verb]]
    common = ["--model", str(place / "tiny"), "--num-inference-steps", "2", "-o", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(Path(directrix.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    environment |= {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", *launcher, *words, *common]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return left(output)


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_accelerate_s_processes_write_one_process_s_files(place: Path, tmp_path: Path, verb: str):
    alone = run(place, ("directrix",), verb, tmp_path / "1")
    assert sum(name.endswith(".png") for name in alone) >= 6
    for count in (2, 3):
        accelerate = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count))
        launcher = (*accelerate, "--main_process_port", str(free_port()), "-m", "directrix")
        assert run(place, launcher, verb, tmp_path / str(count)) == alone
