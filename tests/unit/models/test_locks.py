"""One writer at a time, and what writers leave."""

import os
import subprocess
import sys
import threading

import pytest

from directrix.errors import OutputError
from directrix.models.files import remove_leftovers, temporary_name, write_atomically
from directrix.models.locks import HOLDER, locked

WRITER = """
import pathlib, sys
from directrix.models.locks import locked
with locked(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has the folder's lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        yield process


def test_another_process_is_named_and_its_lock_ends_with_it(other, tmp_path):
    with pytest.raises(OutputError, match=rf"is being written by process {other.pid} on .* since") as raised:
        locked(tmp_path).__enter__()
    assert "another folder" in str(raised.value)
    other.kill()
    other.wait()
    with locked(tmp_path):
        assert (tmp_path / HOLDER).is_file()
    assert not (tmp_path / HOLDER).exists()


def test_another_thread_is_refused(tmp_path):
    refused = []

    def write():
        try:
            with locked(tmp_path, again=True):
                pass
        except OutputError as error:
            refused.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        with locked(tmp_path, again=True):
            pass
        with pytest.raises(OutputError), locked(tmp_path):
            pass
    write()
    assert len(refused) == 1 and f"process {os.getpid()}" in refused[0]


def test_a_holder_s_file_that_says_nothing_is_no_trouble(other, tmp_path):
    for said in ("", "[]", '{"process": {}, "machine": 1, "since": 2}', '{"process": "x"}'):
        (tmp_path / HOLDER).write_text(said)
        with pytest.raises(OutputError, match="is being written by another process"):
            locked(tmp_path).__enter__()


def dead() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_dead_writers_left_is_removed_and_nothing_else(tmp_path):
    here = temporary_name(tmp_path / "0000-006.png").name
    gone = [f".0000-006.png.{dead()}.part", here.replace(f".{os.getpid()}-", f".{dead()}-")]
    stay = [
        here,
        f".a.png.{os.getpid()}.part",
        f".a.png.{dead()}-0a0a0a-12345678.part",
        "notes.txt",
        ".notes.part",
        "1.part",
    ]
    for name in (*gone, *stay):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


def test_temporary_names_are_the_call_s_own(tmp_path):
    assert len({temporary_name(tmp_path / "a") for _ in range(100)}) == 100


def test_a_file_is_whole_or_not_there(tmp_path):
    def pieces():
        yield b"half"
        raise KeyboardInterrupt

    write_atomically(tmp_path / "a", b"whole")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", pieces())
    assert (tmp_path / "a").read_bytes() == b"whole" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        locked(tmp_path / "file" / "out").__enter__()
