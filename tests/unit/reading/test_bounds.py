"""What is out of bounds is refused at once, with its place; what is within them is read as it stands."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from directrix.errors import DirectrixError, OutputError
from directrix.reading import images, json_text, names, tables, yaml_text
from directrix.reading.source import Source

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{each}: &a{each} [{','.join([f'*a{each - 1}'] * 9)}]\n" for each in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases that stand for more"),
        ("a: &a [*a]", "holds itself"),
        ("a: 1\nb: !!bool foo", "tag .* line 2"),
        ("!!python/object/apply:os.system [id]", "tag"),
        ("version: 2024-13-45", "the date 2024-13-45.* line 1"),
        ("a:\n  b: " + "1" * 5000, "5,000 characters, line 2"),
        ("a: 0x" + "f" * 5000, "5,002 characters"),
        ("[" * 3000, "inside one another"),
        ("[" * 100_000, "inside one another"),
        ("a: .nan", "not finite, line 1"),
        ("a: 1\na: 2", "the key 'a' stands twice, line 2"),
        ('a: "\\ud800"', "not YAML|half a character"),
        ("a: b\n\x00", "not YAML"),
    ],
)
def test_yaml_out_of_bounds(text: str, said: str):
    began = time.process_time()
    with pytest.raises(OutputError, match=said):
        yaml_text.parsed(text, Source("a.yaml", OutputError))
    assert time.process_time() - began < 1


def test_yaml_within_bounds():
    text = "a: &one {b: 1}\nc: *one\nversion: 2024-11-28\nyes: no\n"
    found = yaml_text.parsed(text, Source("a.yaml"))
    assert found == {"a": {"b": 1}, "c": {"b": 1}, "version": "2024-11-28", True: False}
    assert yaml_text.parsed("", Source("a.yaml")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "inside one another"),
        ('{"a": "' + "[" * 1000, "not JSON"),
        ('{"a":\n 1' + "0" * 400 + "}", "401 characters, line 2"),
        ('"\\ud800"', "half a character"),
        ("[1, NaN]", "NaN"),
        ("1e999", "not finite"),
        ("", "not JSON"),
    ],
)
def test_json_out_of_bounds(text: str, said: str):
    with pytest.raises(OutputError, match=said):
        json_text.parsed(text, Source("a.json", OutputError))


def test_json_within_bounds():
    value = {"a": ["[" * 1000, "😀", 10**30, 1e-300, None, True]}
    assert json_text.parsed(json.dumps(value), Source("a.json")) == value


def test_a_bad_line_costs_that_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "rows"
    long = b'"' + b"x" * (2 * json_text.LINE) + b'"\n'
    path.write_bytes(b'1\n{"a\n' + b"[" * 100_000 + b"\n" + long + '"a\u2028b\x85"\n'.encode() + b'"\xff"\n2')
    with caplog.at_level(logging.WARNING):
        assert list(json_text.lines(Source(path), lambda each: each)) == [1, "a\u2028b\x85", 2]
    assert "4 lines are left out" in caplog.text and "line 2" in caplog.text


@pytest.mark.parametrize(
    "name", ["../a.png", "/a.png", "a/../../a.png", "C:\\a.png", "a\\b", "", "link/a.png", "a\x00"]
)
def test_names_that_lead_out_of_a_folder(tmp_path: Path, name: str):
    run = tmp_path / "run"
    run.mkdir()
    (run / "link").symlink_to(tmp_path)
    assert names.inside(run, name) is None
    assert names.inside(run, "pictures/a.png") == run / "pictures/a.png"


def test_what_a_terminal_would_obey_is_shown_as_an_escape():
    assert names.visible("a\x1b[31m\x9b1m\u202eb\ud800\nc") == "a\\u001b[31m\\u009b1m\\u202eb\\ud800\nc"


@pytest.mark.parametrize("special", ["folder", "fifo", "large"])
def test_what_is_no_plain_file_of_that_size(tmp_path: Path, special: str):
    import os

    path = tmp_path / special
    if special == "folder":
        path.mkdir()
    elif special == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"12345")
    with pytest.raises(DirectrixError, match=r"is a folder|is no file|too large"):
        Source(path, most=4).content()


def test_the_line_of_a_byte_that_is_no_text(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(DirectrixError, match=r"line 2 has the byte 0xe9.*save the file as UTF-8"):
        yaml_text.read(Source(tmp_path / "a.yaml"))


def test_a_table_says_the_line_of_the_file(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('prompt,group\n"a\nb",x\n\nc,y\nd\n')
    with pytest.raises(DirectrixError, match="Line 6 of"):
        tables.read(Source(path))
    path.write_text('prompt,group\n"a\nb",x\n\nc,y\n')
    assert tables.read(Source(path))[1] == [(2, {"prompt": "a\nb", "group": "x"}), (5, {"prompt": "c", "group": "y"})]


def test_an_image_of_too_many_pixels_is_not_unpacked(tmp_path: Path):
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(OutputError, match="is no image"):
        images.read(tmp_path / "a.png")
