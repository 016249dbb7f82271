"""Killed, interrupted, out of room, not allowed: what is done stays, and what goes on ends as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from directrix.generation import manifest

TASKS = ("generate", "evaluate", "discover", "calibrate")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


class Worker:
    """The process that forks the tasks; see `worker`."""

    def __init__(self, tokenizer: Path) -> None:
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("worker.py")), str(tokenizer)]
        paths = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self.said = ""
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, task: str, folder: Path, **told: Any) -> int:
        """The number of the process that does it."""
        assert self.process.stdin is not None
        folder.mkdir(parents=True, exist_ok=True)
        self.process.stdin.write(json.dumps({"task": task, "folder": str(folder), **told}) + "\n")
        self.process.stdin.flush()
        return int(self.read())

    def ended(self) -> int:
        """The exit code of what was started; minus the signal, where one ended it."""
        code, self.said = json.loads(self.read())
        return code


@pytest.fixture(scope="module")
def worker(tokenizer_folder: Path) -> Iterator[Worker]:
    found = Worker(tokenizer_folder)
    yield found
    assert found.process.stdin is not None
    with found.process:
        found.process.stdin.close()
    assert found.process.returncode == 0


@pytest.fixture(scope="module")
def undisturbed(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, bytes], float]]:
    """By task, what it leaves and how long it takes."""
    found = {}
    for task in TASKS:
        folder = tmp_path_factory.mktemp("undisturbed") / task
        started = time.perf_counter()
        worker.start(task, folder)
        assert worker.ended() == 0, worker.said
        found[task] = (left(folder), time.perf_counter() - started)
    return found


def left(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, but for the time that it took; the lock's own file alone is hidden."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert [name for name, path in files.items() if path.name[0] == "." and path.name != ".lock"] == []
    found = {name: path.read_bytes() for name, path in files.items() if "checkpoint/" not in name}
    if "summary.json" in found:
        summary = json.loads(found["summary.json"])
        del summary["provenance"]["seconds"]
        found["summary.json"] = json.dumps(summary).encode()
    return found


def images(folder: Path) -> dict[str, str]:
    """The images that rows of manifests name, with their hashes: all of them are there, whole."""
    found = {}
    for path in folder.rglob(manifest.NAME):
        for name, row in manifest.read(path.parent).items():
            assert manifest.sha256((path.parent / name).read_bytes()) == row["sha256"]
            found[str(path.parent / name)] = row["sha256"]
    return found


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def disturb(worker: Worker, task: str, folder: Path, seconds: float, kills: int, chance: random.Random) -> int:
    """Starts the task again and again, each time killed at a random moment; returns how often it was."""
    killed = 0
    for _ in range(kills):
        before = images(folder)
        process = worker.start(task, folder)
        time.sleep(chance.random() * seconds)
        number = chance.choice(SIGNALS)
        with suppress(ProcessLookupError):  # it was done already
            os.kill(process, number)
        code = worker.ended()
        assert code in (0, 130, -number), worker.said
        killed += code != 0
        after = images(folder)
        assert {name: after.get(name) for name in before} == before
    return killed


def check(worker: Worker, undisturbed: dict[str, Any], task: str, folder: Path) -> None:
    """Lets the task come to its end, which is that of an undisturbed one."""
    worker.start(task, folder)
    assert worker.ended() == 0, worker.said
    assert left(folder) == undisturbed[task][0]


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_run_ends_as_an_undisturbed_one(
    worker: Worker, undisturbed: dict[str, Any], tmp_path: Path, task: str
):
    disturb(worker, task, tmp_path / "run", undisturbed[task][1], 2, random.Random(task))
    check(worker, undisturbed, task, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_many_kills(worker: Worker, undisturbed: dict[str, Any], tmp_path: Path, task: str):
    chance, killed, turn = random.Random(f"many {task}"), 0, 0
    while killed < 20:
        folder = tmp_path / f"run-{turn}"
        killed += disturb(worker, task, folder, undisturbed[task][1], 4, chance)
        check(worker, undisturbed, task, folder)
        turn += 1


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", ["generate", "evaluate"])
def test_processes_of_a_launch_write_one_process_s_files(
    worker: Worker, undisturbed: dict[str, Any], tmp_path: Path, task: str, count: int
):
    worker.start(task, tmp_path / "run", count=count, port=free_port())
    assert worker.ended() == 0, worker.said
    assert left(tmp_path / "run") == undisturbed[task][0]


@pytest.mark.parametrize("task", ["generate", pytest.param("evaluate", marks=pytest.mark.slow)])
def test_a_launch_of_which_one_process_dies_ends_and_goes_on_with_another_number(
    worker: Worker, undisturbed: dict[str, Any], tmp_path: Path, task: str
):
    folder = tmp_path / "run"
    process = worker.start(task, folder, count=3, port=free_port())
    while not list(folder.rglob("*.png")):
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert worker.ended() != 0
    assert "Traceback" not in worker.said
    images(folder)
    worker.start(task, folder, count=2, port=free_port())
    assert worker.ended() == 0, worker.said
    assert left(folder) == undisturbed[task][0]


def test_a_refusal_of_the_first_process_ends_the_others(worker: Worker, tmp_path: Path):
    (tmp_path / "0000-001.png").write_bytes(b"mine")
    worker.start("generate", tmp_path, count=2, port=free_port())
    assert worker.ended() == 2
    assert worker.said.count("that no run wrote") == 1 and "Traceback" not in worker.said


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("limit", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_full_disk_is_said_and_loses_nothing(
    worker: Worker, undisturbed: dict[str, Any], tmp_path: Path, task: str, limit: int
):
    folder = tmp_path / "run"
    worker.start(task, folder, limit=limit)
    code, said = worker.ended(), worker.said
    assert code in (0, 2) and "Traceback" not in said, said
    assert code == 0 or "cannot be written" in said
    images(folder)
    check(worker, undisturbed, task, folder)


@pytest.mark.parametrize("task", ["generate", "evaluate"])
def test_a_folder_that_may_only_be_read_is_said(worker: Worker, tmp_path: Path, task: str):
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o555)
    # Root may write anywhere, so the child is somebody else.
    worker.start(task, folder, user=0 if os.getuid() else 65534)
    code, said = worker.ended(), worker.said
    folder.chmod(0o755)
    assert code == 2 and "cannot be written" in said and "Traceback" not in said, said
    assert list(folder.iterdir()) == []


def test_ctrl_c_while_an_object_is_finalized_is_not_lost():
    """Python lets no exception out of a finalizer; an import has many of them."""
    interrupted = """
import sys, time, directrix.cli
from directrix.__main__ import main

class Finalized:
    def __del__(self):
        raise KeyboardInterrupt

directrix.cli.main = lambda: [Finalized() and None, time.sleep(60)]
sys.exit(main())
"""
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (130, "directrix: Interrupted.\n")


@pytest.mark.parametrize("error", ["RuntimeError", "directrix.errors.ModelError"])
def test_ctrl_c_that_a_library_takes_for_an_error_is_not_lost(error: str):
    """Importing one of diffusers' modules may end so."""
    taken = f"""
import os, signal, sys, time, directrix.cli, directrix.errors, directrix.models
from directrix.__main__ import main

def load(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        raise {error}("Failed to import diffusers.pipelines", "") from None

directrix.models.load = load
sys.argv = ["directrix", "sites"]
sys.exit(main())
"""
    ended = subprocess.run([sys.executable, "-c", taken], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (130, "directrix sites: Interrupted.\n")


def test_ctrl_c_in_the_first_second_is_one_line(tmp_path: Path):
    started = "import sys, directrix; print(flush=True); from directrix.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", started, "generate", "--prompt", "a judge", "-o", str(tmp_path / "out")]
    for wait in (0.1, 0.4, 0.8):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "\n"
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        assert process.returncode == 130, said
        assert said.startswith("directrix") and said.count("\n") == 1 and "Traceback" not in said
